"""The noise of pixels where neighbours share it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["NoiseCorrelation", "overlap"]

FloatArray = NDArray[np.float64]


def overlap(weights: NDArray[np.floating], reach_px: int) -> FloatArray:
    """Sum of the products of weights (k, k) that lie so many pixels apart, over the sum of their squares.

    Returns
    -------
    (2 reach_px + 1, 2 reach_px + 1), lags in y and x; 1 in the middle
    """
    size = [max(n + reach_px, 2 * reach_px + 1) for n in weights.shape]
    every = np.fft.irfft2(np.abs(np.fft.rfft2(weights, s=size)) ** 2, s=size)
    part = np.roll(every, (reach_px, reach_px), axis=(0, 1))[: 2 * reach_px + 1, : 2 * reach_px + 1]
    return np.asarray(part / part[reach_px, reach_px])


@dataclass(frozen=True, eq=False)
class NoiseCorrelation:
    """Correlation of the noise of pixels, as in frames that were shifted, drizzled, registered or smoothed.

    Attributes
    ----------
    lags : (2 k + 1, 2 k + 1), rho of lags -k to k in y and x; 1 in the middle
    """

    lags: FloatArray

    @property
    def reach_px(self) -> int:
        """k, the largest lag."""
        return self.lags.shape[0] // 2

    @cached_property
    def total(self) -> float:
        """R, the sum over all lags: variance of a wide sum over that of as many independent pixels."""
        return float(self.lags.sum())

    @property
    def neighbours(self) -> tuple[float, float]:
        """rho of neighbours along x and along y."""
        k = self.reach_px
        return float(self.lags[k, k + 1]), float(self.lags[k + 1, k])

    def variance_factor(self, weights: NDArray[np.floating]) -> float:
        """Variance of a weighted sum (k, k) of pixels of the same noise over that of independent ones."""
        return float((self.lags * overlap(weights, self.reach_px)).sum())
