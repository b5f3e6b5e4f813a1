"""Magnitudes of count rates."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["to_magnitude"]

Array = NDArray[np.float64]

MAG_PER_RELATIVE_FLUX = 2.5 / math.log(10)
MIN_SNR_FOR_ERROR = 3.0


def to_magnitude(flux_e: Array, flux_err_e: Array, exposure_s: float) -> tuple[Array, Array]:
    """Magnitude of a count rate and its error; the error is NaN below a S/N of 3, where it would not be symmetric."""
    with np.errstate(invalid="ignore", divide="ignore"):
        magnitude = np.where(flux_e > 0, -2.5 * np.log10(flux_e / exposure_s), np.nan)
        snr = flux_e / flux_err_e
        error = np.where(snr >= MIN_SNR_FOR_ERROR, MAG_PER_RELATIVE_FLUX / snr, np.nan)
    return magnitude, error
