"""Searching around a pointing: rings of discs, unknown scale, limits."""

import numpy as np
import pytest

from astro_shared.science.tangent_plane import project
from astrometry_service.algorithms.matching.pointing_search import (
    ScaleRange,
    SearchOptions,
    disc_centres,
    scale_steps,
    search_around,
)
from astrometry_service.algorithms.matching.tangent_plane import angular_distance_deg
from astrometry_service.domain.solving import NoMatch, StartMatch
from astrometry_service.domain.star_lists import SkyStars, StarList

SHAPE = (800, 1000)
SCALE = 2.0 / 3600


class Sky:
    """Stars all over the sky as a cone search; counts its questions."""

    def __init__(self, count=400_000, seed=1):
        rng = np.random.default_rng(seed)
        self.ra, self.dec = rng.uniform(0, 360, count), np.degrees(np.arcsin(rng.uniform(-1, 1, count)))
        self.mag = 12 + 2.5 * np.log10(rng.uniform(1e-4, 1, count))
        self.asked = []

    def cone(self, ra, dec, radius):
        self.asked.append((ra, dec, radius))
        near = angular_distance_deg(self.ra, self.dec, ra, dec) < radius
        return SkyStars.from_columns(self.ra[near], self.dec[near], self.mag[near])

    def frame(self, ra, dec, parity=-1, rotation=1.0):
        """Detections of a frame centred there."""
        xi, eta = project(self.ra, self.dec, ra0_deg=ra, dec0_deg=dec)
        place = (xi + 1j * eta) / SCALE * np.exp(-1j * rotation)
        x, y = 499.5 + parity * place.real, 399.5 + place.imag
        on = np.flatnonzero((x > 0) & (x < 1000) & (y > 0) & (y < 800) & np.isfinite(x))
        rng = np.random.default_rng(5)
        noise = rng.normal(0, 0.3, (2, on.size))
        return StarList.from_columns(x[on] + noise[0], y[on] + noise[1], 10 ** (-0.4 * self.mag[on]))


@pytest.fixture(scope="module")
def sky():
    return Sky(2_000_000)


def distance_of(outcome, ra, dec):
    assert isinstance(outcome.match, StartMatch), outcome.match
    return angular_distance_deg(*outcome.match.plane.pixel_to_sky(499.5, 399.5), ra, dec)


@pytest.mark.parametrize(
    ("ra", "dec", "off"), [(0.1, 30.0, 0.0), (200.0, -89.5, 2.0), (359.9, 0.0, 6.0)], ids=["0h", "pole", "on a ring"]
)
def test_a_frame_is_found_around_a_wrong_pointing(sky, ra, dec, off):
    pointing_dec = dec + off if dec < 80 else dec - off
    outcome = search_around(
        sky.frame(ra, dec), sky.cone, ra_deg=ra, dec_deg=pointing_dec, radius_deg=max(off, 0.5), shape=SHAPE,
        scale=ScaleRange(SCALE / 1.01, SCALE * 1.01),
    )  # fmt: skip
    assert distance_of(outcome, ra, dec) < 2 * SCALE


def test_pairs_count_in_the_returned_reference_list(sky):
    stars = sky.frame(120.0, 40.0)
    outcome = search_around(
        stars,
        sky.cone,
        ra_deg=120.2,
        dec_deg=40.2,
        radius_deg=0.5,
        shape=SHAPE,
        scale=ScaleRange(SCALE / 1.01, SCALE * 1.01),
    )
    image, rows = outcome.match.pairs.T
    inverse = np.empty(len(stars), dtype=int)
    inverse[stars.origin] = np.arange(len(stars))
    ra, dec = outcome.match.plane.pixel_to_sky(stars.x[inverse[image]], stars.y[inverse[image]])
    # rows count in the list as the cone was first given: undo its sorting
    place = np.empty(len(outcome.reference), dtype=int)
    place[outcome.reference.origin] = np.arange(len(outcome.reference))
    rows = place[rows]
    apart = angular_distance_deg(ra, dec, outcome.reference.ra_deg[rows], outcome.reference.dec_deg[rows])
    assert np.median(apart) < SCALE


@pytest.mark.slow
def test_the_scale_may_be_unknown_by_a_factor_sixteen(sky):
    outcome = search_around(
        sky.frame(75.0, 10.0), sky.cone, ra_deg=75.0, dec_deg=10.2, radius_deg=0.4, shape=SHAPE,
        scale=ScaleRange(SCALE / 16, SCALE * 16),
    )  # fmt: skip
    assert distance_of(outcome, 75.0, 10.0) < 2 * SCALE


def test_nothing_there_ends_with_the_reasons(sky):
    rng = np.random.default_rng(8)
    stars = StarList.from_columns(rng.uniform(0, 1000, 80), rng.uniform(0, 800, 80), rng.uniform(1, 2, 80))
    outcome = search_around(
        stars,
        sky.cone,
        ra_deg=10.0,
        dec_deg=10.0,
        radius_deg=1.0,
        shape=SHAPE,
        scale=ScaleRange(SCALE / 1.01, SCALE * 1.01),
    )
    assert isinstance(outcome.match, NoMatch) and outcome.match.reasons
    assert outcome.searched_deg == pytest.approx(1.0) and outcome.discs >= 1


def test_the_number_of_discs_is_limited():
    sky = Sky(2000)
    stars = sky.frame(10.0, 10.0)
    rng = np.random.default_rng(8)
    stars = StarList.from_columns(rng.uniform(0, 1000, 30), rng.uniform(0, 800, 30), rng.uniform(1, 2, 30))
    outcome = search_around(
        stars, sky.cone, ra_deg=10.0, dec_deg=10.0, radius_deg=90.0, shape=SHAPE,
        scale=ScaleRange(SCALE / 1.01, SCALE * 1.01), options=SearchOptions(max_discs=7),
    )  # fmt: skip
    assert outcome.discs == 7 == len(sky.asked)
    assert outcome.match.stopped


@pytest.mark.parametrize(
    ("ra", "dec", "radius", "disc"), [(10, 20, 5, 1), (359, 89, 20, 3), (0, -45, 30, 2), (120, 0, 179, 20)]
)
def test_discs_cover_the_circle_nearest_first(ra, dec, radius, disc):
    centres = np.array(list(disc_centres(ra, dec, radius, disc)))
    np.testing.assert_allclose(angular_distance_deg(centres[:, 0], centres[:, 1], ra, dec), centres[:, 2], atol=1e-9)
    assert (np.diff(centres[:, 2]) >= 0).all()
    rng = np.random.default_rng(1)
    point_ra, point_dec = rng.uniform(0, 360, 20_000), np.degrees(np.arcsin(rng.uniform(-1, 1, 20_000)))
    inside = angular_distance_deg(point_ra, point_dec, ra, dec) < radius
    nearest = angular_distance_deg(
        point_ra[inside][:, None], point_dec[inside][:, None], centres[:, 0], centres[:, 1]
    ).min(axis=1)
    # a frame whose centre is 5 % outside a disc still lies mostly on its stars
    assert nearest.max() < 1.05 * disc


def test_scales_are_cut_into_steps_of_a_factor_four_from_the_middle():
    steps = scale_steps(ScaleRange(1.0, 64.0))
    assert [(pytest.approx(s.low_deg), pytest.approx(s.high_deg)) for s in steps] == [(4, 16), (1, 4), (16, 64)]
    assert all(step.factor == pytest.approx(2.0) for step in steps)
    assert scale_steps(ScaleRange(1.0, 1.0))[0].factor == pytest.approx(1.0)
