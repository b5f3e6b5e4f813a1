"""Correlations of the noise of pixels, against sums of averaged noise."""

import numpy as np
import pytest

from photometry_service.domain.noise import NoiseCorrelation, overlap

AVERAGED = np.outer([0.5, 1.0, 0.5], [0.5, 1.0, 0.5])
"""Correlations after an average over half a pixel in x and in y."""


def correlation():
    return NoiseCorrelation(np.pad(AVERAGED, 3))


def test_the_sum_of_all_lags_is_the_variance_of_wide_sums():
    assert correlation().total == pytest.approx(4.0)
    assert correlation().neighbours == pytest.approx((0.5, 0.5))
    assert correlation().variance_factor(np.ones((400, 400))) == pytest.approx(4.0, rel=0.02)
    assert correlation().variance_factor(np.ones((1, 1))) == pytest.approx(1.0)


def test_overlap_of_a_square_falls_off_linearly():
    assert overlap(np.ones((4, 4)), 2)[2] == pytest.approx([0.5, 0.75, 1.0, 0.75, 0.5])


def test_the_factor_of_a_weighted_sum_is_that_of_simulated_noise():
    rng = np.random.default_rng(4)
    white = rng.normal(size=(20_000, 8, 8))
    noise = 0.5 * (
        white[:, 1:, 1:] + white[:, :-1, 1:] + white[:, 1:, :-1] + white[:, :-1, :-1]
    )  # unit variance per pixel
    weights = np.exp(-0.5 * (np.hypot(*(np.mgrid[:7, :7] - 3.2)) / 1.3) ** 2)
    slope = np.gradient(weights)[1]
    for weight in (weights, slope):
        measured = np.var((weight * noise).sum(axis=(1, 2))) / (weight**2).sum()
        assert correlation().variance_factor(weight) == pytest.approx(measured, rel=0.04)  # 20,000 sums: 1 %
