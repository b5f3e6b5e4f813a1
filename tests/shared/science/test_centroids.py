import numpy as np
import pytest
from numpy.typing import NDArray

from astro_shared.science.centroids import (
    floor_covariance,
    half_light_sigma,
    isophotal_covariance,
    moffat_table,
    psf_fit,
    psf_fit_together,
    windowed,
)
from astro_shared.testing.profiles import crlb, integrated_moffat

Floats = NDArray[np.float64]

SKY_E2 = 400.0


def stars(
    rng: np.random.Generator, flux: float, fwhm: float, *, count: int, beta: float = 3.0
) -> tuple[NDArray[np.float32], Floats, Floats]:
    """One noisy star in each cell of a wide strip: image (electrons, sky subtracted) and true places."""
    side, half = 31, 15
    dx, dy = rng.uniform(-0.5, 0.5, (2, count))
    zero = np.zeros(count)
    stamps = flux * integrated_moffat(dx, dy, fwhm=np.full(count, fwhm), e1=zero, e2=zero, beta=beta, half=half)
    image = np.concatenate(list(stamps), axis=1)
    noisy = rng.poisson(image + SKY_E2) - SKY_E2
    return noisy.astype(np.float32), half + dx + side * np.arange(count), half + dy


def slow_windowed(image: Floats, x: float, y: float, sigma: float, variance: float) -> tuple[float, float, Floats]:
    """Plain twin of the windowed kernel, written from the equations."""
    reach = int(np.ceil(4 * sigma))
    for _ in range(60):
        ix, iy = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
        j, i = np.mgrid[iy - reach : iy + reach + 1, ix - reach : ix + reach + 1]
        value = image[j, i].astype(float)
        d = np.stack([i - x, j - y])
        weight = np.exp(-0.5 * (d**2).sum(0) / sigma**2)
        step = 2 * (weight * value * d).sum((1, 2)) / (weight * value).sum()
        x, y = x + step[0], y + step[1]
    slope = (weight * value).sum() * np.eye(2) - np.einsum("ayx,byx,yx->ab", d, d, weight * value) / sigma**2
    noise = np.einsum("ayx,byx,yx->ab", d, d, weight**2 * (variance + np.maximum(value, 0.0)))
    inverse = np.linalg.inv(slope)
    return x, y, inverse @ noise @ inverse.T


def test_windowed_kernel_equals_its_plain_twin() -> None:
    image, x, y = stars(np.random.default_rng(5), 8000.0, 3.2, count=12)
    fast = windowed(image, x, y, window_sigma_px=1.6, background_variance=np.full(12, SKY_E2), gain=1.0)
    for k in range(12):
        sx, sy, covariance = slow_windowed(image, x[k], y[k], 1.6, SKY_E2)
        # The kernel stops at steps of 1e-4 pixel, which leaves a tenth of that.
        assert fast.x[k] == pytest.approx(sx, abs=1e-4) and fast.y[k] == pytest.approx(sy, abs=1e-4)
        np.testing.assert_allclose(fast.covariance[k], covariance, rtol=2e-3, atol=1e-8)


@pytest.mark.parametrize("flux", [2500.0, 20000.0, 200000.0])
def test_windowed_errors_are_true_for_well_sampled_stars(flux: float) -> None:
    image, x, y = stars(np.random.default_rng(6), flux, 3.2, count=600)
    found = windowed(
        image, x, y, window_sigma_px=half_light_sigma(1.85), background_variance=np.full(600, SKY_E2), gain=1.0
    )
    pulls = np.concatenate(
        [(found.x - x) / np.sqrt(found.covariance[:, 0, 0]), (found.y - y) / np.sqrt(found.covariance[:, 1, 1])]
    )
    # 1200 pulls: their width is known to 2 per cent.
    assert pulls.std() == pytest.approx(1.0, abs=0.08)
    assert abs(pulls.mean()) < 4 / np.sqrt(pulls.size)


@pytest.mark.parametrize(
    ("fwhm", "flux"), [(1.6, 3000.0), (1.6, 100000.0), (2.2, 20000.0), (3.5, 3000.0), (3.5, 300000.0)]
)
def test_psf_fit_reaches_the_bound_whatever_the_sampling(fwhm: float, flux: float) -> None:
    image, x, y = stars(np.random.default_rng(7), flux, fwhm, count=500)
    start = np.random.default_rng(8).normal(0, 0.2, (2, 500))
    found = psf_fit(
        image,
        x + start[0],
        y + start[1],
        moffat_table(fwhm, 3.0),
        reach_px=8,
        background_variance=np.full(500, SKY_E2),
        gain=1.0,
    )
    bound = crlb(np.array([flux]), np.array([SKY_E2]), np.array([fwhm]), beta=3.0)[1][0]
    errors = np.concatenate([found.x - x, found.y - y])
    # 1000 errors: 2.2 per cent of the width by chance; the finite stamp costs up to 3 per cent.
    assert errors.std() / bound == pytest.approx(1.0, abs=0.09)
    assert np.sqrt(np.median(found.covariance[:, 0, 0])) / bound == pytest.approx(1.0, abs=0.07)
    # The stamps end 15 pixels from the star: their flux is a little below the whole.
    assert np.median(found.flux) == pytest.approx(flux, rel=0.02)
    assert np.median(found.reduced_chi2) == pytest.approx(1.0, abs=0.05)


