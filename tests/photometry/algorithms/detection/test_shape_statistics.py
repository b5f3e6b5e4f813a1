"""Sharpness and roundness against photutils' DAOStarFinder at the same pixels."""

from __future__ import annotations

import numpy as np
import pytest
from photutils.detection import DAOStarFinder

from astro_shared.testing.profiles import add_stars
from photometry_service.algorithms.detection.shape_statistics import shape_statistics


def grid_of_stars() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(4)
    x, y = (
        g.ravel() + rng.uniform(-0.5, 0.5, 36) for g in np.meshgrid(np.arange(6) * 25.0 + 20, np.arange(6) * 25.0 + 20)
    )
    image = rng.normal(0, 10, (170, 170))
    one = np.ones(36)
    add_stars(image, x, y, np.geomspace(3e3, 1e5, 36), fwhm=3.2 * one, e1=0.05 * one, e2=0 * one, beta=3.0)
    return image.astype(np.float32), x, y


@pytest.mark.parametrize("fwhm_px", [2.0, 3.2, 6.0])
def test_statistics_equal_photutils(fwhm_px):
    image, x, y = grid_of_stars()
    pixels = np.rint(np.stack([x, y], axis=1)).astype(int)
    everything = (-np.inf, np.inf)
    table = DAOStarFinder(
        threshold=1e-6, fwhm=fwhm_px, xycoords=pixels, sharpness_range=everything, roundness_range=everything
    ).find_stars(image.astype(np.float64))
    ours = shape_statistics(image, x, y, fwhm_px)
    assert len(table) == x.size
    for name in ("sharpness", "roundness1", "roundness2"):
        assert np.abs(np.asarray(table[name]) - getattr(ours, name)).max() < 2e-5  # float32 image


def test_a_trail_along_x_is_not_round():
    image = np.zeros((60, 60))
    one = np.ones(12)
    add_stars(image, 30 + np.linspace(-4, 4, 12), 30 * one, 1e3 * one, fwhm=3.0 * one, e1=0 * one, e2=0 * one, beta=3.0)
    trail = shape_statistics(image.astype(np.float32), np.array([30.0]), np.array([30.0]), 3.0)
    assert trail.roundness2[0] < -0.3


def test_edges_and_masked_pixels_give_nan():
    image, x, y = grid_of_stars()
    mask = np.zeros(image.shape, dtype=np.uint8)
    mask[round(y[7]), round(x[7]) + 1] = 1
    ours = shape_statistics(image, np.append(x, 2.0), np.append(y, 80.0), 3.2, mask)
    assert np.flatnonzero(np.isnan(ours.sharpness)).tolist() == [7, 36]


def test_no_sources_give_empty_arrays():
    assert shape_statistics(np.zeros((20, 20), np.float32), np.empty(0), np.empty(0), 3.0).roundness1.size == 0
