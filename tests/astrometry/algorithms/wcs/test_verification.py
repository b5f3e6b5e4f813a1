"""A given WCS against reference stars: right, shifted, wrong, degenerate."""

import numpy as np
import pytest

from astro_shared.science.tangent_plane import deproject
from astrometry_service.algorithms.wcs.verification import verify_wcs
from astrometry_service.domain.plane_affine import PlaneAffine
from astrometry_service.domain.star_lists import SkyStars, StarList

SHAPE = (1500, 2000)
SCALE = 1.0 / 3600


def plane(ra=359.99, dec=60.0, rotation=0.4, parity=-1, dx=0.0):
    """A TAN mapping with its reference pixel at the centre of the frame, moved by dx pixels."""
    turn = SCALE * np.array([[np.cos(rotation), -np.sin(rotation)], [np.sin(rotation), np.cos(rotation)]])
    linear = turn @ np.diag([parity, 1.0])
    return PlaneAffine(np.column_stack([linear, -linear @ [999.5 + dx, 749.5]]), ra, dec)


@pytest.fixture
def scene():
    """Detections of 120 stars with a WCS that is exact, a list of 400 reference stars across 0h, 10 % false ones."""
    rng = np.random.default_rng(3)
    truth = plane()
    x, y = rng.uniform(-400, 2400, 400), rng.uniform(-400, 1900, 400)
    ra, dec = truth.pixel_to_sky(x, y)
    mag = rng.uniform(8, 14, 400)
    seen = np.flatnonzero((x > 0) & (x < 2000) & (y > 0) & (y < 1500) & (mag < 13))
    sx = np.r_[x[seen] + rng.normal(0, 0.2, seen.size), rng.uniform(0, 2000, 12)]
    sy = np.r_[y[seen] + rng.normal(0, 0.2, seen.size), rng.uniform(0, 1500, 12)]
    flux = 10 ** (-0.4 * np.r_[mag[seen] + rng.normal(0, 0.2, seen.size), rng.uniform(8, 13, 12)])
    return StarList.from_columns(sx, sy, flux), SkyStars.from_columns(ra, dec, mag), truth


def test_a_true_wcs_is_valid(scene):
    stars, sky, truth = scene
    check = verify_wcs(stars, sky, truth.pixel_to_sky, shape=SHAPE)
    assert check.valid and not check.reasons
    assert check.matched_fraction > 0.8 and check.log_odds > 100
    # two axes of 0.2 px
    assert check.rms_px == pytest.approx(0.28, abs=0.06)
    assert check.start.plane.parity == truth.parity
    ra, dec = check.start.plane.pixel_to_sky(np.array([999.5]), np.array([749.5]))
    assert (ra[0] - 359.99 + 180) % 360 - 180 == pytest.approx(0, abs=SCALE) and dec[0] == pytest.approx(60, abs=SCALE)


def test_a_distorted_wcs_is_judged_by_its_own_mapping(scene):
    stars, sky, truth = scene

    def bent(x, y):
        r2 = ((x - 999.5) ** 2 + (y - 749.5) ** 2) / 1250**2
        return truth.pixel_to_sky(999.5 + (x - 999.5) * (1 - 0.008 * r2), 749.5 + (y - 749.5) * (1 - 0.008 * r2))

    def unbent(x, y):
        u, v = (x - 999.5).copy(), (y - 749.5).copy()
        for _ in range(30):
            r2 = (u * u + v * v) / 1250**2
            u, v = (x - 999.5) / (1 - 0.008 * r2), (y - 749.5) / (1 - 0.008 * r2)
        return u + 999.5, v + 749.5

    moved = StarList.from_columns(*unbent(stars.x, stars.y), stars.flux)
    assert verify_wcs(moved, sky, bent, shape=SHAPE).valid
    plain = verify_wcs(moved, sky, truth.pixel_to_sky, shape=SHAPE)
    assert not plain.valid


def test_a_shifted_wcs_is_not_valid_but_gives_a_start(scene):
    stars, sky, _ = scene
    check = verify_wcs(stars, sky, plane(dx=6.0).pixel_to_sky, shape=SHAPE)
    assert not check.valid
    assert "6.0 px (rms)" in check.reasons[0]
    # a star at pixel x lies where the shifted WCS puts pixel x + 6
    assert check.offset_px[0] == pytest.approx(6.0, abs=0.2) and check.offset_px[1] == pytest.approx(0, abs=0.2)
    assert check.start is not None and check.start.rms_px < 0.5


@pytest.mark.parametrize(
    "wrong",
    [plane(ra=358.0), plane(parity=1), plane(rotation=0.9), plane(dx=200)],
    ids=["elsewhere", "mirrored", "turned", "200 px off"],
)
def test_a_wrong_wcs_is_refused_with_a_reason(scene, wrong):
    stars, sky, _ = scene
    check = verify_wcs(stars, sky, wrong.pixel_to_sky, shape=SHAPE)
    assert not check.valid and check.start is None and check.reasons


def test_a_few_chance_pairs_of_a_true_wcs_are_no_start(scene):
    """A difference image: most detections are no stars, the rest lie some pixels off."""
    stars, sky, truth = scene
    rng = np.random.default_rng(4)
    loose = StarList.from_columns(
        np.r_[stars.x[:25] + rng.normal(0, 4, 25), rng.uniform(0, 2000, 125)],
        np.r_[stars.y[:25] + rng.normal(0, 4, 25), rng.uniform(0, 1500, 125)],
        np.r_[stars.flux[:25], rng.choice(stars.flux, 125)],
    )
    check = verify_wcs(loose, sky, truth.pixel_to_sky, shape=SHAPE)
    assert not check.valid and check.start is None and check.reasons


def test_a_wcs_of_nan_is_refused(scene):
    stars, sky, _ = scene
    check = verify_wcs(stars, sky, lambda x, y: (x * np.nan, y * np.nan), shape=SHAPE)
    assert not check.valid and "no finite" in check.reasons[0]


def test_a_singular_wcs_is_refused(scene):
    stars, sky, _ = scene
    check = verify_wcs(stars, sky, lambda x, y: (x * 0 + 10.0, y * 0 + 10.0), shape=SHAPE)
    assert not check.valid and "scale" in check.reasons[0]


def test_a_shallow_reference_list_is_enough(scene):
    stars, sky, truth = scene
    check = verify_wcs(stars, sky.brightest(60), truth.pixel_to_sky, shape=SHAPE)
    assert check.valid, check.reasons


def test_no_reference_stars_says_how_many_there_were(scene):
    stars, sky, truth = scene
    check = verify_wcs(stars, sky.brightest(3), truth.pixel_to_sky, shape=SHAPE)
    assert not check.valid and "reference stars on the frame, need 5" in check.reasons[0]


def test_chance_agreement_of_a_random_list_is_refused():
    rng = np.random.default_rng(9)
    truth = plane()
    for _ in range(20):
        stars = StarList.from_columns(rng.uniform(0, 2000, 150), rng.uniform(0, 1500, 150), rng.uniform(1, 2, 150))
        xi, eta = rng.uniform(-0.5, 0.5, (2, 600))
        ra, dec = deproject(xi, eta, ra0_deg=359.99, dec0_deg=60.0)
        check = verify_wcs(
            stars, SkyStars.from_columns(ra, dec, rng.uniform(8, 13, 600)), truth.pixel_to_sky, shape=SHAPE
        )
        assert not check.valid and check.log_odds < 20
