"""Matching lists of stars: thirteen kinds of fields, wrong skies, and lists that no match can be made of."""

import time

import numpy as np
import pytest

from astro_shared.testing.star_lists import FIELD_KINDS, StarField, make_star_field, with_defects
from astrometry_service.algorithms.matching.triangle_matcher import MatchOptions, match_start, scale_bands
from astrometry_service.domain.solving import NoMatch, StartMatch
from astrometry_service.domain.star_lists import ProjectedStars, StarList


def solve(field: StarField, factor: float, sky: StarField | None = None, options: MatchOptions | None = None):
    """Match the detections of a field with its own catalogue, or with another one stretched to the same disc."""
    sky = sky or field
    stretch = field.pointing_error_deg / sky.pointing_error_deg
    return match_start(
        StarList.from_columns(field.x, field.y, field.flux),
        ProjectedStars.from_columns(
            sky.xi_deg * stretch, sky.eta_deg * stretch, -2.5 * np.log10(sky.catalog_flux), ra0_deg=10.0, dec0_deg=20.0
        ),
        shape=field.shape,
        scale_deg=field.nominal_scale_deg,
        scale_factor=factor,
        pointing_error_deg=field.pointing_error_deg,
        options=options,
    )


def draw(kind: str, seed: int) -> tuple[StarField, float]:
    settings, factor = FIELD_KINDS[kind]
    return make_star_field(np.random.default_rng([seed, len(kind)]), settings), factor


def assert_right(field: StarField, match: StartMatch | NoMatch) -> None:
    assert isinstance(match, StartMatch), match
    assert field.is_right(match.plane.parity, match.pairs[:, 0], match.pairs[:, 1])


@pytest.mark.parametrize("kind", FIELD_KINDS)
def test_every_kind_of_field_is_matched(kind):
    for seed in range(4):
        field, factor = draw(kind, seed)
        assert_right(field, solve(field, factor))


@pytest.mark.slow
@pytest.mark.parametrize("kind", FIELD_KINDS)
def test_two_hundred_of_two_hundred_fields_are_matched(kind, record_property):
    seconds = []
    for seed in range(200):
        field, factor = draw(kind, seed)
        begun = time.process_time()
        match = solve(field, factor)
        seconds.append(time.process_time() - begun)
        assert_right(field, match)
    record_property("median_cpu_ms", 1e3 * float(np.median(seconds)))


def test_the_mapping_reaches_the_true_centre_and_scale():
    field, factor = draw("uniform", 1)
    match = solve(field, factor)
    ny, nx = field.shape
    xi, eta = match.plane.pixel_to_plane(nx / 2, ny / 2)
    # an affine over a distorted frame: a tenth of the 8 px at the corner is what is left at the centre
    assert np.hypot(xi - field.centre_deg[0], eta - field.centre_deg[1]) < 3.0 * field.true_scale_deg
    assert match.plane.scale_arcsec == pytest.approx(3600 * field.true_scale_deg, rel=0.01)
    assert match.rms_px < 2.0


def test_another_sky_is_never_accepted():
    kinds = list(FIELD_KINDS)
    for seed in range(26):
        kind = kinds[seed % len(kinds)]
        if kind == "far_3_factor_2":  # takes its whole budget: the slow test has it
            continue
        (field, factor), (other, _) = draw(kind, 1000 + seed), draw(kind, 2000 + seed)
        match = solve(field, factor, other)
        assert isinstance(match, NoMatch)
        assert match.hypotheses > 0 and match.reasons


def test_patterns_of_false_detections_do_not_match_another_sky():
    kinds = ["uniform", "sparse_15_40", "far_3"]
    for seed in range(12):
        kind = kinds[seed % len(kinds)]
        (field, factor), (other, _) = draw(kind, 3000 + seed), draw(kind, 4000 + seed)
        spoiled = with_defects(np.random.default_rng([seed, 5]), field)
        assert isinstance(solve(spoiled, factor, other), NoMatch)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_thousand_wrong_skies_are_refused():
    kinds = list(FIELD_KINDS)
    best = -99.0
    for seed in range(1000):
        kind = kinds[seed % len(kinds)]
        (field, factor), (other, _) = draw(kind, 10_000 + seed), draw(kind, 20_000 + seed)
        if seed % 4 == 0:
            field = with_defects(np.random.default_rng([seed, 5]), field)
        match = solve(field, factor, other, MatchOptions(budget=1_000_000))
        assert isinstance(match, NoMatch), (kind, seed, match.log_odds)
        best = max(best, match.best_log_odds)
    assert best < 25.0


