"""Companions on the residual image, and the rule against those that the PSF's own errors make."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from astro_shared.testing.profiles import add_stars
from photometry_service.algorithms.detection.fit_frame import FitFrame, fit_frame
from photometry_service.algorithms.detection.residual_pattern import PatternOptions, residual_pattern
from photometry_service.algorithms.detection.residuals import (
    ResidualDetectionOptions,
    find_companions,
)
from photometry_service.algorithms.psf.fit import PsfFit, fit_psf
from photometry_service.algorithms.psf.matched_filter import filter_of_psf
from photometry_service.algorithms.psf.model import moffat_psf, round_shape, table_grid
from photometry_service.domain.psf import PsfModel, Sources

SKY_E = 300.0


NO_PATTERN = PatternOptions(spread_factor=0.0)


def companion_offsets() -> tuple[np.ndarray, np.ndarray]:
    """Four pixels away, in twenty directions: in one direction they would look like the PSF's own error."""
    angle = np.arange(20) * 2 * np.pi / 20
    return 4.0 * np.cos(angle), 4.0 * np.sin(angle)


def field(companions: bool) -> tuple[FitFrame, np.ndarray, np.ndarray, np.ndarray]:
    """100 bright stars, every fifth with a faint companion at 4 px."""
    rng = np.random.default_rng(1)
    grid = np.arange(10) * 45.0 + 30
    x, y = (g.ravel() + rng.uniform(-2, 2, 100) for g in np.meshgrid(grid, grid))
    flux = np.full(100, 2e5)
    image, one = np.zeros((470, 470)), np.ones(100)
    add_stars(image, x, y, flux, fwhm=3.2 * one, e1=0 * one, e2=0 * one, beta=3.0)
    if companions:
        few = np.ones(20)
        dx, dy = companion_offsets()
        add_stars(image, x[::5] + dx, y[::5] + dy, 2e4 * few, fwhm=3.2 * few, e1=0 * few, e2=0 * few, beta=3.0)
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
    dx, dy = companion_offsets()
    distance = np.hypot(again.x[real, None] - x[::5] - dx, again.y[real, None] - y[::5] - dy).min(axis=0)
    assert distance.max() < 0.4
    assert np.median(again.flux[real]) > 1.8e4


def test_a_wrong_psf_makes_false_companions_only_without_the_rule():
    no_rule = ResidualDetectionOptions(pattern=NO_PATTERN, model_error=0.0, ring_factor=0.0)
    wrong = psf_of(3.0)
    assert len(search(wrong, False, no_rule)[0]) > 100
    for one_rule in (replace(no_rule, pattern=PatternOptions()), replace(no_rule, ring_factor=2.0)):
        assert len(search(wrong, False, one_rule)[0]) <= 20
    assert len(search(wrong, False)[0]) <= 5


def test_nothing_is_found_on_top_of_a_known_star():
    found, fit = search(
        psf_of(3.0), False, ResidualDetectionOptions(pattern=NO_PATTERN, model_error=0.0, ring_factor=0.0)
    )
    nearest = np.hypot(found.x[:, None] - fit.x, found.y[:, None] - fit.y).min(axis=1)
    assert nearest.min() > 0.6 * 3.0


def pattern_of(psf: PsfModel):
    frame, x, y, flux = field(False)
    fit = fit_psf(frame, psf, x, y, flux)
    return residual_pattern(frame, fit.residual, filter_of_psf(psf), Sources(fit.x, fit.y, fit.flux, fit.snr), 14)


def explained(pattern, distance_px: float) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, 50)
    middle, one = 235.0 * np.ones(50), np.ones(50)
    return pattern.explained(middle, middle, distance_px * one, angles, PatternOptions())


def test_a_right_psf_explains_nothing_that_stands_out_of_the_noise():
    psf = psf_of(3.2)
    pattern = pattern_of(psf)
    noise = np.sqrt(SKY_E) * filter_of_psf(psf).noise_factor / 2e5
    assert np.nanstd(pattern.level[:, 14]) < 1.2 * noise
    for distance_px in (3.0, 6.0, 12.0):
        assert np.median(explained(pattern, distance_px)) < 2 * noise


def test_a_wrong_psf_explains_its_rings_where_they_are():
    pattern = pattern_of(psf_of(3.0))
    assert np.median(explained(pattern, 3.0)) > 0.005
    assert np.median(explained(pattern, 12.0)) < 0.002


def test_too_few_stars_show_no_pattern():
    frame, x, y, flux = field(False)
    psf = psf_of(3.2)
    few = Sources(x[:5], y[:5], flux[:5], flux[:5])
    assert residual_pattern(frame, frame.data, filter_of_psf(psf), few, 10) is None


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
        options = ResidualDetectionOptions(pattern=NO_PATTERN, ring_factor=ring_factor)
        return len(find_companions(frame, fit.residual, psf, filter_of_psf(psf), known, 4.8, options=options))

    assert count(0.0) > 20
    assert count(2.0) < 0.35 * count(0.0)


def test_without_known_sources_everything_is_new():
    frame, x, _, _ = field(False)
    psf = psf_of(3.2)
    none = Sources(*np.empty((4, 0)))
    found = find_companions(frame, frame.data, psf, filter_of_psf(psf), none, 10.0)
    assert len(found) >= x.size
