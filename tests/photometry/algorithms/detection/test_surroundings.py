"""Stars stand out of what is left around them; maxima of halos, slopes and plateaus do not."""

from __future__ import annotations

import numpy as np
import pytest

from astro_shared.testing.profiles import add_stars
from photometry_service.algorithms.detection.fit_frame import fit_frame
from photometry_service.algorithms.detection.surroundings import Surroundings, circle_levels, surroundings
from photometry_service.algorithms.psf.fit import fit_psf
from photometry_service.algorithms.psf.matched_filter import filter_of_psf
from photometry_service.algorithms.psf.model import moffat_psf, round_shape, table_grid

SIDE, SKY_E, FWHM_PX = 300, 300.0, 3.2
PSF = moffat_psf(round_shape(FWHM_PX, 3.0), np.zeros((3, 1)), (SIDE, SIDE), table_grid(FWHM_PX))
Y, X = np.mgrid[:SIDE, :SIDE]


def judge(light: np.ndarray, x: np.ndarray, y: np.ndarray, flux: float, star_flux: float) -> Surroundings:
    """Stars of a flux on some light, fitted; the verdict on each."""
    one = np.ones(x.size)
    image = light.astype(np.float64)
    if star_flux:
        add_stars(image, x, y, star_flux * one, fwhm=FWHM_PX * one, e1=0 * one, e2=0 * one, beta=3.0)
    data = image + np.random.default_rng(2).normal(0, np.sqrt(image + SKY_E))
    frame = fit_frame(data.astype(np.float32), np.full(data.shape, np.sqrt(SKY_E), np.float32))
    fit = fit_psf(frame, PSF, x, y, flux * one)
    return surroundings(frame, fit.residual, PSF, filter_of_psf(PSF), fit.x, fit.y, fit.flux)


def places(seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    grid = np.arange(10) * 27.0 + 28
    x, y = (g.ravel() + rng.uniform(-4, 4, 100) for g in np.meshgrid(grid, grid))
    return x, y


def test_stars_stand_alone_on_an_even_sky() -> None:
    x, y = places()
    for flux in (800.0, 1e5):  # S/N 8 and 250
        seen = judge(np.zeros((SIDE, SIDE)), x, y, flux, flux)
        assert not seen.extended.any()
        assert not seen.no_peak.any()


def test_maxima_of_a_plateau_and_of_a_slope_are_no_peaks() -> None:
    x, y = places()
    assert judge(np.full((SIDE, SIDE), 200.0), x, y, 3000.0, 0.0).no_peak.all()
    slope = judge(3.0 * X, x, y, 3000.0, 0.0)
    assert slope.extended.all()
    # where the level is hundreds of steps, both sides of a place are alike within 0.7
    assert slope.no_peak.mean() > 0.5


def test_a_bright_star_on_a_slope_keeps_its_place() -> None:
    x, y = places()
    assert not judge(0.5 * X, x, y, 2e4, 2e4).extended.any()


def test_the_middle_of_a_galaxy_is_extended_but_a_peak() -> None:
    centre = np.array([150.3])
    light = 300.0 * np.exp(-np.hypot(X - 150.3, Y - 150.3) / 12.0)
    seen = judge(light, centre, centre, 1e4, 0.0)
    assert seen.extended.all()
    assert not seen.no_peak.any()


def test_fits_without_a_result_are_left_alone() -> None:
    frame = fit_frame(np.zeros((64, 64), np.float32), np.ones((64, 64), np.float32))
    bad = np.array([np.nan, 20.0, 30.0])
    seen = surroundings(frame, frame.data, PSF, filter_of_psf(PSF), bad, bad, np.array([1.0, np.nan, -5.0]))
    assert not seen.extended.any()


@pytest.mark.parametrize(
    ("x", "y", "on_the_frame"),
    [(2.0, 32.0, (True, True, False, True)), (61.0, 32.0, (False, True, True, True)),
     (32.0, 2.0, (True, True, True, False)), (32.0, 61.0, (True, False, True, True))],
)  # fmt: skip
def test_places_off_any_edge_of_the_frame_have_no_level(x: float, y: float, on_the_frame: tuple[bool, ...]) -> None:
    frame = fit_frame(np.full((64, 64), 7.0, np.float32), np.ones((64, 64), np.float32))
    angles = np.radians([0.0, 90.0, 180.0, 270.0])
    level = circle_levels(frame, frame.data, filter_of_psf(PSF), np.array([x]), np.array([y]), 20.0, angles)
    assert tuple(np.isfinite(level)[0].tolist()) == on_the_frame


def test_the_first_place_beyond_the_last_pixel_is_off_the_frame() -> None:
    frame = fit_frame(np.full((64, 64), 7.0, np.float32), np.ones((64, 64), np.float32))
    at = np.array([44.0])
    level = circle_levels(frame, frame.data, filter_of_psf(PSF), at, at, 20.0, np.radians([0.0, 90.0]))
    assert np.isnan(level).all()
