"""Widths against Gaussians of known width, the documented bias on Moffat stars, and scipy's fit."""

import numpy as np
import pytest
from scipy.optimize import curve_fit
from scipy.special import erf

from astro_shared.testing.frames import simulate_frame
from astro_shared.testing.optics import Camera, PointSpread
from astro_shared.testing.profiles import add_stars
from photometry_service.algorithms.fwhm import (
    FWHM_PER_SIGMA,
    fwhm_histogram,
    guess_fwhm,
    marginal_fwhm,
    measure_marginals,
)


def gaussian_stars(positions, flux=20000.0, sigma=(1.5, 1.5), shape=(300, 300)):
    """Gaussians integrated over pixels, no noise, no sky."""
    image = np.zeros(shape)
    for x, y in positions:
        columns, rows = (
            np.diff(erf((np.arange(n + 1) - 0.5 - c) / s / np.sqrt(2))) / 2
            for n, c, s in ((shape[1], x, sigma[0]), (shape[0], y, sigma[1]))
        )
        image += flux * np.outer(rows, columns)
    return image.astype(np.float32)


def grid(n=6, step=40, seed=1):
    rng = np.random.default_rng(seed)
    return [
        (30 + step * i + rng.uniform(-0.5, 0.5), 30 + step * j + rng.uniform(-0.5, 0.5))
        for i in range(n)
        for j in range(n)
    ]


def test_widths_and_centres_of_gaussians_are_exact():
    positions = grid()
    x, y = np.transpose(positions)
    fits = measure_marginals(gaussian_stars(positions, sigma=(1.5, 1.9)), None, x, y)
    # Integration over the pixel adds 1/12 px^2 to the variance of the sums.
    assert fits[:, 0] == pytest.approx(x, abs=2e-3)
    assert fits[:, 1] == pytest.approx(y, abs=2e-3)
    assert fits[:, 2] == pytest.approx(FWHM_PER_SIGMA * np.sqrt(1.5**2 + 1 / 12), rel=2e-3)
    assert fits[:, 3] == pytest.approx(FWHM_PER_SIGMA * np.sqrt(1.9**2 + 1 / 12), rel=2e-3)


def test_fit_agrees_with_scipys_least_squares():
    rng = np.random.default_rng(4)
    positions = grid(3)
    data = gaussian_stars(positions, flux=8000.0) + rng.normal(0, 10, (300, 300)).astype(np.float32)
    x, y = np.transpose(positions)
    fits = measure_marginals(data, None, x, y)

    def gaussian(t, amplitude, mu, sigma):
        return amplitude * np.exp(-((t - mu) ** 2) / (2 * sigma**2))

    for k, (cx, cy) in enumerate(np.rint(positions).astype(int)):
        stamp = data[cy - 7 : cy + 8, cx - 7 : cx + 8].astype(np.float64)
        for axis, start in ((0, cx), (1, cy)):
            sums = stamp.sum(axis=axis)
            best, _ = curve_fit(gaussian, np.arange(15), sums, p0=(sums.max(), 7, 1.5), xtol=1e-12, ftol=1e-12)
            assert fits[k, axis] == pytest.approx(best[1] + start - 7, abs=2e-4)
            assert fits[k, 2 + axis] == pytest.approx(FWHM_PER_SIGMA * abs(best[2]), abs=1e-3)


def test_moffat_stars_come_out_too_wide_as_documented():
    image = np.zeros((400, 400))
    x, y = (np.array(c) for c in zip(*grid(9), strict=True))
    n = x.size
    add_stars(image, x, y, np.full(n, 1e5), fwhm=np.full(n, 3.22), e1=np.zeros(n), e2=np.zeros(n), beta=3.0)
    width = marginal_fwhm(image.astype(np.float32), None, x, y)
    assert width.fwhm_px == pytest.approx(3.97, abs=0.05)
    assert width.n_stars == n


def test_stars_at_edges_on_bad_pixels_or_without_signal_have_no_width():
    positions = [(50.0, 50.0), (150.0, 150.0), (3.0, 150.0)]
    data = gaussian_stars(positions)
    mask = np.zeros(data.shape, bool)
    mask[152, 149] = True
    x, y = np.array([50.0, 150.0, 3.0, 220.0, np.nan]), np.array([50.0, 150.0, 150.0, 220.0, 10.0])
    fits = measure_marginals(data, mask, x, y)
    assert np.isfinite(fits[0]).all()
    assert np.isnan(fits[1:]).all()


