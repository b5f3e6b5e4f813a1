"""Close pairs of bright stars come out as two; single stars that the PSF describes badly do not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from astro_shared.testing.profiles import add_stars
from photometry_service.algorithms.detection.fit_frame import fit_frame
from photometry_service.algorithms.psf.fit import FitOptions, fit_psf
from photometry_service.algorithms.psf.model import moffat_psf, round_shape, table_grid
from photometry_service.algorithms.psf.photometry import measure_psf
from photometry_service.algorithms.psf.split import SplitOptions, split_pairs

SKY_E, FWHM_PX, SIDE_PX = 400.0, 3.0, 470
PAIRS = 12
HOSTS = np.arange(PAIRS) * 8


def drawn(
    x: np.ndarray, y: np.ndarray, flux: np.ndarray, *, e1: float | np.ndarray = 0.0, width: float | np.ndarray = 1.0
) -> np.ndarray:
    """A frame of Moffats with noise, electrons, sky subtracted."""
    image, one = np.zeros((SIDE_PX, SIDE_PX)), np.ones(x.size)
    add_stars(image, x, y, flux, fwhm=FWHM_PX * width * one, e1=e1 * one, e2=0 * one, beta=3.5)
    return (image + np.random.default_rng(3).normal(0, np.sqrt(image + SKY_E))).astype(np.float32)


def grid() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """100 stars far from each other, 3e3 to 3e5 electrons."""
    rng = np.random.default_rng(2)
    at = np.arange(10) * 45.0 + 30
    x, y = (g.ravel() + rng.uniform(-2, 2, 100) for g in np.meshgrid(at, at))
    return x, y, 10 ** rng.uniform(3.5, 5.5, 100)


def with_companions() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Twelve of them of 4e4 to 2e5 electrons get a companion of 0.5 to 1 times their flux, 1.05 to 1.3 FWHM away."""
    x, y, flux = grid()
    flux[HOSTS] = np.geomspace(4e4, 2e5, PAIRS)
    number = np.arange(PAIRS)
    apart, angle = FWHM_PX * (1.05 + 0.25 * (number % 4) / 3), 2.4 * number
    dx, dy, ratio = apart * np.cos(angle), apart * np.sin(angle), 0.5 + 0.1 * (number % 6)
    return (
        np.concatenate([x, x[HOSTS] + dx]),
        np.concatenate([y, y[HOSTS] + dy]),
        np.concatenate([flux, flux[HOSTS] * ratio]),
    )


def test_close_pairs_of_bright_stars_come_out_as_two():
    x, y, flux = with_companions()
    found = measure_psf(drawn(x, y, flux), np.full((SIDE_PX, SIDE_PX), np.sqrt(SKY_E), np.float32))
    away, near = cKDTree(np.c_[found.x, found.y]).query(np.c_[x, y])
    assert len(found) == x.size
    assert away.max() < 0.3
    assert np.abs(found.flux[near] / flux - 1).max() < 0.1


def test_pairs_are_told_from_single_stars():
    x, y, flux = with_companions()
    frame = fit_frame(drawn(x, y, flux), np.full((SIDE_PX, SIDE_PX), np.sqrt(SKY_E), np.float32))
    psf = moffat_psf(round_shape(FWHM_PX, 3.5), np.zeros((3, 1)), frame.shape, table_grid(FWHM_PX))
    taken_for_one = fit_psf(frame, psf, x[:100], y[:100], flux[:100])
    assert set(split_pairs(frame, psf, taken_for_one, FitOptions(), 4.8).row) == set(HOSTS)


def test_pairs_that_barely_stand_out_of_the_noise_come_out_as_two():
    x, y, flux = grid()
    flux[HOSTS] = 3000.0
    angle, apart = 2.4 * np.arange(PAIRS), FWHM_PX * 1.05
    every = x[HOSTS] + apart * np.cos(angle), y[HOSTS] + apart * np.sin(angle), np.full(PAIRS, 2500.0)
    x, y, flux = (np.concatenate(pair) for pair in zip((x, y, flux), every, strict=True))
    found = measure_psf(drawn(x, y, flux), np.full((SIDE_PX, SIDE_PX), np.sqrt(SKY_E), np.float32))
    away = cKDTree(np.c_[found.x, found.y]).query(np.c_[x, y])[0]
    assert np.count_nonzero(away > 1.0) <= 1
    assert len(found) <= x.size


@pytest.mark.parametrize("e1", [0.0, 0.1, 0.2, 0.4])
def test_elongated_stars_that_the_psf_does_not_know_are_not_split(e1: float):
    x, y, flux = grid()
    frame = fit_frame(drawn(x, y, flux, e1=e1), np.full((SIDE_PX, SIDE_PX), np.sqrt(SKY_E), np.float32))
    psf = moffat_psf(round_shape(FWHM_PX, 3.5), np.zeros((3, 1)), frame.shape, table_grid(FWHM_PX))
    fit = fit_psf(frame, psf, x, y, flux)
    assert np.nanmax(fit.chi2_red) > 200 * e1**2
    assert split_pairs(frame, psf, fit, FitOptions(), 4.8).row.size == 0


def test_light_that_is_wide_on_all_sides_is_no_pair():
    x, y, flux = grid()
    flux[HOSTS] = np.geomspace(8e3, 4e4, PAIRS)
    width, e1 = np.ones(x.size), np.zeros(x.size)
    width[HOSTS], e1[HOSTS] = 1.5, 0.35
    frame = fit_frame(drawn(x, y, flux, e1=e1, width=width), np.full((SIDE_PX, SIDE_PX), np.sqrt(SKY_E), np.float32))
    psf = moffat_psf(round_shape(FWHM_PX, 3.5), np.zeros((3, 1)), frame.shape, table_grid(FWHM_PX))
    fit = fit_psf(frame, psf, x, y, flux)
    assert np.median(fit.chi2_red[HOSTS]) > 1.5
    assert split_pairs(frame, psf, fit, FitOptions(), 4.8, SplitOptions(broad=np.inf)).row.size > 5
    assert split_pairs(frame, psf, fit, FitOptions(), 4.8).row.size == 0
