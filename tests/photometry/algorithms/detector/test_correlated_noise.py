"""Noise that pixels share, told from light of faint stars and from structure of the sky."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from photometry_service.algorithms.detector.correlated_noise import correlated_noise, resampled_words

SIGMA = 10.0
STAR = np.exp(-0.5 * (np.hypot(*(np.mgrid[:13, :13] - 6)) / 1.4) ** 2)
"""A star of 3.3 px."""


def found_in(residual):
    residual = residual.astype(np.float32)
    rms = np.full_like(residual, residual.std())
    return correlated_noise(residual, np.zeros_like(residual), rms, np.ones(residual.shape, bool), STAR)


def white(seed=1, size=400):
    return np.random.default_rng(seed).normal(0, SIGMA, (size, size))


def moved(noise, x, y):
    """Shifted by parts of a pixel, linear between them."""
    along = (1 - x) * noise + x * np.roll(noise, 1, axis=1)
    return (1 - y) * along + y * np.roll(along, 1, axis=0)


@pytest.mark.parametrize(("x", "y"), [(0.5, 0.5), (0.3, 0.7), (0.5, 0.0)])
def test_a_shift_by_part_of_a_pixel_is_measured(x, y):
    found = found_in(moved(white(), x, y))
    assert found is not None
    neighbours = [t * (1 - t) / (t**2 + (1 - t) ** 2) for t in (x, y)]
    assert found.neighbours == pytest.approx(neighbours, abs=0.02)  # 150,000 pairs: 0.003 each
    assert found.total == pytest.approx((1 + 2 * neighbours[0]) * (1 + 2 * neighbours[1]), rel=0.05)


def test_smoothing_and_cubic_interpolation_are_measured():
    smooth = found_in(gaussian_filter(white(), 0.8))
    assert smooth is not None
    assert smooth.neighbours == pytest.approx([np.exp(-0.25 / 0.64)] * 2, abs=0.02)
    cubic = found_in(shift(white(), (0.5, 0.5), order=3, mode="wrap"))
    assert cubic is not None
    assert cubic.total == pytest.approx(1 / np.var(shift(white(), (0.5, 0.5), order=3, mode="wrap") / SIGMA), rel=0.1)


def test_independent_pixels_and_structure_of_the_sky_are_not_correlated_noise():
    assert found_in(white()) is None
    waves = 0.5 * SIGMA * np.sin(np.arange(400) / 30)
    assert found_in(white() + waves + waves[:, None]) is None
    rows = np.random.default_rng(2).normal(0, 0.4 * SIGMA, 400)
    assert found_in(white() + rows[:, None]) is None


@pytest.mark.parametrize("number", [3_000, 20_000])
def test_light_of_faint_stars_is_not_correlated_noise(number):
    rng = np.random.default_rng(3)
    stars = np.zeros((400, 400))
    np.add.at(stars, tuple(rng.integers(0, 400, (2, number))), rng.exponential(4 * SIGMA, number))
    light = gaussian_filter(stars, 1.4)
    assert found_in(white() + light - light.mean()) is None


def test_models_of_sources_and_pixels_that_are_not_good_are_left_out():
    noise = moved(white(), 0.5, 0.5).astype(np.float32)
    rms = np.full_like(noise, noise.std())
    bad = np.zeros(noise.shape, bool)
    bad[100:200] = True
    light = np.where(np.arange(400) > 300, 50.0, 0.0)[:, None] * np.ones(400, np.float32)
    spoilt = np.where(bad | (light > 0), np.float32(300.0), noise)
    found = correlated_noise(spoilt, light.astype(np.float32), rms, ~bad, STAR)
    assert found is not None
    assert found.neighbours == pytest.approx((0.5, 0.5), abs=0.02)


def test_too_few_pixels_tell_nothing():
    assert found_in(moved(white(size=40), 0.5, 0.5)) is None
    assert found_in(moved(white(size=12), 0.5, 0.5)) is None


def test_words_name_the_correlation():
    found = found_in(moved(white(), 0.5, 0.0))
    assert found is not None
    assert "noise of neighbouring pixels is correlated (0.49 along x, 0.00 along y)" in resampled_words(found)[0]
    assert resampled_words(None) == ()