def test_a_few_galaxies_do_not_move_the_median():
    positions = grid()
    data = gaussian_stars(positions[:30]) + gaussian_stars(positions[30:], sigma=(3.5, 3.5))
    x, y = np.transpose(positions)
    width = marginal_fwhm(data, None, x, y)
    assert width.fwhm_px == pytest.approx(FWHM_PER_SIGMA * np.sqrt(1.5**2 + 1 / 12), rel=3e-3)
    assert not width.used[30:].any()
    assert width.used[:30].all()


def test_error_of_the_median_covers_the_scatter():
    rng = np.random.default_rng(8)
    positions = grid()
    x, y = np.transpose(positions)
    clean = gaussian_stars(positions, flux=3000.0)
    widths = []
    for _ in range(30):
        width = marginal_fwhm(clean + rng.normal(0, 12, clean.shape).astype(np.float32), None, x, y)
        widths.append((width.fwhm_px, width.fwhm_err_px))
    scatter, error = np.std([w for w, _ in widths]), np.mean([e for _, e in widths])
    assert scatter / error == pytest.approx(1.0, abs=0.4)  # 30 trials know their scatter to 13 %


def test_no_stars_give_nan_and_an_empty_histogram():
    width = marginal_fwhm(np.zeros((64, 64), np.float32), None, np.array([]), np.array([]))
    assert np.isnan(width.fwhm_px)
    assert fwhm_histogram(width).counts.sum() == 0


def test_histogram_counts_the_stars():
    positions = grid()
    x, y = np.transpose(positions)
    width = marginal_fwhm(gaussian_stars(positions), None, x, y)
    histogram = fwhm_histogram(width, bins=20)
    assert histogram.counts.sum() == len(positions)
    assert histogram.edges_px.size == 21


@pytest.mark.parametrize("fwhm", [1.2, 1.6, 2.0, 3.2, 5.0])
def test_guess_is_good_to_a_tenth(fwhm):
    camera = Camera(shape=(512, 512), psf=PointSpread(fwhm_px=fwhm))
    frame = simulate_frame(3, n_stars=500, camera=camera)
    clean = frame.data_e - frame.cosmic_rays_e
    assert guess_fwhm(clean, saturation=80000.0) == pytest.approx(fwhm, rel=0.12)


def test_guess_needs_stars_and_room():
    noise = np.random.default_rng(1).normal(300, 18, (256, 256)).astype(np.float32)
    assert np.isnan(guess_fwhm(noise))
    assert np.isnan(guess_fwhm(noise[:20, :20]))


def test_guess_agrees_with_the_slow_form():
    frame = simulate_frame(6, n_stars=400, camera=Camera(shape=(256, 256)))
    data = frame.data_e
    mask = np.zeros(data.shape, bool)
    mask[100:120, 60:90] = True
    areas = []
    for j in range(0, 256, 32):
        for i in range(0, 256, 32):
            inside = [
                (data[y, x], -(y * 256 + x))
                for y in range(max(j, 8), min(j + 32, 248))
                for x in range(max(i, 8), min(i + 32, 248))
                if not mask[y, x]
            ]
            y, x = divmod(-max(inside)[1], 256)
            stamp, bad = data[y - 8 : y + 9, x - 8 : x + 9].astype(float), mask[y - 8 : y + 9, x - 8 : x + 9]
            rim = np.concatenate(
                [stamp[:2].ravel(), stamp[-2:].ravel(), stamp[2:-2, :2].ravel(), stamp[2:-2, -2:].ravel()]
            )
            level = np.median(rim)
            height = stamp[8, 8] - level
            if bad.any() or stamp[8, 8] < stamp[7:10, 7:10].max() or stamp[8, 8] >= 80000:
                continue
            if height > 20 * 1.4826 * np.median(np.abs(rim - level)):
                near = np.hypot(*np.mgrid[-8:9, -8:9]) <= 8
                areas.append((near & (stamp - level > height / 2)).sum())
    low, high = np.quantile(areas, [0.1, 0.9])
    mean = np.mean([a for a in areas if low <= a <= high])
    assert guess_fwhm(data, mask, saturation=80000.0) == pytest.approx(np.sqrt(4 * mean / np.pi - 1.55), rel=1e-6)
