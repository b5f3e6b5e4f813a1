"""Apertures against an independent overlap integral, photutils, and simulated stars with known errors."""

import numpy as np
import pytest

from astro_shared.testing.profiles import add_stars
from photometry_service.algorithms.apertures.photometry import (
    ApertureOptions,
    OwnModels,
    aperture_photometry,
    pixel_state,
)
from photometry_service.algorithms.background.estimate import Background
from photometry_service.domain.flags import SourceFlag
from photometry_service.domain.noise import NoiseCorrelation

SIGMA_E = 18.0
NO_ANNULUS = ApertureOptions(annulus_fwhm=None)


def flat_background(shape, level=0.0, sigma=SIGMA_E):
    return Background(np.full((3, 3), level), np.full((3, 3), sigma), np.full((3, 3), 4000, np.int32), shape, 64)


def overlap(i, j, x, y, r):
    """Twin: area of pixel (i, j) inside the circle, by integrating the clipped chord in 4000 strips."""
    t = i - 0.5 + (np.arange(4000) + 0.5) / 4000 - x
    chord = np.sqrt(np.maximum(r * r - t * t, 0.0))
    return np.mean(np.maximum(np.minimum(chord, j + 0.5 - y) - np.maximum(-chord, j - 0.5 - y), 0.0))


def clipped(values, clip=3.0):
    """Twin of the annulus: median and count after clipping to convergence."""
    while True:
        median, sigma = np.median(values), values.std()
        kept = values[np.abs(values - median) <= clip * sigma]
        if kept.size == values.size:
            return median, values.size
        values = kept


@pytest.mark.parametrize(("x", "y"), [(20.0, 20.0), (20.5, 19.5), (20.31, 19.87), (20.999, 20.001)])
@pytest.mark.parametrize("radius", [0.3, 0.5, 1.0, 3.2, 7.77])
def test_weights_are_the_exact_overlap(x, y, radius):
    shape = (41, 41)
    options = ApertureOptions(radii_fwhm=(radius,), annulus_fwhm=None)
    total = area = 0.0
    values = np.random.default_rng(1).normal(100, 30, shape).astype(np.float32)
    for j in range(10, 31):
        for i in range(10, 31):
            w = overlap(i, j, x, y, radius)
            total, area = total + w * float(values[j, i]), area + w
    result = aperture_photometry(values, flat_background(shape), x, y, fwhm_px=1.0, options=options)
    assert result.area_px[0, 0] == pytest.approx(np.pi * radius**2, rel=1e-12)
    assert result.flux_e[0, 0] == pytest.approx(total, rel=3e-4)
    assert area == pytest.approx(np.pi * radius**2, rel=3e-4)


def test_sums_agree_with_photutils():
    from photutils.aperture import CircularAperture
    from photutils.aperture import aperture_photometry as reference

    rng = np.random.default_rng(2)
    data = rng.normal(5, 20, (100, 120)).astype(np.float32)
    x, y = rng.uniform(-3, 123, 60), rng.uniform(-3, 103, 60)
    result = aperture_photometry(data, flat_background(data.shape), x, y, fwhm_px=3.0, options=NO_ANNULUS)
    for k, r in enumerate(result.radii_px):
        expected = reference(data, CircularAperture(np.c_[x, y], r))["aperture_sum"]
        seen = result.area_px[:, k] > 0
        assert result.flux_e[seen, k] == pytest.approx(np.asarray(expected)[seen], rel=1e-6, abs=1e-3)


def test_annulus_is_the_clipped_median_of_its_pixels():
    rng = np.random.default_rng(3)
    data = rng.normal(7.0, SIGMA_E, (120, 120)).astype(np.float32)
    data[60, 75:80] += 5000.0
    state = pixel_state(rng.random(data.shape) < 0.05)
    x, y = np.array([60.3, 61.0, 40.25]), np.array([59.8, 61.0, 77.5])
    result = aperture_photometry(data, flat_background(data.shape, level=300.0), x, y, fwhm_px=3.2, state=state)
    jj, ii = np.mgrid[:120, :120]
    for k in range(3):
        distance = np.hypot(ii - x[k], jj - y[k])
        chosen = (distance >= 4 * 3.2) & (distance <= 6 * 3.2) & (state == 0)
        median, count = clipped(data[chosen].astype(np.float64))
        assert result.sky_pixels[k] == count
        assert result.sky_e[k] == pytest.approx(300.0 + median, abs=1e-4)
        assert result.sky_err_e[k] == pytest.approx(SIGMA_E * np.sqrt(np.pi / 2 / count))


