"""Companions on the residual image, and the rule against those that the PSF's own errors make."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from astro_shared.testing.profiles import add_stars
from photometry_service.algorithms.detection import filter_of_psf
from photometry_service.algorithms.fit_frame import FitFrame, fit_frame
from photometry_service.algorithms.psf_fit import PsfFit, fit_psf
from photometry_service.algorithms.psf_model import moffat_psf, round_shape, table_grid
from photometry_service.algorithms.residual_detection import (
    ResidualDetectionOptions,
    find_companions,
    residual_contrast,
)
from photometry_service.domain.psf import PsfModel, Sources

SKY_E = 300.0


def field(companions: bool) -> tuple[FitFrame, np.ndarray, np.ndarray, np.ndarray]:
    """100 bright stars, some with a faint companion at 4 px."""
    rng = np.random.default_rng(1)
    grid = np.arange(10) * 45.0 + 30
    x, y = (g.ravel() + rng.uniform(-2, 2, 100) for g in np.meshgrid(grid, grid))
    flux = np.full(100, 2e5)
    image, one = np.zeros((470, 470)), np.ones(100)
    add_stars(image, x, y, flux, fwhm=3.2 * one, e1=0 * one, e2=0 * one, beta=3.0)
    if companions:
        few = np.ones(20)
        add_stars(image, x[::5] + 4.0, y[::5], 2e4 * few, fwhm=3.2 * few, e1=0 * few, e2=0 * few, beta=3.0)
    data = image + rng.normal(0, np.sqrt(image + SKY_E))
    return fit_frame(data.astype(np.float32), np.full(data.shape, np.sqrt(SKY_E), np.float32)), x, y, flux


def psf_of(fwhm_px: float) -> PsfModel:
    return moffat_psf(round_shape(fwhm_px, 3.0), np.zeros((3, 1)), (470, 470), table_grid(fwhm_px))


def search(psf: PsfModel, companions: bool, options: ResidualDetectionOptions | None = None) -> tuple[Sources, PsfFit]:
    frame, x, y, flux = field(companions)
    fit = fit_psf(frame, psf, x, y, flux)
    known = Sources(fit.x, fit.y, fit.flux, fit.snr)
    return find_companions(frame, fit.residual, psf, filter_of_psf(psf), known, 4.8, options=options), fit


def test_companions_are_found_and_settle_in_their_places():
    psf = psf_of(3.2)
    found, fit = search(psf, True)
    frame, x, y, _ = field(True)
    # the star's own fit has pulled towards the companion: the residual peaks further out, and also on the other side
    assert 20 <= len(found) <= 45
    again = fit_psf(frame, psf, np.append(fit.x, found.x), np.append(fit.y, found.y), np.append(fit.flux, found.flux))
    real = np.flatnonzero(again.snr > 10)[100:]
    assert real.size == 20
    distance = np.hypot(again.x[real, None] - x[::5] - 4.0, again.y[real, None] - y[::5]).min(axis=0)
    assert distance.max() < 0.4
    assert np.median(again.flux[real]) > 1.8e4


def test_a_wrong_psf_makes_false_companions_only_without_the_rule():
    no_rule = ResidualDetectionOptions(contrast_factor=0.0, model_error=0.0, ring_factor=0.0)
    wrong = psf_of(3.0)
    assert len(search(wrong, False, no_rule)[0]) > 100
    for one_rule in (replace(no_rule, contrast_factor=4.0), replace(no_rule, ring_factor=2.0)):
        assert len(search(wrong, False, one_rule)[0]) <= 20
    assert len(search(wrong, False)[0]) <= 5


def test_nothing_is_found_on_top_of_a_known_star():
    found, fit = search(
        psf_of(3.0), False, ResidualDetectionOptions(contrast_factor=0.0, model_error=0.0, ring_factor=0.0)
    )
    nearest = np.hypot(found.x[:, None] - fit.x, found.y[:, None] - fit.y).min(axis=1)
    assert nearest.min() > 0.6 * 3.0


def test_contrast_is_the_noise_when_the_psf_is_right():
    frame, x, y, flux = field(False)
    psf = psf_of(3.2)
    fit = fit_psf(frame, psf, x, y, flux)
    kernel = filter_of_psf(psf)
    level = residual_contrast(fit.residual, frame, kernel, Sources(fit.x, fit.y, fit.flux, fit.snr), 14)
    noise = np.sqrt(SKY_E) * kernel.noise_factor / 2e5
    assert level.shape == (15,)
    assert 0.8 * noise < level[14] < 1.2 * noise
    assert level[3] > level[14], "the stars' own shot noise"


def test_a_galaxy_is_not_taken_apart():
    rng = np.random.default_rng(3)
    image, one = np.zeros((300, 300)), np.ones(9)
    grid = np.array([60.0, 150.0, 240.0])
    x, y = (g.ravel() for g in np.meshgrid(grid, grid))
    add_stars(image, x, y, 3e5 * one, fwhm=9.0 * one, e1=0.2 * one, e2=0.1 * one, beta=2.5)
    data = (image + rng.normal(0, np.sqrt(image + SKY_E))).astype(np.float32)
    frame = fit_frame(data, np.full(data.shape, np.sqrt(SKY_E), np.float32))
    psf = psf_of(3.2)
    fit = fit_psf(frame, psf, x, y, 1e5 * one)
    known = Sources(fit.x, fit.y, fit.flux, fit.snr)

    def count(ring_factor: float) -> int:
        options = ResidualDetectionOptions(contrast_factor=0.0, ring_factor=ring_factor)
        return len(find_companions(frame, fit.residual, psf, filter_of_psf(psf), known, 4.8, options=options))

    assert count(0.0) > 20
    assert count(2.0) < 0.35 * count(0.0)


def test_without_known_sources_everything_is_new():
    frame, x, _, _ = field(False)
    psf = psf_of(3.2)
    none = Sources(*np.empty((4, 0)))
    found = find_companions(frame, frame.data, psf, filter_of_psf(psf), none, 10.0)
    assert len(found) >= x.size
