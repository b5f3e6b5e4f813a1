"""Vignetting is told from slanted and spotted skies by its shape."""

import numpy as np
import pytest

from photometry_service.algorithms.background.estimate import estimate_background
from photometry_service.algorithms.quality.illumination import UNFLATTENED, find_fall_off, unflattened_words

SHAPE = (480, 640)
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
ACROSS2 = (SHAPE[0] ** 2 + SHAPE[1] ** 2) / 4


def fall_off(level_e):
    rng = np.random.default_rng(8)
    return find_fall_off(estimate_background((rng.poisson(level_e) + rng.normal(0, 6, SHAPE)).astype(np.float32)))


def distance2(x=319.5, y=239.5):
    """Squared distance in units of half the diagonal."""
    return ((X - x) ** 2 + (Y - y) ** 2) / ACROSS2


@pytest.mark.parametrize("sky_e", [30.0, 400.0, 20_000.0])
@pytest.mark.parametrize("fall", [0.12, 0.3, 0.5])
def test_vignetting_is_seen_with_its_size_and_place(sky_e, fall):
    found = fall_off(sky_e * (1 - fall * distance2()))
    assert (found.x, found.y) == pytest.approx((319.5, 239.5), abs=15)
    # the outermost meshes lie at 0.81 to 0.85 of the way, squared
    assert found.fall == pytest.approx(0.83 * fall, abs=0.03)


@pytest.mark.parametrize("profile", [lambda q: 1 - 0.5 * q**2, lambda q: np.cos(np.arctan(0.6 * np.sqrt(q))) ** 4])
def test_other_profiles_of_vignetting_are_seen(profile):
    assert fall_off(2000 * profile(distance2())) is not None


def test_vignetting_off_the_centre_and_under_moonlight_is_seen():
    aside = distance2(480.0, 180.0)
    found = fall_off(2000 * (1 - 0.5 * aside / aside.max()))
    assert (found.x, found.y) == pytest.approx((480, 180), abs=15)
    assert fall_off(2000 * (1 - 0.4 * distance2()) * (1 + 0.2 * X / 640)) is not None


@pytest.mark.parametrize(
    "level_e",
    [
        np.full(SHAPE, 400.0),
        400 * (1 + 0.04 * X / 640),
        400 * (1 + 0.5 * X / 640 - 0.2 * Y / 480),
        300 + 4000 * (X / 640) ** 2 + 6000 * np.exp(-((X - 400) ** 2 + (Y - 200) ** 2) / 7200),
        500 + 2000 * np.exp(-((X - 320) ** 2 + (Y - 240) ** 2) / 2 / 25**2),
        500 + 2000 * np.exp(-((X - 320) ** 2 + (Y - 240) ** 2) / 2 / 80**2),
        500 + 2000 * np.exp(-((X - 500) ** 2 + (Y - 100) ** 2) / 2 / 100**2),
        2000 * (1 + 0.5 * distance2()),
        2000 * (1 - 0.04 * distance2()),
    ],
    ids=["even", "plain", "moonlight", "steep", "small", "nebula", "aside", "brighter corners", "good flat"],
)
def test_other_skies_are_not(level_e):
    assert fall_off(level_e) is None


def test_a_sky_taken_off_and_a_tiny_frame_say_nothing():
    rng = np.random.default_rng(1)
    assert fall_off(400 * (1 - 0.5 * distance2())) is not None
    level = 2000 * (1 - 0.5 * distance2())
    data = rng.poisson(level) - level.max()
    assert find_fall_off(estimate_background(data.astype(np.float32))) is None
    assert find_fall_off(estimate_background(rng.normal(100, 5, (120, 120)).astype(np.float32))) is None


def test_the_warning_opens_with_its_fixed_words():
    level = 2000 * (1 - 0.5 * distance2())
    (sentence,) = unflattened_words(estimate_background(level.astype(np.float32)))
    assert sentence.startswith(UNFLATTENED)
    assert unflattened_words(estimate_background(np.full(SHAPE, 5.0, np.float32))) == ()
