import numpy as np
import pytest
from scipy.optimize import minimize

from astrometry_service.algorithms.error_model.clipping import expected_kept, keep_by_error, normalised_square
from astrometry_service.algorithms.error_model.covariances import Sym2, carry, from_matrices
from astrometry_service.algorithms.error_model.likelihood import (
    ErrorModelOptions,
    Residuals,
    fit_error_model,
    leverage,
    total_covariance,
)
from astrometry_service.algorithms.refinement.mixture import fit_mixture
from astrometry_service.algorithms.wcs.plane_fit import PixelFrame


def draw(seed: int, n: int, alpha: float, sigma: float, *, low: float = 1.0, high: float = 100.0) -> Residuals:
    """Residuals of a known error model, with correlated centroid errors and catalogue errors."""
    rng = np.random.default_rng(seed)
    size = np.exp(rng.uniform(np.log(low), np.log(high), n))
    rho, stretch = rng.uniform(-0.4, 0.4, n), rng.uniform(0.8, 1.2, n)
    pixel = Sym2(size**2 * stretch, size**2 / stretch, rho * size**2)
    catalogue = Sym2(np.full(n, 0.5), np.full(n, 0.4), np.full(n, 0.1))
    covariance = catalogue.plus(pixel, alpha**2).with_diagonal(sigma**2).matrices()
    r = np.einsum("nij,nj->ni", np.linalg.cholesky(covariance), rng.normal(size=(n, 2)))
    return Residuals(r[:, 0], r[:, 1], pixel, catalogue)


def slow_log_likelihood(residuals: Residuals, alpha: float, sigma: float) -> float:
    """Plain twin: one determinant and one inverse per star."""
    total = 0.0
    pixel, catalogue = residuals.pixel.matrices(), residuals.catalogue.matrices()
    for k in range(len(residuals)):
        c = alpha**2 * pixel[k] + sigma**2 * np.eye(2) + catalogue[k]
        r = np.array([residuals.rx[k], residuals.ry[k]])
        total -= 0.5 * (r @ np.linalg.solve(c, r) + np.log(np.linalg.det(c)) + 2 * np.log(2 * np.pi))
    return total


def test_the_maximum_is_that_of_a_general_optimiser() -> None:
    residuals = draw(1, 150, 1.1, 8.0)
    found = fit_error_model(residuals)
    best = minimize(
        lambda p: -slow_log_likelihood(residuals, np.exp(p[0]), np.exp(p[1])), [0.0, np.log(5.0)], method="Nelder-Mead",
        options={"xatol": 1e-6, "fatol": 1e-8},
    )  # fmt: skip
    assert found.alpha == pytest.approx(np.exp(best.x[0]), rel=1e-3)
    assert found.sigma_sys_mas == pytest.approx(np.exp(best.x[1]), rel=1e-3)
    assert found.log_likelihood == pytest.approx(-best.fun, abs=1e-4)


@pytest.mark.parametrize("sigma", [0.0, 5.0, 20.0])
def test_alpha_and_sigma_are_within_three_errors_in_95_of_100_seeds(sigma: float) -> None:
    good = []
    for seed in range(100):
        found = fit_error_model(draw(100 + seed, 500, 1.0, sigma))
        right_alpha = abs(found.alpha - 1.0) < 3 * found.alpha_err
        near = abs(found.sigma_sys_mas - sigma) < 3 * found.sigma_sys_err_mas if found.sigma_sys_mas > 0 else False
        good.append(right_alpha and (near or found.upper_limit_mas > sigma))
    assert np.mean(good) >= 0.95


def test_quoted_errors_are_the_scatter_over_seeds() -> None:
    models = [fit_error_model(draw(500 + seed, 400, 1.2, 15.0), limits=False) for seed in range(120)]
    for name in ("alpha", "sigma_sys"):
        value = "sigma_sys_mas" if name == "sigma_sys" else name
        error = "sigma_sys_err_mas" if name == "sigma_sys" else "alpha_err"
        scatter = np.std([getattr(m, value) for m in models])
        # 120 values: 6.5 per cent of a scatter.
        assert scatter == pytest.approx(np.median([getattr(m, error) for m in models]), rel=0.2)


