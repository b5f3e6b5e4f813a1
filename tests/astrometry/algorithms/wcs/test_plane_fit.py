import numpy as np
import pytest

from astrometry_service.algorithms.wcs.plane_fit import PixelFrame, PlanePolynomial, fit_plane
from astrometry_service.algorithms.wcs.polynomials import n_terms

FRAME = PixelFrame.of(2000, 1500)
TANGENT = {"ra0_deg": 10.0, "dec0_deg": 20.0}


def truth(degree: int) -> PlanePolynomial:
    coefficients = np.random.default_rng(degree).normal(0, 1e-4, (2, n_terms(degree)))
    coefficients[0, 1], coefficients[1, 2] = -0.28, 0.28
    return PlanePolynomial(FRAME, coefficients, 10.0, 20.0)


def scene(count: int, degree: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 1999, count), rng.uniform(0, 1499, count)
    return FRAME.design(x, y, degree), np.stack(truth(degree)(x, y), axis=1)


@pytest.mark.parametrize("degree", [1, 3, 7])
def test_noiseless_stars_give_the_map_back(degree: int) -> None:
    design, target = scene(300, degree)
    fit = fit_plane(FRAME, design, target, np.ones(300), **TANGENT)
    # 1e-14 deg are 4e-8 mas.
    np.testing.assert_allclose(fit.polynomial.coefficients, truth(degree).coefficients, atol=1e-14)


def test_equals_the_normal_equations_with_weights() -> None:
    design, target = scene(200, 3)
    rng = np.random.default_rng(5)
    variance = rng.uniform(1, 100, 200)
    target = target + rng.normal(0, 1, (200, 2)) * np.sqrt(variance)[:, None] / 3.6e6
    fit = fit_plane(FRAME, design, target, variance, **TANGENT)
    normal = design.T @ (design / variance[:, None])
    slow = np.linalg.solve(normal, design.T @ (target / variance[:, None]))
    np.testing.assert_allclose(fit.polynomial.coefficients, slow.T, atol=1e-12)
    np.testing.assert_allclose(fit.covariance, np.linalg.inv(normal), rtol=1e-8)


def test_quoted_variance_of_the_map_is_its_scatter() -> None:
    degree, count, seeds = 3, 80, 300
    probe = FRAME.design(np.array([0.0, 1000.0]), np.array([0.0, 700.0]), degree)
    expected = probe @ truth(degree).coefficients.T
    errors = []
    for seed in range(seeds):
        design, target = scene(count, degree)
        noise = np.random.default_rng(1000 + seed).normal(0, 10.0 / 3.6e6, target.shape)
        fit = fit_plane(FRAME, design, target + noise, np.full(count, 100.0), **TANGENT)
        errors.append((probe @ fit.polynomial.coefficients.T - expected) * 3.6e6)
    scatter = np.std(np.array(errors), axis=(0, 2))
    # 600 values: 3 per cent.
    np.testing.assert_allclose(scatter, np.sqrt(fit.variance_mas2(probe)), rtol=0.12)


def test_extra_columns_are_no_part_of_the_map() -> None:
    design, target = scene(200, 2)
    colour = np.random.default_rng(6).normal(size=200)
    bent = target + colour[:, None] * np.array([15.0, -4.0]) / 3.6e6
    fit = fit_plane(FRAME, design, bent, np.ones(200), extra=colour[:, None], **TANGENT)
    np.testing.assert_allclose(fit.extra[:, 0] * 3.6e6, [15.0, -4.0], atol=1e-6)
    np.testing.assert_allclose(fit.polynomial.coefficients, truth(2).coefficients, atol=1e-13)
    assert fit.covariance.shape == (6, 6)


def test_prior_stands_in_for_missing_stars() -> None:
    design, target = scene(8, 3)
    rows = np.hstack([np.zeros((7, 3)), np.eye(7)]) / 0.01
    values = rows @ truth(3).coefficients.T * 3.6e6
    fit = fit_plane(FRAME, design, target, np.ones(8), prior=(rows, values), **TANGENT)
    np.testing.assert_allclose(fit.polynomial.coefficients, truth(3).coefficients, atol=1e-12)


@pytest.mark.parametrize("count", [3, 9])
def test_too_few_stars_are_refused(count: int) -> None:
    design, target = scene(count, 3)
    with pytest.raises(np.linalg.LinAlgError):
        fit_plane(FRAME, design, target, np.ones(count), **TANGENT)


def test_stars_on_one_line_are_refused() -> None:
    x = np.linspace(0, 1999, 50)
    design = FRAME.design(x, np.full(50, 700.0), 2)
    with pytest.raises(np.linalg.LinAlgError):
        fit_plane(FRAME, design, np.zeros((50, 2)), np.ones(50), **TANGENT)
