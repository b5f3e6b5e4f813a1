"""Injected stars: what goes in, and the share that comes out."""

from __future__ import annotations

import numpy as np
import pytest

from photometry_service.algorithms.psf.forced import measure_forced, zero_flux_error
from photometry_service.algorithms.psf.model import moffat_psf, round_shape, table_grid
from photometry_service.algorithms.psf.photometry import measure_psf
from photometry_service.algorithms.quality.completeness import (
    Completeness,
    InjectionOptions,
    inject_stars,
    injected_completeness,
)

SKY_E = 300.0
SIZE = 500
PSF = moffat_psf(round_shape(3.2, 3.0), np.zeros((3, 1)), (SIZE, SIZE), table_grid(3.2))
RMS = np.full((SIZE, SIZE), np.sqrt(SKY_E), np.float32)


def noise(seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, np.sqrt(SKY_E), (SIZE, SIZE)).astype(np.float32)


def sigma_zero() -> float:
    return float(zero_flux_error(PSF, np.array([np.sqrt(SKY_E)]), np.array([250.0]), np.array([250.0]))[0])


def test_injected_stars_have_their_flux_and_shot_noise():
    rng = np.random.default_rng(2)
    grid = np.arange(30.0, 480, 40)
    x, y = (g.ravel() + rng.uniform(-1, 1, grid.size**2) for g in np.meshgrid(grid, grid))
    flux = np.full(x.size, 1e4)
    data = noise()
    with_stars = inject_stars(data, PSF, x, y, flux, rng)
    assert with_stars is not data
    result = measure_forced(with_stars, RMS, PSF, x, y)
    pulls = (result.flux - flux) / result.flux_err
    assert abs(pulls.mean()) < 3 / np.sqrt(x.size)
    assert pulls.std() == pytest.approx(1.0, abs=0.18)


def test_a_star_beyond_the_edge_leaves_its_wing():
    data = np.zeros((SIZE, SIZE), np.float32)
    out = inject_stars(data, PSF, np.array([-2.0]), np.array([10.0]), np.array([1e5]), np.random.default_rng(3), 0.0)
    assert out[10, 0] > 100
    assert 0.05 < out.sum() / 1e5 < 0.5


def test_completeness_on_empty_sky_is_that_of_the_matched_filter():
    data = noise()
    sigma = sigma_zero()

    def measure(frame):
        return measure_psf(frame, RMS, psf=PSF)

    result = injected_completeness(
        data, PSF, sigma, measure, np.random.default_rng(4), known=measure(data), options=InjectionOptions(rounds=8)
    )
    snr = result.flux / sigma
    assert result.injected.sum() == 8 * int(SIZE**2 / 900 / 3.2**2)
    assert result.fraction[snr > 9].mean() > 0.95
    assert result.fraction[snr < 3].mean() < 0.3
    # half of the stars at the threshold of 4.8 sigma exceed it; shot noise and half-pixel offsets lift it a little
    assert 4.0 < result.flux_at(0.5) / sigma < 6.0
    assert np.nanmedian(np.abs(result.flux_bias[snr > 10])) < 0.1


def test_limits_are_interpolated_from_the_bright_end():
    flux = np.array([1.0, 2.0, 4.0, 8.0])
    n = np.full(4, 100)
    made = Completeness(flux, n, np.array([0, 60, 40, 100]), np.zeros(4))
    assert made.flux_at(0.5) == pytest.approx(4.0 * 2 ** (1 / 6))
    assert np.isnan(Completeness(flux, n, n, np.zeros(4)).flux_at(0.5))
    assert np.isnan(Completeness(flux, n * 0, n * 0, np.zeros(4)).fraction).all()
    assert made.fraction_err[1] == pytest.approx(0.049, abs=0.002)
