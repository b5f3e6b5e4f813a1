"""Curve of growth and corrections against analytic profiles."""

import numpy as np
import pytest

from astro_shared.testing.profiles import add_stars
from photometry_service.algorithms.aperture_correction import aperture_corrections, curve_of_growth, growth_radii_fwhm
from photometry_service.algorithms.apertures import ApertureOptions, aperture_photometry, pixel_state
from photometry_service.algorithms.background import Background

FWHM, BETA = 4.0, 3.0
NO_ANNULUS = ApertureOptions(annulus_fwhm=None)


def enclosed(radius):
    """Share of a Moffat's flux inside a radius, analytic."""
    alpha = FWHM / (2 * np.sqrt(2 ** (1 / BETA) - 1))
    return 1 - (1 + (np.asarray(radius) / alpha) ** 2) ** (1 - BETA)


def stars(n=64, flux=2e5, sigma=5.0, seed=1):
    rng = np.random.default_rng(seed)
    side = 100 * int(np.sqrt(n))
    grid = np.arange(50, side, 100)
    x, y = (c.ravel() + rng.uniform(-0.5, 0.5, n) for c in np.meshgrid(grid, grid))
    image = np.zeros((side, side))
    add_stars(image, x, y, np.full(n, flux), fwhm=np.full(n, FWHM), e1=np.zeros(n), e2=np.zeros(n), beta=BETA)
    noisy = rng.poisson(image) + rng.normal(0, sigma, image.shape)
    background = Background(np.zeros((3, 3)), np.full((3, 3), sigma), np.full((3, 3), 4000, np.int32), image.shape, 64)
    return noisy.astype(np.float32), background, x, y


def test_curve_of_growth_is_the_analytic_one():
    data, background, x, y = stars()
    curve = curve_of_growth(data, background, x, y, fwhm_px=FWHM, options=NO_ANNULUS)
    expected = enclosed(curve.radii_px) / enclosed(4 * FWHM)
    wide = curve.radii_px > 1.25 * FWHM  # further in, integration over the pixel moves light outwards by per cents
    assert curve.fraction[wide] == pytest.approx(expected[wide], abs=0.008)
    pulls = (curve.fraction[wide] - expected[wide]) / np.maximum(curve.fraction_err[wide], 1e-9)
    assert curve.n_stars == 64
    assert np.all(np.diff(curve.fraction) > 0)
    assert np.abs(pulls[curve.radii_px[wide] > 2.5 * FWHM][:-1]).max() < 4
    assert curve.fraction[-1] == pytest.approx(1.0)


def test_half_light_radius():
    data, background, x, y = stars()
    curve = curve_of_growth(data, background, x, y, fwhm_px=FWHM, options=NO_ANNULUS)
    alpha = FWHM / (2 * np.sqrt(2 ** (1 / BETA) - 1))
    half = 1 - 0.5 * enclosed(4 * FWHM)
    assert curve.radius_px(0.5) == pytest.approx(alpha * np.sqrt(half ** (1 / (1 - BETA)) - 1), rel=0.03)
    assert np.isnan(curve.radius_px(1.5))


def test_correction_carries_apertures_to_the_whole_flux():
    data, background, x, y = stars()
    options = ApertureOptions(radii_fwhm=(1.0, 1.5, 2.0, 3.0, 4.0), annulus_fwhm=None)
    measured = aperture_photometry(data, background, x, y, fwhm_px=FWHM, options=options)
    result = aperture_corrections(
        measured.flux_e, measured.flux_e[:, -1], radii_px=measured.radii_px, reference="4 FWHM"
    )
    expected = -2.5 * np.log10(enclosed(measured.radii_px) / enclosed(4 * FWHM))
    assert result.correction_mag == pytest.approx(expected, abs=0.012)
    assert result.correction_mag[-1] == 0.0
    assert (result.n_stars[:-1] > 55).all()
    whole = result.whole_flux(measured.flux_e)
    assert np.median(whole / measured.flux_e[:, -1:], axis=0) == pytest.approx(np.ones(5), abs=1e-3)


def test_error_covers_the_scatter_between_samples():
    rng = np.random.default_rng(3)
    true = np.array([0.12, 0.05])
    corrections, errors = [], []
    for _ in range(200):
        whole = rng.uniform(1e4, 1e6, 40)
        flux = whole[:, None] * 10 ** (-0.4 * (true + rng.normal(0, [0.02, 0.01], (40, 2))))
        result = aperture_corrections(flux, whole, radii_px=np.array([3.0, 5.0]), reference="psf")
        corrections.append(result.correction_mag)
        errors.append(result.error_mag)
    pulls = (np.array(corrections) - true) / np.array(errors)
    assert pulls.std(axis=0) == pytest.approx([1.0, 1.0], abs=0.2)  # 200 trials know it to 5 %, the errors to 12 %
    assert np.abs(pulls.mean(axis=0)).max() < 0.3


def test_outliers_are_clipped():
    rng = np.random.default_rng(4)
    whole = np.full(50, 1e5)
    flux = whole * 10 ** (-0.4 * (0.1 + rng.normal(0, 0.005, 50)))
    flux[:8] *= 3.0
    result = aperture_corrections(flux[:, None], whole, radii_px=np.array([3.0]), reference="psf")
    assert result.correction_mag[0] == pytest.approx(0.1, abs=0.003)
    assert result.n_stars[0] <= 42


def test_too_few_stars_give_no_correction():
    result = aperture_corrections(
        np.array([[100.0], [100.0], [-5.0]]), np.full(3, 120.0), radii_px=np.array([3.0]), reference="psf"
    )
    assert np.isnan(result.correction_mag[0])
    assert result.n_stars[0] == 2


def test_stars_with_bad_pixels_do_not_enter_the_curve():
    data, background, x, y = stars(n=16)
    mask = np.zeros(data.shape, bool)
    mask[round(y[0]) + 6, round(x[0])] = True
    curve = curve_of_growth(data, background, x, y, fwhm_px=FWHM, state=pixel_state(mask), options=NO_ANNULUS)
    assert curve.n_stars == 15


def test_curve_without_stars_is_undefined():
    data, background, _, _ = stars(n=1)
    curve = curve_of_growth(data, background, np.array([]), np.array([]), fwhm_px=FWHM)
    assert curve.n_stars == 0
    assert np.isnan(curve.fraction).all()
    assert np.isnan(curve.radius_px(0.5))


def test_radii_grow_from_the_core_to_the_largest():
    radii = growth_radii_fwhm(4.0, 10)
    assert radii[-1] == pytest.approx(4.0)
    assert np.all(np.diff(radii) > 0)
    assert radii[0] < 0.2