@pytest.mark.parametrize("values", [[5.0], [1.0, 2.0], [3.0, 3.0, 3.0, 3.0], [1.0, 1.0, 2.0, 9.0], list(range(101))])
def test_median_of_few_and_of_equal_values(values):
    """The kernel's search against numpy, on annuli that hold just these values."""
    n, data = len(values), np.zeros((60, 60), np.float32)
    jj, ii = np.mgrid[:60, :60]
    ring = np.flatnonzero((np.hypot(ii - 30, jj - 30) <= 12) & (np.hypot(ii - 30, jj - 30) >= 4))[:n]
    mask = np.ones(data.shape, bool)
    data.ravel()[ring], mask.ravel()[ring] = values, False
    options = ApertureOptions(radii_fwhm=(1.0,), annulus_fwhm=(4.0, 12.0), max_iterations=0, min_sky_pixels=1)
    result = aperture_photometry(
        data, flat_background(data.shape), 30.0, 30.0, fwhm_px=1.0, state=pixel_state(mask), options=options
    )
    assert result.sky_pixels[0] == n
    assert result.sky_e[0] == pytest.approx(np.median(values), rel=1e-6)


def test_medians_of_random_and_digitised_values_are_exact():
    rng = np.random.default_rng(5)
    options = ApertureOptions(radii_fwhm=(1.0,), annulus_fwhm=(4.0, 9.0), max_iterations=0)
    jj, ii = np.mgrid[:40, :40]
    distance = np.hypot(ii - 20.2, jj - 19.7)
    chosen = (distance >= 4) & (distance <= 9)
    for values in (rng.normal(0, 1e-9, (40, 40)), np.round(rng.normal(3, 1, (40, 40))), rng.pareto(0.7, (40, 40))):
        data = values.astype(np.float32)
        result = aperture_photometry(data, flat_background(data.shape), 20.2, 19.7, fwhm_px=1.0, options=options)
        assert result.sky_e[0] == pytest.approx(np.median(data[chosen].astype(np.float64)), rel=1e-6)


def test_annulus_ignores_a_bright_neighbour():
    data = np.random.default_rng(6).normal(0, SIGMA_E, (100, 100))
    add_stars(data, np.array([65.0]), np.array([50.0]), np.array([2e5]), **round_moffat(1))
    result = aperture_photometry(data.astype(np.float32), flat_background(data.shape), 50.0, 50.0, fwhm_px=3.2)
    assert abs(result.sky_e[0]) < 5 * result.sky_err_e[0]


def round_moffat(n, fwhm=3.2, beta=3.0):
    return {"fwhm": np.full(n, fwhm), "e1": np.zeros(n), "e2": np.zeros(n), "beta": beta}


def simulated_stars(n, flux, seed):
    """Isolated stars without wings in their annuli, on a grid, with Poisson and sky noise."""
    rng = np.random.default_rng(seed)
    side = 60 * int(np.ceil(np.sqrt(n)))
    grid = np.arange(30, side, 60)
    x, y = (c.ravel()[:n] + rng.uniform(-0.5, 0.5, n) for c in np.meshgrid(grid, grid))
    image = np.zeros((side, side))
    add_stars(image, x, y, np.full(n, flux), **round_moffat(n, beta=8.0))
    clean = image.copy()
    noisy = rng.poisson(np.maximum(image, 0)) + rng.normal(0, SIGMA_E, image.shape)
    return noisy.astype(np.float32), clean.astype(np.float32), x, y


@pytest.mark.parametrize("flux", [3000.0, 100000.0])
def test_errors_predict_the_scatter(flux):
    data, clean, x, y = simulated_stars(400, flux, seed=7)
    background = flat_background(data.shape)
    noisy = aperture_photometry(data, background, x, y, fwhm_px=3.2)
    expected = aperture_photometry(clean, background, x, y, fwhm_px=3.2)
    pulls = (noisy.flux_e - expected.flux_e) / noisy.flux_err_e
    # 400 stars: the width of the pulls is known to 3.5 %, their median to 0.06.
    assert pulls.std(axis=0) == pytest.approx(np.ones(4), abs=0.12)
    assert np.median(pulls, axis=0) == pytest.approx(np.zeros(4), abs=0.2)


@pytest.mark.parametrize("flux", [3000.0, 100000.0])
def test_errors_predict_the_scatter_where_pixels_share_noise(flux):
    data, clean, x, y = (
        sum(np.roll(part, (j, i), (0, 1)) for j in (0, 1) for i in (0, 1)) / 4 if part.ndim == 2 else part + 0.5
        for part in simulated_stars(400, flux, seed=7)
    )
    background = flat_background(data.shape, sigma=SIGMA_E / 2)
    shared = NoiseCorrelation(np.pad(np.outer([0.5, 1.0, 0.5], [0.5, 1.0, 0.5]), 3))
    noisy = aperture_photometry(data, background, x, y, fwhm_px=3.2, correlation=shared)
    expected = aperture_photometry(clean, background, x, y, fwhm_px=3.2)
    pulls = (noisy.flux_e - expected.flux_e) / noisy.flux_err_e
    assert pulls.std(axis=0) == pytest.approx(np.ones(4), abs=0.12)  # 3.5 % each; 1.8 and more without the correlation