def test_restricted_likelihood_undoes_what_the_fit_takes() -> None:
    """60 stars, 15 terms: plain likelihood is too small by sqrt(1 - 15/60) = 0.87."""
    frame = PixelFrame.of(2000, 2000)
    plain, restricted = [], []
    for seed in range(60):
        residuals = draw(900 + seed, 60, 1.0, 50.0, low=1, high=2)
        rng = np.random.default_rng(seed)
        design = frame.design(rng.uniform(0, 2000, 60), rng.uniform(0, 2000, 60), 4)
        q = np.linalg.qr(design)[0]
        r = [v - q @ (q.T @ v) for v in (residuals.rx, residuals.ry)]
        fitted = Residuals(r[0], r[1], residuals.pixel, residuals.catalogue)
        for out, matrix in ((plain, None), (restricted, design)):
            model = fit_error_model(fitted, ErrorModelOptions(fix_alpha=True), design=matrix, limits=False)
            out.append(model.sigma_sys_mas / 50.0)
    # The mean of 60 values that scatter by 0.075: 0.01.
    assert np.mean(plain) == pytest.approx(0.866, abs=0.03)
    assert np.mean(restricted) == pytest.approx(1.0, abs=0.03)


def test_alpha_is_fixed_where_it_cannot_be_known() -> None:
    found = fit_error_model(draw(3, 200, 1.0, 500.0, low=0.1, high=1.0))
    assert found.alpha_fixed and found.alpha == 1.0 and found.note == "all_stars_below_sigma_sys"
    assert found.sigma_sys_mas == pytest.approx(500.0, rel=0.15)
    asked = fit_error_model(draw(4, 200, 1.3, 5.0), ErrorModelOptions(fix_alpha=True))
    assert asked.alpha == 1.0 and asked.alpha_fixed and np.isnan(asked.alpha_err)


def test_centroid_errors_that_are_all_too_large_show_in_alpha() -> None:
    """Equal errors for all: alpha and sigma_sys cannot be told apart, but three times too large is too large."""
    residuals = draw(5, 300, 1.0, 0.0, low=10.0, high=10.001)
    wide = Residuals(residuals.rx, residuals.ry, residuals.pixel.scaled(9.0), residuals.catalogue)
    found = fit_error_model(wide)
    assert found.note == "alpha_uncertain" or found.alpha_err < 0.5 * found.alpha
    total = np.sqrt(np.mean(total_covariance(wide, found).mean))
    assert total == pytest.approx(np.sqrt(np.mean(residuals.pixel.mean)), rel=0.06)


def test_vanishing_sigma_is_an_upper_limit() -> None:
    residuals = draw(6, 400, 1.0, 0.0)
    found = fit_error_model(residuals)
    limit = found.upper_limit_mas
    assert 0.0 < limit < 3.0

    def profile(sigma: float) -> float:
        return max(slow_log_likelihood(residuals, alpha, sigma) for alpha in np.linspace(0.9, 1.1, 21))

    assert profile(max(found.sigma_sys_mas, 0.01)) - profile(limit) == pytest.approx(1.92, abs=0.15)


def test_clipping_is_corrected_for_what_it_takes() -> None:
    residuals = draw(8, 40000, 1.0, 0.0)
    square = residuals.pixel.plus(residuals.catalogue).inverse().quadratic(residuals.rx, residuals.ry)
    threshold = 2.0
    kept = keep_by_error(square, threshold)
    assert kept.mean() == pytest.approx(1 - np.exp(-2.0), abs=0.01)
    assert square[kept].mean() == pytest.approx(expected_kept(threshold), rel=0.02)
    found = fit_error_model(residuals.take(kept), truncation=expected_kept(threshold) / 2, limits=False)
    assert found.alpha == pytest.approx(1.0, abs=0.02)
    assert expected_kept(100.0) == 2.0 and expected_kept(3.72) == pytest.approx(1.98630, abs=1e-4)


def test_mixture_tells_false_pairs_from_true_ones() -> None:
    residuals = draw(9, 500, 1.0, 5.0, high=30.0)
    rng = np.random.default_rng(10)
    rx, ry = residuals.rx.copy(), residuals.ry.copy()
    rx[:50], ry[:50] = rng.uniform(-1500, 1500, (2, 50))
    spoiled = Residuals(rx, ry, residuals.pixel, residuals.catalogue)
    model, probability, share = fit_mixture(spoiled, np.full(500, 3000.0**2))
    assert (probability[:50] < 0.5).mean() > 0.9 and (probability[50:] > 0.5).mean() > 0.99
    assert share == pytest.approx(0.1, abs=0.03)
    assert model.sigma_sys_mas == pytest.approx(5.0, abs=4 * model.sigma_sys_err_mas)


def test_leverage_sums_to_the_number_of_terms() -> None:
    rng = np.random.default_rng(11)
    design = PixelFrame.of(100, 100).design(rng.uniform(0, 100, 50), rng.uniform(0, 100, 50), 3)
    assert leverage(design, rng.uniform(1, 10, 50)).sum() == pytest.approx(10.0)


