"""Matching against a brute force over all pairs, and the properties that a match must have."""

import numpy as np
import pytest

from catalogs_service.algorithms.sky_match import MatchRadius, match_sky, one_to_one
from catalogs_service.algorithms.sphere import separation_deg
from catalogs_service.domain.positions import SkyPositions


def place(ra, dec, error=None):
    """One position."""
    return SkyPositions(np.array([ra]), np.array([dec]), error)


def all_pairs(ra, dec, list_ra, list_dec, error, list_error, radius):
    """Every candidate by testing every pair."""
    sep = separation_deg(ra[:, None], dec[:, None], list_ra[None], list_dec[None]) * 3600
    limit = radius.n_sigma * np.sqrt(error[:, None] ** 2 + list_error[None] ** 2) + radius.floor_arcsec
    return {(int(i), int(j)) for i, j in np.argwhere(sep <= np.minimum(limit, radius.cap_arcsec))}


def scattered(rng, n, centre, size_deg):
    """Positions around a centre, evenly in its tangent plane, so that poles and RA 0 are nothing special."""
    ra0, dec0 = np.radians(centre)
    xi, eta = np.radians(rng.uniform(-size_deg, size_deg, (2, n)))
    east = np.array([-np.sin(ra0), np.cos(ra0), 0])
    north = np.array([-np.sin(dec0) * np.cos(ra0), -np.sin(dec0) * np.sin(ra0), np.cos(dec0)])
    out = np.array([np.cos(dec0) * np.cos(ra0), np.cos(dec0) * np.sin(ra0), np.sin(dec0)])
    v = out + xi[:, None] * east + eta[:, None] * north
    v /= np.linalg.norm(v, axis=1)[:, None]
    return np.degrees(np.arctan2(v[:, 1], v[:, 0])) % 360, np.degrees(np.arcsin(v[:, 2]))


