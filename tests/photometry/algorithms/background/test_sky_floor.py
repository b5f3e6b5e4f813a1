"""Level and noise of skies that were cut off at their lowest value, against the Gaussian that was drawn."""

from __future__ import annotations

import numpy as np
import pytest

from photometry_service.algorithms.background.estimate import estimate_background
from photometry_service.algorithms.background.sky_floor import find_floor, level_as_cut
from photometry_service.algorithms.detector.star_tops import sky_of

SIDE = 512
NOTHING = np.zeros((SIDE, SIDE), bool)


def drawn(level: float | np.ndarray, sigma: float, step: float = 0.0, seed: int = 1) -> np.ndarray:
    sky = np.random.default_rng(seed).normal(level, sigma, (SIDE, SIDE))
    return np.round(sky / step) * step if step else sky


def cut(sky: np.ndarray, lowest: float = 0.0) -> np.ndarray:
    return np.maximum(sky, lowest).astype(np.float32)


@pytest.mark.parametrize(
    ("above", "sigma", "step"),
    [(0.3, 19.0, 0.0), (0.3, 19.0, 2.0), (0.0, 10.0, 1.5), (-1.0, 10.0, 1.0), (2.0, 10.0, 1.0), (0.3, 0.6, 0.5)],
)
def test_level_and_noise_are_those_before_the_cut(above: float, sigma: float, step: float) -> None:
    for lowest in (0.0, 100.0):  # a plateau is anywhere
        sky = estimate_background(cut(lowest + drawn(above * sigma, sigma, step), lowest), NOTHING)
        assert sky.floor is not None and sky.floor.value == lowest
        # of 64 meshes with 4096 pixels each; with five sixths lost a mesh knows its level to 0.07 sigma
        assert sky.mesh.mean() == pytest.approx(lowest + above * sigma, abs=0.03 * sigma)
        assert sky.rms_median == pytest.approx(sigma, rel=0.02)


def test_bright_stars_do_not_move_a_level_that_was_cut_off() -> None:
    sky, rng = drawn(3.0, 10.0), np.random.default_rng(2)
    y, x = np.mgrid[-6:7, -6:7]
    for row, column in rng.integers(10, SIDE - 10, (400, 2)):
        sky[row - 6 : row + 7, column - 6 : column + 7] += 400 * np.exp(-(x * x + y * y) / 4.5)
    found = estimate_background(cut(sky), NOTHING)
    assert found.mesh.mean() == pytest.approx(3.0, abs=0.6)
    assert found.rms_median == pytest.approx(10.0, rel=0.03)


def test_a_part_of_the_frame_that_was_cut_off_is_enough() -> None:
    level = 10 + 200 * (np.arange(SIDE) / SIDE) ** 3
    found = estimate_background(cut(drawn(level, 10.0, 1.0)), NOTHING)
    assert found.floor is not None
    off = (found.level_map() - level) / 10
    assert np.abs(off[:, :300].mean()) < 0.02 and off.std() < 0.1
    assert found.mesh_rms.min() > 9.4


def test_padding_and_bad_pixels_at_the_lowest_value_are_no_cut() -> None:
    sky = drawn(1000.0, 20.0).astype(np.float32)
    sky[:, :100] = 0
    sky[np.random.default_rng(3).random(sky.shape) < 0.03] = 0
    sky[:, 300:303] = 0
    assert find_floor(sky, NOTHING) is None


def test_padding_beside_a_cut_sky_does_not_count_as_sky() -> None:
    sky = cut(drawn(5.0, 20.0))
    sky[:, :200] = 0
    found = estimate_background(sky, NOTHING)
    assert found.floor is not None and found.floor.share == pytest.approx(0.4013, abs=0.02)  # Phi(-5 / 20)
    assert found.mesh[:, 4:].mean() == pytest.approx(5.0, abs=0.6)
    assert found.rms_median == pytest.approx(20.0, rel=0.02)


@pytest.mark.parametrize(("level", "sigma"), [(20.0, 0.5), (20.4, 0.3), (3.0, 0.5), (12.0, 2.0)])
def test_a_natural_lowest_level_of_few_is_no_cut(level: float, sigma: float) -> None:
    assert find_floor(drawn(level, sigma, 1.0).astype(np.float32), NOTHING) is None


def test_counts_of_few_photons_are_no_cut() -> None:
    counts = np.random.default_rng(4).poisson(3.0, (SIDE, SIDE)).astype(np.float32)
    assert find_floor(counts, NOTHING) is None


def test_the_scatter_of_a_mostly_lost_sky_is_not_zero() -> None:
    level, sigma = sky_of(cut(drawn(-3.0, 10.0)), NOTHING)
    assert level == pytest.approx(-3.0, abs=0.6) and sigma == pytest.approx(10.0, rel=0.05)


def test_the_mean_of_a_cut_gaussian() -> None:
    expected = cut(drawn(2.0, 10.0)).mean()  # 262,144 pixels of sigma 6
    assert level_as_cut(np.array(2.0), np.array(10.0), 0.0) == pytest.approx(expected, abs=0.05)
