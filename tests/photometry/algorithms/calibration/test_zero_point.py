"""The zero point against truth: value, colour term, errors, clipping, too few stars."""

from __future__ import annotations

import numpy as np
import pytest

from photometry_service.algorithms.calibration.zero_point import (
    ZeroPointFit,
    ZeroPointOptions,
    fit_zero_point,
    truncated_variance,
)
from photometry_service.errors import TooFewCalibratorsError

TRUE_ZERO, TRUE_COLOR = 24.3, 0.08


def calibrators(
    rng: np.random.Generator, n: int = 150, *, sigma_int: float = 0.01, outliers: float = 0.05
) -> dict[str, np.ndarray]:
    """Stars with known zero point; some are variable or mismatched."""
    mag = rng.uniform(12, 18, n)
    error = 0.002 + 0.03 * 10 ** (0.4 * (mag - 18))
    color = rng.normal(0.9, 0.4, n)
    x, y = rng.uniform(-1, 1, (2, n))
    m_inst = (
        mag
        - TRUE_ZERO
        - TRUE_COLOR * (color - 0.9)
        + error * rng.standard_normal(n)
        + sigma_int * rng.standard_normal(n)
    )
    bad = rng.random(n) < outliers
    m_inst[bad] += rng.choice([-1, 1], int(bad.sum())) * rng.uniform(0.3, 2, int(bad.sum()))
    return {
        "m_ref": mag,
        "m_ref_err": np.full(n, 0.003),
        "m_inst": m_inst,
        "m_inst_err": error,
        "x": x,
        "y": y,
        "color": color,
    }


def fit(stars: dict[str, np.ndarray], options: ZeroPointOptions | None = None) -> ZeroPointFit:
    keys = ("m_ref", "m_ref_err", "m_inst", "m_inst_err")
    return fit_zero_point(
        *(stars[key] for key in keys), x=stars["x"], y=stars["y"], color=stars["color"], options=options
    )


def true_zero_at(color: float) -> float:
    return TRUE_ZERO + TRUE_COLOR * (color - 0.9)


def test_zero_point_and_color_term_lie_within_three_errors_in_95_percent_of_seeds() -> None:
    inside = []
    for seed in range(50):
        found = fit(calibrators(np.random.default_rng(seed)), ZeroPointOptions(spatial_order=0))
        assert found.color_term is not None and found.color_term_err is not None
        zero = abs(found.value - true_zero_at(found.color_zero)) < 3 * found.error
        color = abs(found.color_term - TRUE_COLOR) < 3 * found.color_term_err
        inside.append(zero and color)
    assert np.mean(inside) >= 0.95


def test_errors_have_unit_pulls() -> None:
    pulls = []
    for seed in range(120):
        found = fit(calibrators(np.random.default_rng(1000 + seed), 80), ZeroPointOptions(spatial_order=0))
        pulls.append((found.value - true_zero_at(found.color_zero)) / found.error)
    # 120 pulls: the standard deviation of a unit normal sample is known to 6.5 %; three of these
    assert 0.8 < np.std(pulls) < 1.2
    assert abs(np.mean(pulls)) < 3 / np.sqrt(120)


def test_intrinsic_scatter_is_recovered() -> None:
    found = [fit(calibrators(np.random.default_rng(seed), 400, sigma_int=0.02)).sigma_int for seed in range(10)]
    assert np.median(found) == pytest.approx(0.02, rel=0.1)


def test_no_intrinsic_scatter_is_found_where_there_is_none() -> None:
    found = fit(calibrators(np.random.default_rng(3), 400, sigma_int=0.0, outliers=0.0))
    assert found.sigma_int < 0.004


def test_outliers_are_clipped_and_said() -> None:
    stars = calibrators(np.random.default_rng(5), 60, outliers=0.0)
    stars["m_inst"][:6] += 1.0
    found = fit(stars)
    assert not found.used[:6].any()
    assert found.used[6:].mean() > 0.95
    assert np.all(found.residual[:6] < -0.8)


def test_spatial_term_is_recovered_and_costs_nothing_where_it_is_zero() -> None:
    stars = calibrators(np.random.default_rng(7), 400, outliers=0.0)
    stars["m_inst"] -= 0.05 * stars["x"]
    found = fit(stars)
    left, _ = found.at(np.array([-1.0]), np.array([0.0]), np.array([0.9]))
    right, _ = found.at(np.array([1.0]), np.array([0.0]), np.array([0.9]))
    assert right[0] - left[0] == pytest.approx(0.1, abs=0.01)
    assert found.spatial_order == 2


def test_few_stars_give_no_spatial_term_whatever_was_asked() -> None:
    found = fit(calibrators(np.random.default_rng(8), 30), ZeroPointOptions(spatial_order=2))
    assert found.spatial_order == 0


def test_two_calibrators_are_too_few() -> None:
    stars = {key: values[:2] for key, values in calibrators(np.random.default_rng(9)).items()}
    with pytest.raises(TooFewCalibratorsError, match="2 calibrators are left, 3 are needed"):
        fit(stars)


def test_three_calibrators_are_enough() -> None:
    stars = {key: values[:3] for key, values in calibrators(np.random.default_rng(9), outliers=0.0).items()}
    found = fit(stars)
    assert found.value == pytest.approx(TRUE_ZERO, abs=0.2)
    assert not found.has_color


def test_narrow_colors_give_no_color_term_and_say_so() -> None:
    stars = calibrators(np.random.default_rng(10))
    stars["color"] = 0.9 + 0.01 * np.random.default_rng(1).standard_normal(150)
    found = fit(stars)
    assert not found.has_color
    assert "no colour term" in found.notes[0]


def test_star_without_color_is_taken_at_the_median_with_a_larger_error() -> None:
    found = fit(calibrators(np.random.default_rng(11)), ZeroPointOptions(spatial_order=0))
    here = np.zeros(2)
    zero, error = found.at(here, here, np.array([found.color_zero, np.nan]))
    assert zero[0] == pytest.approx(zero[1])
    assert error[1] == pytest.approx(np.hypot(error[0], TRUE_COLOR * found.color_scatter), rel=0.2)


def test_rows_with_nan_are_not_used() -> None:
    stars = calibrators(np.random.default_rng(12))
    stars["m_ref"][:10] = np.nan
    stars["m_inst"][10:20] = np.nan
    found = fit(stars)
    assert not found.used[:20].any()
    assert np.isfinite(found.value)


def test_classic_mode_is_the_clipped_median() -> None:
    stars = calibrators(np.random.default_rng(13), outliers=0.02)
    stars["color"][:] = 0.9
    found = fit(stars, ZeroPointOptions(mode="classic"))
    difference = stars["m_ref"] - stars["m_inst"]
    keep = np.ones(len(difference), bool)
    for _ in range(20):
        keep = np.abs(difference - np.median(difference[keep])) <= 3 * np.std(difference[keep])
    assert found.value == pytest.approx(np.median(difference[keep]), abs=1e-12)


def test_variance_of_a_clipped_normal_agrees_with_a_sample() -> None:
    sample = np.random.default_rng(1).standard_normal(2_000_000)
    for clip in (2.0, 3.0):
        assert truncated_variance(clip) == pytest.approx(np.var(sample[np.abs(sample) < clip]), rel=0.003)