def test_the_result_does_not_depend_on_the_order_of_the_lists():
    field, factor = draw("clumps", 3)
    reference = solve(field, factor)
    shuffle, sky_shuffle = (
        np.random.default_rng(s).permutation(n) for s, n in ((1, field.x.size), (2, field.xi_deg.size))
    )
    match = match_start(
        StarList.from_columns(field.x[shuffle], field.y[shuffle], field.flux[shuffle]),
        ProjectedStars.from_columns(
            field.xi_deg[sky_shuffle], field.eta_deg[sky_shuffle], -2.5 * np.log10(field.catalog_flux[sky_shuffle])
        ),
        shape=field.shape,
        scale_deg=field.nominal_scale_deg,
        scale_factor=factor,
        pointing_error_deg=field.pointing_error_deg,
    )
    # stars of equal flux are ranked by their place in the list, so the sums may differ in the last digits
    assert match.log_odds == pytest.approx(reference.log_odds, rel=1e-9)
    found = set(zip(shuffle[match.pairs[:, 0]], sky_shuffle[match.pairs[:, 1]], strict=True))
    assert found == set(zip(*reference.pairs.T, strict=True))


@pytest.mark.parametrize(
    ("stars", "said"), [(0, "0 image stars, need 5"), (3, "3 image stars, need 5")], ids=["no stars", "three stars"]
)
def test_too_few_stars_are_refused_with_their_number(stars, said):
    field, factor = draw("uniform", 5)
    few = StarField(**{**field.__dict__, "x": field.x[:stars], "y": field.y[:stars], "flux": field.flux[:stars]})
    assert solve(few, factor).reasons == (said,)


def test_too_few_reference_stars_are_refused_with_their_number():
    field, factor = draw("uniform", 5)
    none = {name: getattr(field, name)[:2] for name in ("xi_deg", "eta_deg", "catalog_flux")}
    match = solve(StarField(**{**field.__dict__, **none}), factor)
    assert match.reasons == ("2 reference stars around the pointing, need 5",)


@pytest.mark.parametrize(
    "place",
    [
        lambda rng, n: (np.full(n, 100.0), np.full(n, 100.0)),
        lambda rng, n: (np.linspace(0, 999, n), np.linspace(0, 999, n)),
        lambda rng, n: (rng.uniform(0, 20, n), rng.uniform(0, 1000, n)),
    ],
    ids=["all at one place", "on a line", "all at one edge"],
)
def test_degenerate_lists_end_without_a_match(place):
    rng = np.random.default_rng(6)
    x, y = place(rng, 60)
    sky = ProjectedStars.from_columns(rng.uniform(-1, 1, 500), rng.uniform(-1, 1, 500), rng.uniform(8, 12, 500))
    match = match_start(
        StarList.from_columns(x, y, rng.uniform(1, 2, 60)), sky, shape=(1000, 1000), scale_deg=0.001,
        pointing_error_deg=0.5,
    )  # fmt: skip
    assert isinstance(match, NoMatch)


def test_stars_without_a_position_or_a_flux_are_left_out():
    field, factor = draw("uniform", 7)
    x, flux = field.x.copy(), field.flux.copy()
    x[:5], flux[5:10] = np.nan, np.nan
    match = solve(StarField(**{**field.__dict__, "x": x, "flux": flux}), factor)
    assert_right(field, match)
    assert match.pairs[:, 0].min() >= 10 or not set(match.pairs[:, 0]) & set(range(10))


def test_the_budget_ends_a_search_and_says_so():
    (field, factor), (other, _) = draw("far_3", 8), draw("far_3", 9)
    match = solve(field, factor, other, MatchOptions(budget=100))
    assert isinstance(match, NoMatch) and match.stopped
    assert match.hypotheses < 50_000
    assert any("budget" in reason for reason in match.reasons)


def test_a_caller_can_end_the_search():
    (field, factor), (other, _) = draw("uniform", 10), draw("uniform", 11)
    sky = ProjectedStars.from_columns(other.xi_deg, other.eta_deg, -np.log(other.catalog_flux))
    match = match_start(
        StarList.from_columns(field.x, field.y, field.flux), sky, shape=field.shape, scale_deg=field.nominal_scale_deg,
        scale_factor=factor, pointing_error_deg=field.pointing_error_deg, should_stop=lambda: True,
    )  # fmt: skip
    assert match.stopped and match.hypotheses == 0


def test_bands_of_scale_cover_the_range_from_the_middle_outwards():
    bands = scale_bands(2.0, 1.45)
    assert len(bands) == 4
    edges = sorted({round(edge, 9) for band in bands for edge in band})
    assert edges[0] == pytest.approx(0.5) and edges[-1] == pytest.approx(2.0)
    assert {round(b[0] * b[1], 6) for b in bands[:2]} == {round(2**-0.5, 6), round(2**0.5, 6)}
    assert scale_bands(1.02, 1.45) == [(pytest.approx(1 / 1.02), pytest.approx(1.02))]