def test_psf_fit_of_a_noiseless_star_is_exact() -> None:
    dx, dy, zero = np.array([0.31]), np.array([-0.17]), np.zeros(1)
    stamp = 1e5 * integrated_moffat(dx, dy, fwhm=np.array([1.8]), e1=zero, e2=zero, beta=3.0, half=15)[0]
    found = psf_fit(
        stamp.astype(np.float32), np.array([15.0]), np.array([15.0]), moffat_table(1.8, 3.0), reach_px=6,
        background_variance=np.array([100.0]), gain=1.0,
    )  # fmt: skip
    # Cubic interpolation of a table with 8 samples per pixel: below a millipixel for an undersampled star.
    assert found.x[0] == pytest.approx(15.31, abs=5e-4) and found.y[0] == pytest.approx(14.83, abs=5e-4)


def test_bad_input_gives_nan_and_no_crash() -> None:
    image = np.zeros((20, 20), np.float32)
    places = np.array([np.nan, 10.0, -50.0, 19.4])
    for found in (
        windowed(image, places, places, window_sigma_px=1.5, background_variance=np.ones(4), gain=1.0),
        psf_fit(image, places, places, moffat_table(2.0, 3.0), reach_px=5, background_variance=np.ones(4), gain=1.0),
    ):
        assert np.isnan(found.x).all() and np.isnan(found.covariance).all()
    empty = windowed(image, np.zeros(0), np.zeros(0), window_sigma_px=1.5, background_variance=np.zeros(0), gain=1.0)
    assert empty.x.size == 0 and empty.covariance.shape == (0, 2, 2)


def test_masked_pixels_take_no_part() -> None:
    image, x, y = stars(np.random.default_rng(9), 50000.0, 3.0, count=1)
    spoiled, mask = image.copy(), np.zeros(image.shape, bool)
    spoiled[20, 18], mask[20, 18] = 1e6, True
    settings = {"window_sigma_px": 1.6, "background_variance": np.array([SKY_E2]), "gain": 1.0}
    clean, masked = windowed(image, x, y, **settings), windowed(spoiled, x, y, mask=mask, **settings)
    assert masked.x[0] == pytest.approx(clean.x[0], abs=0.02)


def test_singular_covariances_get_a_floor() -> None:
    raw = isophotal_covariance(np.array([0.0, 0.01]), np.array([0.0, 0.02]), np.array([0.0, 0.001]))
    floored = floor_covariance(raw, np.array([1.0, 9.0]))
    assert floored[0, 0, 0] == pytest.approx(1 / 12) and np.linalg.det(floored[0]) > 0
    np.testing.assert_array_equal(floored[1], raw[1])


def test_table_is_normalised() -> None:
    table = moffat_table(2.5, 3.5, e1=0.1, e2=-0.05, reach_px=40, oversampling=4)
    # A Moffat of exponent 3.5 has 3e-6 of its light beyond 40 pixels.
    assert table.values.sum() / table.oversampling**2 == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(("apart", "within"), [(3.0, 0.01), (4.0, 1e-3), (5.0, 1e-3), (7.0, 1e-3)])
def test_two_bright_stars_fitted_together_are_where_they_are(apart: float, within: float) -> None:
    """Without noise in the image; with weights that leave out the neighbour's light both were drawn aside by 0.03 to 0.15."""
    zero, half = np.zeros(2), 15
    image = np.zeros((60, 60), np.float32)
    both = 1e5 * integrated_moffat(np.array([0.0, apart]), np.array([0.0, 0.5]), fwhm=np.full(2, 3.0), e1=zero, e2=zero,
                                   beta=3.0, half=half)  # fmt: skip
    image[half : 3 * half + 1, half : 3 * half + 1] += both.sum(axis=0).astype(np.float32)
    before = image.copy()
    given = (image, np.array([30.2, 29.9 + apart]), np.array([30.1, 30.4]), moffat_table(3.0, 3.0, reach_px=12))
    noise = {"background_variance": np.full(2, 25.0), "gain": 1.0}
    found = psf_fit_together(*given, reach_px=6, **noise)
    used = np.full(image.shape, 7.0, np.float32)
    np.testing.assert_array_equal(psf_fit_together(*given, reach_px=6, **noise, work=used).x, found.x)
    np.testing.assert_allclose(found.x, [30.0, 30.0 + apart], atol=within)
    np.testing.assert_allclose(found.y, [30.0, 30.5], atol=within)
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(("apart", "short_by"), [(3.2, 1.28), (4.3, 1.08), (6.0, 1.0)])
def test_errors_of_stars_fitted_together_are_their_scatter(apart: float, short_by: float) -> None:
    """The neighbours are taken as known: along the line between two stars the errors are too small by their overlap."""
    rng = np.random.default_rng(12)
    zero, table, found = np.zeros(2), moffat_table(3.0, 3.0, reach_px=12), []
    clean = 2e4 * integrated_moffat(np.array([-2.0, apart - 2.0]), np.array([0.0, 0.5]), fwhm=np.full(2, 3.0), e1=zero,
                                    e2=zero, beta=3.0, half=20).sum(axis=0)  # fmt: skip
    start = np.array([18.1, 17.9 + apart]), np.array([20.1, 20.4])
    for _ in range(600):
        image = (rng.poisson(clean + SKY_E2) - SKY_E2).astype(np.float32)
        fit = psf_fit_together(image, *start, table, reach_px=6, background_variance=np.full(2, SKY_E2), gain=1.0)
        found.append(np.stack([fit.x - [18.0, 18.0 + apart], fit.y - [20.0, 20.5], np.sqrt(fit.covariance[:, 0, 0])]))
    along, across, error = np.array(found).transpose(1, 0, 2)
    assert np.abs(np.mean(along, axis=0)).max() < 0.2 * error.mean()
    np.testing.assert_allclose(np.std(along, axis=0) / error.mean(axis=0), short_by, atol=0.1)
    np.testing.assert_allclose(np.std(across, axis=0) / error.mean(axis=0), 1.0, atol=0.1)
