"""Pixel-integrated stars and Cramer-Rao bounds against slow independent sums."""

import numpy as np
import pytest

from astro_shared.testing.profiles import add_stars, crlb, integrated_moffat, stamp_radius


def dense_moffat(dx: float, dy: float, fwhm: float, beta: float, half: int, n: int = 64) -> np.ndarray:
    """Round unit Moffat integrated with n x n midpoints in every pixel."""
    alpha = fwhm / 2 / np.sqrt(2 ** (1 / beta) - 1)
    sub = (np.arange(n) + 0.5) / n - 0.5
    axis = (np.arange(-half, half + 1)[:, None] + sub).ravel()
    r2 = (axis[None, :] - dx) ** 2 + (axis[:, None] - dy) ** 2
    fine = (beta - 1) / np.pi / alpha**2 * (1 + r2 / alpha**2) ** -beta / n**2
    width = 2 * half + 1
    return fine.reshape(width, n, width, n).sum(axis=(1, 3))


@pytest.mark.parametrize(("fwhm", "beta"), [(1.2, 3.0), (2.0, 3.0), (3.2, 3.0), (3.2, 2.5), (6.0, 4.5)])
def test_pixels_hold_the_integral_of_the_profile(fwhm, beta):
    one, zero = np.array([fwhm]), np.zeros(1)
    half = int(np.ceil(4 * fwhm))
    ours = integrated_moffat(np.array([0.31]), np.array([-0.44]), fwhm=one, e1=zero, e2=zero, beta=beta, half=half)[0]
    dense = dense_moffat(0.31, -0.44, fwhm, beta, half, n=max(32, int(250 / fwhm)))
    # the dense midpoints themselves are good to 1e-5 of the peak
    assert np.abs(ours - dense).max() < 3e-5 * dense.max()


def test_an_ellipse_has_the_second_moments_of_its_shape():
    e1, e2 = 0.15, -0.1
    stamp = integrated_moffat(
        np.zeros(1), np.zeros(1), fwhm=np.array([4.0]), e1=np.array([e1]), e2=np.array([e2]), beta=6.0, half=60
    )[0]
    y, x = np.mgrid[-60:61, -60:61]
    xx, yy, xy = ((stamp * q).sum() - 1 / 12 * k for q, k in ((x * x, 1), (y * y, 1), (x * y, 0)))
    # moments are the inverse of the quadratic form: (1 - e1, -e2; -e2, 1 + e1)
    assert (yy - xx) / (xx + yy) == pytest.approx(e1, abs=1e-3)
    assert -2 * xy / (xx + yy) == pytest.approx(e2, abs=1e-3)


def test_a_star_has_its_flux_and_stays_where_it_was_put():
    image = np.zeros((161, 121))
    flux = np.array([2.0e5, 300.0])
    x, y = np.array([60.3, 200.0]), np.array([80.7, 20.0])
    fwhm = np.full(2, 3.0)
    peaks = add_stars(image, x, y, flux, fwhm=fwhm, e1=np.zeros(2), e2=np.zeros(2), beta=3.0)
    half = int(stamp_radius(flux, fwhm, 3.0)[0])
    alpha2 = 9.0 / 4 / (2 ** (1 / 3) - 1)
    outside = (1 + half**2 / alpha2) ** -2
    assert image.sum() == pytest.approx(2.0e5 * (1 - outside), rel=1e-3)
    assert peaks[0] == image.max() == image[81, 60]
    gy, gx = np.indices(image.shape)
    assert (image * gx).sum() / image.sum() == pytest.approx(60.3, abs=0.01)
    assert (image * gy).sum() / image.sum() == pytest.approx(80.7, abs=0.01)


def test_stars_over_the_edge_give_what_falls_inside():
    whole, part = np.zeros((80, 80)), np.zeros((40, 40))
    shape = {"fwhm": np.full(1, 3.2), "e1": np.zeros(1), "e2": np.zeros(1), "beta": 3.0}
    add_stars(whole, np.array([18.4]), np.array([41.0]), np.array([1e4]), **shape)
    add_stars(part, np.array([-1.6]), np.array([1.0]), np.array([1e4]), **shape)
    assert np.allclose(part, whole[40:, 20:60], rtol=1e-10)


@pytest.mark.parametrize("fwhm", [2.0, 3.2])
@pytest.mark.parametrize("flux", [300.0, 1e4, 1e6])
def test_bounds_are_those_of_a_full_fisher_matrix(flux, fwhm):
    background, step, information = 345.0, 1e-3, []
    for px, py in ((0.0, 0.0), (0.25, 0.25), (0.5, 0.0), (0.5, 0.5)):
        p = dense_moffat(px, py, fwhm, 3.0, 15, 32)
        d_x = (
            (dense_moffat(px + step, py, fwhm, 3.0, 15, 32) - dense_moffat(px - step, py, fwhm, 3.0, 15, 32)) / 2 / step
        )
        d_y = (
            (dense_moffat(px, py + step, fwhm, 3.0, 15, 32) - dense_moffat(px, py - step, fwhm, 3.0, 15, 32)) / 2 / step
        )
        slopes = np.stack([p.ravel(), flux * d_x.ravel(), flux * d_y.ravel()])
        covariance = np.linalg.inv(slopes / (flux * p.ravel() + background) @ slopes.T)
        information.append(1 / np.diag(covariance))
    mean = np.mean(information, axis=0)
    sigma_flux, sigma_place = crlb(np.array([flux]), np.array([background]), np.array([fwhm]), beta=3.0)
    # interpolation in F/B and the correlation of flux with place that the bound leaves out
    assert sigma_flux[0] == pytest.approx(mean[0] ** -0.5, rel=2e-3)
    assert sigma_place[0] == pytest.approx(np.mean(mean[1:]) ** -0.5, rel=5e-3)


def test_bounds_follow_a_width_that_varies():
    flux, sky = np.full(3, 5e3), np.full(3, 300.0)
    together = crlb(flux, sky, np.array([3.0, 3.3, 3.6]), beta=3.0)
    alone = [crlb(flux[:1], sky[:1], np.array([w]), beta=3.0) for w in (3.0, 3.3, 3.6)]
    for k in (0, 1):
        assert together[k] == pytest.approx([a[k][0] for a in alone], rel=1e-3)