def test_neighbours_are_subtracted_with_own_models():
    n = 2
    x, y, flux = np.array([50.2, 56.4]), np.array([50.6, 48.9]), np.array([20000.0, 80000.0])
    single = [np.zeros((100, 100)) for _ in range(n)]
    for k in range(n):
        add_stars(single[k], x[k : k + 1], y[k : k + 1], flux[k : k + 1], **round_moffat(1))
    first = np.array([35, 40], np.int32), np.array([34, 30], np.int32)
    stamps = np.stack([single[k][first[1][k] : first[1][k] + 33, first[0][k] : first[0][k] + 33] for k in range(n)])
    residual = np.zeros((100, 100), np.float32)
    background = flat_background(residual.shape)
    own = OwnModels(stamps.astype(np.float32), *first)
    together = aperture_photometry(residual, background, x, y, fwhm_px=3.2, options=NO_ANNULUS, own_models=own)
    for k in range(n):
        alone = aperture_photometry(
            single[k].astype(np.float32), background, x[k], y[k], fwhm_px=3.2, options=NO_ANNULUS
        )
        assert together.flux_e[k] == pytest.approx(alone.flux_e[0], rel=1e-5)


def test_masked_pixels_add_neither_flux_nor_area():
    data = np.full((50, 50), 10.0, np.float32)
    mask = np.zeros(data.shape, bool)
    mask[25, 26] = True
    data[25, 26] = np.nan
    result = aperture_photometry(
        data, flat_background(data.shape), 25.0, 25.0, fwhm_px=2.0, state=pixel_state(mask), options=NO_ANNULUS
    )
    assert result.flux_e[0] == pytest.approx(10.0 * result.area_px[0])
    assert result.area_px[0, 1] == pytest.approx(np.pi * 9 - 1)
    assert result.bad_fraction[0, 1] == pytest.approx(1 / (np.pi * 9))
    assert result.flags[0] & SourceFlag.APERTURE_INCOMPLETE


def test_flags_name_what_lies_in_the_aperture():
    data = np.full((80, 80), 10.0, np.float32)
    mask, hits, full = (np.zeros(data.shape, bool) for _ in range(3))
    full[20, 20] = hits[20, 60] = hits[43, 60] = True
    mask[58:62, 18:24] = True
    x, y = np.array([20.0, 60.0, 60.0, 20.0, 1.0, 60.0]), np.array([20.0, 20.0, 40.0, 60.0, 40.0, 60.0])
    data[55:66, 55:66] = -10.0
    result = aperture_photometry(
        data,
        flat_background(data.shape),
        x,
        y,
        fwhm_px=3.0,
        state=pixel_state(mask, cosmic_rays=hits, saturated=full),
        options=NO_ANNULUS,
    )
    assert result.flags[0] == SourceFlag.SATURATED
    incomplete = SourceFlag.APERTURE_INCOMPLETE
    assert result.flags[1] == SourceFlag.COSMIC_RAY_IN_APERTURE | SourceFlag.COSMIC_RAY_IN_CORE | incomplete
    assert result.flags[2] == SourceFlag.COSMIC_RAY_IN_APERTURE | incomplete
    assert result.flags[3] == SourceFlag.CROWDED | incomplete
    assert result.flags[4] == SourceFlag.TRUNCATED | SourceFlag.CROWDED | incomplete
    assert result.flags[5] == SourceFlag.NEGATIVE_FLUX


def test_positions_off_the_frame_or_unknown_give_nan():
    data = np.ones((50, 50), np.float32)
    x, y = np.array([-100.0, np.nan, 1e12, 25.0]), np.array([25.0, 25.0, 25.0, 25.0])
    result = aperture_photometry(data, flat_background(data.shape), x, y, fwhm_px=3.0)
    assert np.isnan(result.flux_e[:3]).all()
    assert np.isnan(result.flux_err_e[:3]).all()
    assert np.isfinite(result.flux_e[3]).all()
    assert (result.flags[:3] & SourceFlag.TRUNCATED).all()


def test_empty_lists_are_fine():
    result = aperture_photometry(
        np.ones((50, 50), np.float32), flat_background((50, 50)), np.array([]), np.array([]), fwhm_px=3.0
    )
    assert result.flux_e.shape == (0, 4)


def test_annulus_without_pixels_falls_back_on_the_map():
    data = np.ones((50, 50), np.float32)
    mask = np.ones(data.shape, bool)
    mask[20:31, 20:31] = False
    background = flat_background(data.shape, level=250.0)
    result = aperture_photometry(data, background, 25.0, 25.0, fwhm_px=3.0, state=pixel_state(mask))
    assert result.sky_e[0] == pytest.approx(250.0)
    assert result.sky_pixels[0] == 4000


def test_wrong_shapes_and_sizes_are_refused():
    data = np.ones((50, 50), np.float32)
    with pytest.raises(ValueError, match="FWHM"):
        aperture_photometry(data, flat_background(data.shape), 5.0, 5.0, fwhm_px=np.nan)
    with pytest.raises(ValueError, match="differ"):
        aperture_photometry(data, flat_background((50, 51)), 5.0, 5.0, fwhm_px=3.0)
    with pytest.raises(ValueError, match="radii"):
        ApertureOptions(radii_fwhm=(0.0,))
    with pytest.raises(ValueError, match="annulus"):
        ApertureOptions(annulus_fwhm=(6.0, 4.0))