@pytest.mark.parametrize("centre", [(120.0, 20.0), (0.0, 0.0), (359.999, -45.0), (10.0, 90.0), (200.0, -89.99)])
@pytest.mark.parametrize("size_deg", [0.02, 0.1])
def test_candidates_are_those_of_a_brute_force_everywhere_on_the_sky(centre, size_deg):
    rng = np.random.default_rng(5)
    ra, dec = scattered(rng, 300, centre, size_deg)
    list_ra, list_dec = scattered(rng, 900, centre, size_deg)
    error, list_error = rng.uniform(0, 3, 300), rng.uniform(0, 4, 900)
    radius = MatchRadius(3.0, 1.0, 10.0)
    found = match_sky(SkyPositions(ra, dec, error), SkyPositions(list_ra, list_dec, list_error), radius)
    pairs = list(zip(found.source.tolist(), found.entry.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    expected = all_pairs(ra, dec, list_ra, list_dec, error, list_error, radius)
    assert len(expected) > 20
    assert set(pairs) == expected


def test_the_whole_sky_with_a_wide_radius_equals_a_brute_force():
    rng = np.random.default_rng(6)
    ra, dec = rng.uniform(0, 360, 400), np.degrees(np.arcsin(rng.uniform(-1, 1, 400)))
    list_ra, list_dec = rng.uniform(0, 360, 800), np.degrees(np.arcsin(rng.uniform(-1, 1, 800)))
    dec[:2], list_dec[:2] = [90.0, -90.0], [89.9, -89.5]
    radius = MatchRadius(3.0, 4 * 3600.0, 5 * 3600.0)
    found = match_sky(SkyPositions(ra, dec), SkyPositions(list_ra, list_dec), radius)
    expected = all_pairs(ra, dec, list_ra, list_dec, np.zeros(400), np.zeros(800), radius)
    assert set(zip(found.source.tolist(), found.entry.tolist(), strict=True)) == expected


def test_every_star_of_a_crowded_list_finds_itself_and_nothing_is_used_twice():
    rng = np.random.default_rng(7)
    list_ra, list_dec = scattered(rng, 20_000, (0.0, 60.0), 0.5)
    chosen = rng.choice(20_000, 5_000, replace=False)
    ra = list_ra[chosen] + rng.normal(0, 0.05 / 3600, 5_000) / np.cos(np.radians(list_dec[chosen]))
    dec = list_dec[chosen] + rng.normal(0, 0.05 / 3600, 5_000)
    found = match_sky(SkyPositions(ra, dec, 0.05), SkyPositions(list_ra, list_dec))
    best_source, best_entry = found.source[found.best], found.entry[found.best]
    assert len(best_source) == 5_000
    assert len(np.unique(best_source)) == len(np.unique(best_entry)) == 5_000
    assert np.mean(chosen[best_source] == best_entry) > 0.995


def test_separations_are_exact_to_a_microarcsecond():
    found = match_sky(place(10.0, 45.0), place(10.0, 45.0 + 0.5 / 3600))
    assert found.sep_arcsec[0] == pytest.approx(0.5, abs=1e-6)


def test_a_precise_near_entry_beats_a_vague_one_that_is_nearer():
    dec = np.array([30.0 + 0.30 / 3600, 30.0 - 0.25 / 3600])
    found = match_sky(place(50.0, 30.0, 0.05), SkyPositions(np.full(2, 50.0), dec, np.array([0.05, 5.0])))
    assert found.entry[found.best].tolist() == [0]
    assert found.entry.tolist() == [0, 1]


def test_two_sources_at_one_entry_share_it_out_by_separation():
    ra = np.array([50.0, 50.0 + 0.8 / 3600 / np.cos(np.radians(30.0))])
    found = match_sky(SkyPositions(ra, np.full(2, 30.0)), place(50.0, 30.0))
    assert found.source.tolist() == [0, 1]
    assert found.best.tolist() == [True, False]


def test_chance_probability_counts_unrelated_neighbours():
    """Positions without any counterpart must find a neighbour below p as often as p says."""
    rng = np.random.default_rng(8)
    list_ra, list_dec = scattered(rng, 60_000, (180.0, 10.0), 0.5)
    ra, dec = scattered(rng, 10_000, (180.0, 10.0), 0.45)
    found = match_sky(SkyPositions(ra, dec), SkyPositions(list_ra, list_dec), MatchRadius(3.0, 8.0, 60.0))
    nearest = np.full(10_000, np.inf)
    np.minimum.at(nearest, found.source, found.p_chance)
    for p in (0.05, 0.2):
        # binomial error of 10,000 trials and the error of the local density
        assert np.mean(nearest < p) == pytest.approx(p, rel=0.12)


def test_positions_that_are_not_finite_get_no_candidate():
    found = match_sky(
        SkyPositions(np.array([np.nan, 10.0]), np.zeros(2)), SkyPositions(np.array([10.0, np.nan, np.inf]), np.zeros(3))
    )
    assert (found.source.tolist(), found.entry.tolist()) == ([1], [0])


def test_errors_that_are_not_finite_count_as_unknown():
    found = match_sky(place(10.0, 0.0, np.array([np.nan])), place(10.0, 0.0))
    assert len(found) == 1
    assert np.isnan(found.sep_sigma[0])


@pytest.mark.parametrize(("n", "k"), [(0, 5), (5, 0), (0, 0)])
def test_empty_lists_give_no_candidates(n, k):
    assert len(match_sky(SkyPositions(np.zeros(n), np.zeros(n)), SkyPositions(np.zeros(k), np.zeros(k)))) == 0


def test_one_to_one_is_greedy_in_badness():
    source, entry = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 0, 1, 3])
    best = one_to_one(source, entry, np.array([1.0, 0.5, 0.8, 0.6, 9.0]))
    assert best.tolist() == [False, True, True, False, True]


def test_the_result_does_not_depend_on_the_order_of_the_list():
    rng = np.random.default_rng(9)
    ra, dec = scattered(rng, 200, (0.0, 0.0), 0.02)
    list_ra, list_dec = scattered(rng, 500, (0.0, 0.0), 0.02)
    shuffled = rng.permutation(500)
    radius = MatchRadius(3.0, 5.0, 60.0)
    one = match_sky(SkyPositions(ra, dec), SkyPositions(list_ra, list_dec), radius)
    two = match_sky(SkyPositions(ra, dec), SkyPositions(list_ra[shuffled], list_dec[shuffled]), radius)
    assert set(zip(one.source[one.best], one.entry[one.best], strict=True)) == set(
        zip(two.source[two.best], shuffled[two.entry[two.best]], strict=True)
    )
