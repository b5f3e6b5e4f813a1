import numpy as np
import pytest
from scipy import stats

from astrometry_service.algorithms.error_model.chi_square import (
    anderson_darling_p,
    bin_chi_square,
    chi_square,
    distribution_tests,
)
from astrometry_service.algorithms.error_model.clipping import expected_kept
from astrometry_service.algorithms.refinement.residual_maps import neighbour_correlation, residual_map
from astrometry_service.algorithms.refinement.rms_clipping import clip_by_rms
from astrometry_service.algorithms.refinement.solution_error import hull_fraction, map_difference_mas, solution_error
from astrometry_service.algorithms.wcs.plane_fit import PixelFrame, fit_plane


def white(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.random.default_rng(seed).normal(size=(2, n)))  # type: ignore[return-value]


def test_chi_square_of_true_pairs_is_one_per_freedom() -> None:
    x, y = white(1, 5000)
    result = chi_square(x**2 + y**2, 10)
    assert result.dof == 2 * 5000 - 20 - 2
    # 20 terms fewer degrees than residuals that were not fitted: 0.2 per cent.
    assert abs(result.reduced - 1.0) < 4 * result.standard_error
    assert result.p_value == pytest.approx(stats.chi2.sf(result.value, result.dof))


def test_clipped_pairs_have_their_own_expectation() -> None:
    x, y = white(2, 50000)
    square = x**2 + y**2
    kept = square[square < 2.0**2]
    result = chi_square(kept, 0, error_threshold=2.0)
    assert result.reduced == pytest.approx(result.expected, abs=4 * result.standard_error)
    assert np.isnan(result.p_value)


def test_tests_accept_the_truth_and_refuse_a_wrong_width() -> None:
    accepted = 0
    for seed in range(60):
        x, y = white(100 + seed, 800)
        inside = x**2 + y**2 < 3.72**2
        found = distribution_tests(x[inside], y[inside], error_threshold=3.72)
        accepted += found["ks_normal_p"] > 0.01 and found["ks_square_p"] > 0.01 and found["ad_normal_p"] > 0.01
    assert accepted >= 55
    x, y = white(7, 800)
    wrong = distribution_tests(1.2 * x, 1.2 * y, error_threshold=10.0)
    assert max(wrong["ks_square_p"], wrong["ad_normal_p"]) < 1e-3


def test_anderson_darling_probabilities_are_those_of_the_table() -> None:
    """Stephens 1974, case 0: 10, 5 and 1 per cent points 1.933, 2.492, 3.857."""
    for statistic, p in ((1.933, 0.10), (2.492, 0.05), (3.857, 0.01)):
        assert anderson_darling_p(statistic) == pytest.approx(p, rel=0.03)
    assert anderson_darling_p(0.0) == 1.0 and anderson_darling_p(0.3) > 0.9


def test_few_pairs_have_no_test() -> None:
    assert all(np.isnan(v) for v in distribution_tests(np.zeros(2), np.zeros(2), error_threshold=3.72).values())


def test_bins_show_where_the_errors_are_wrong() -> None:
    x, y = white(3, 3000)
    mag = np.random.default_rng(4).uniform(10, 20, 3000)
    grown = np.where(mag < 12, 1.5, 1.0)
    square = (x * grown) ** 2 + (y * grown) ** 2
    bins = bin_chi_square(square, mag, per_star=np.full(3000, 2.0), bins=5)
    assert [b.deviates for b in bins] == [True, False, False, False, False]
    assert bins[0].low < bins[0].high <= bins[1].low
    mag[:2990] = np.nan
    assert len(bin_chi_square(square, mag, per_star=np.full(3000, expected_kept(3.72)))) == 1
    assert bin_chi_square(square, np.full(3000, np.nan), per_star=np.full(3000, 2.0)) == ()


def test_residual_map_shows_a_local_shift() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.uniform(0, 1200, 5000), rng.uniform(0, 800, 5000)
    rx, ry = rng.normal(0, 5, (2, 5000))
    rx[(x < 100) & (y < 100)] += 20.0
    found = residual_map(x, y, rx, ry, np.full(5000, 25.0), nx=1200, ny=800)
    assert found.dx_mas.shape == (8, 12) and found.pairs.sum() == 5000
    significance = found.dx_mas / found.error_mas
    assert np.unravel_index(np.argmax(significance), significance.shape) == (0, 0) and significance[0, 0] > 10
    empty = residual_map(x[:1], y[:1], rx[:1], ry[:1], np.ones(1), nx=800, ny=1200)
    assert empty.dx_mas.shape == (12, 8) and np.isnan(empty.dx_mas).sum() == 95


def test_neighbours_are_correlated_only_in_a_coherent_field() -> None:
    rng = np.random.default_rng(6)
    places = rng.uniform(0, 1, (1200, 2))
    x, y = white(8, 1200)
    for one in neighbour_correlation(places, x, y):
        assert abs(one.value) < 4 * one.error and one.links > 100
    field = np.sin(2 * np.pi * places[:, 0] / 0.6)
    coherent = neighbour_correlation(places, x + 1.5 * field, y)
    assert coherent[0].value > 10 * coherent[0].error and coherent[0].value > coherent[2].value
    assert neighbour_correlation(np.zeros((0, 2)), x[:0], y[:0])[0].links == 0


def test_rms_clipping_takes_the_outliers_and_ends() -> None:
    rng = np.random.default_rng(9)
    distance = np.hypot(*rng.normal(0, 10, (2, 500)))
    distance[:25] = rng.uniform(200, 1000, 25)
    kept, rounds = clip_by_rms(lambda _: distance, 500)
    assert not kept[:25].any() and kept[25:].mean() > 0.99
    assert rounds[-1].kept == kept.sum() and rounds[-1].sigma_mas == pytest.approx(10.0, rel=0.1)
    assert len(rounds) <= 5
    few, none = clip_by_rms(lambda _: distance[:8], 8, min_pairs=20)
    assert few.all() and none == ()


def test_error_of_the_map_grows_towards_the_corners() -> None:
    frame, rng = PixelFrame.of(2000, 1000), np.random.default_rng(10)
    x, y = rng.uniform(0, 2000, 400), rng.uniform(0, 1000, 400)
    design = frame.design(x, y, 3)
    target = np.stack([x, y], axis=1) * 3e-4
    fit = fit_plane(frame, design, target, np.full(400, 25.0), ra0_deg=0, dec0_deg=0)
    error = solution_error(fit, 2000, 1000)
    # Mean variance over the stars is terms / N: 5 sqrt(10 / 400) = 0.79 mas.
    assert error.rms_mas == pytest.approx(0.79, rel=0.1)
    assert error.corner_max_mas > 2 * error.rms_mas and error.grid_mas.shape == (24, 24)
    lower = fit_plane(frame, frame.design(x, y, 2), target, np.full(400, 25.0), ra0_deg=0, dec0_deg=0)
    assert map_difference_mas(fit, lower, 2000, 1000) < 1e-4


def test_hull_tells_bare_corners() -> None:
    rng = np.random.default_rng(11)
    x, y = rng.uniform(0, 1000, (2, 500))
    assert hull_fraction(x, y, 1000, 1000) > 0.95
    assert hull_fraction(x / 2, y, 1000, 1000) < 0.5
    assert hull_fraction(x[:2], y[:2], 1000, 1000) == 0.0 and hull_fraction(x, x, 1000, 1000) == 0.0