def test_small_matrices_follow_linear_algebra() -> None:
    rng = np.random.default_rng(12)
    roots = rng.normal(size=(20, 2, 2))
    matrices = roots @ np.swapaxes(roots, 1, 2)
    sym, r = from_matrices(matrices), rng.normal(size=(20, 2))
    np.testing.assert_allclose(sym.inverse().matrices(), np.linalg.inv(matrices), rtol=1e-8)
    np.testing.assert_allclose(sym.quadratic(*r.T), np.einsum("ni,nij,nj->n", r, matrices, r))
    white = np.stack(sym.whiten(*r.T), axis=1)
    np.testing.assert_allclose((white**2).sum(1), sym.inverse().quadratic(*r.T), rtol=1e-8)
    np.testing.assert_allclose(carry(roots, matrices)[0], roots[0] @ matrices[0] @ roots[0].T)
    model = fit_error_model(draw(1, 50, 1.0, 5.0), limits=False)
    assert normalised_square(draw(1, 50, 1.0, 5.0), model).shape == (50,)
    assert total_covariance(draw(1, 50, 1.0, 5.0), model).determinant.min() > 0


def overstated(residuals: Residuals, factor: float) -> Residuals:
    """The same residuals with a catalogue that gives its errors as this many mas."""
    n = len(residuals)
    return Residuals(
        residuals.rx, residuals.ry, residuals.pixel, Sym2(np.full(n, factor**2), np.full(n, factor**2), np.zeros(n))
    )


@pytest.mark.parametrize("stated_mas", [300.0, 3000.0])
def test_catalogue_errors_that_the_residuals_contradict_get_a_factor(stated_mas: float) -> None:
    """True catalogue errors of 0.7 mas given as 300 and more, beside centroids of 1 to 100 mas."""
    residuals = draw(21, 400, 1.0, 0.0)
    found = fit_error_model(overstated(residuals, stated_mas))
    assert found.catalogue_factor < 0.02
    assert found.alpha == pytest.approx(1.0, abs=4 * found.alpha_err)
    covariance = total_covariance(overstated(residuals, stated_mas), found)
    square = covariance.inverse().quadratic(residuals.rx, residuals.ry)
    # Mean of 400 values of mean 2 and variance 4.
    assert square.mean() == pytest.approx(2.0, abs=0.4)


def test_centroid_and_catalogue_errors_that_are_both_too_large_end_up_as_large_as_the_residuals() -> None:
    residuals = draw(22, 400, 0.1, 0.0, low=50.0)
    both = overstated(residuals, 500.0)
    square = total_covariance(both, fit_error_model(both)).inverse().quadratic(residuals.rx, residuals.ry)
    assert square.mean() == pytest.approx(2.0, abs=0.4)


def test_catalogue_errors_that_are_true_are_left_alone() -> None:
    """Errors of 20 mas beside centroids of 1 to 100: a factor would be found by chance in no more than some."""
    factors = []
    for seed in range(40):
        rng = np.random.default_rng(3000 + seed)
        pixel = draw(3100 + seed, 300, 1.0, 0.0)
        extra = rng.normal(0, 20.0, (2, 300))
        true = Sym2(np.full(300, 400.5), np.full(300, 400.4), np.full(300, 0.1))
        given = Residuals(pixel.rx + extra[0], pixel.ry + extra[1], pixel.pixel, true)
        factors.append(fit_error_model(given, limits=False).catalogue_factor)
    assert np.mean(np.array(factors) == 1.0) >= 0.9


def test_alpha_at_its_bound_is_a_limit_and_no_measurement() -> None:
    """Scatter of 40 mas that the centroids, all of 1000 mas by their own account, have nothing to do with."""
    rng = np.random.default_rng(23)
    pixel = Sym2(np.full(300, 1e6) * rng.uniform(0.01, 1, 300), np.full(300, 1e6), np.zeros(300))
    small = Sym2(np.zeros(300), np.zeros(300), np.zeros(300))
    found = fit_error_model(Residuals(*rng.normal(0, 1.0, (2, 300)), pixel, small))
    assert found.note == "alpha_at_bound" and np.isnan(found.alpha_err)
    assert found.alpha < found.alpha_upper < 0.02 and found.alpha_at_most == found.alpha_upper


def test_mixture_keeps_true_pairs_of_a_list_whose_errors_are_far_too_large() -> None:
    """Match radius 100 mas, residuals of 6 mas, errors given as 80 mas: every pair looked like a chance pair."""
    rng = np.random.default_rng(24)
    rx, ry = rng.normal(0, 6.0, (2, 200))
    pixel = Sym2(np.full(200, 4.0), np.full(200, 4.0), np.zeros(200))
    for stated in (80.0, 800.0):
        wide = Sym2(np.full(200, stated**2), np.full(200, stated**2), np.zeros(200))
        _, probability, _ = fit_mixture(Residuals(rx, ry, pixel, wide), np.full(200, np.pi * 100.0**2))
        assert (probability >= 0.5).mean() > 0.97
