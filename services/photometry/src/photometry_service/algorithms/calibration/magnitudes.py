"""Magnitudes of count rates."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["to_magnitude"]

Array = NDArray[np.float64]

MAG_PER_RELATIVE_FLUX = 2.5 / math.log(10)
MIN_SNR_FOR_ERROR = 3.0
"""Below it the error of a magnitude would not be symmetric."""


def to_magnitude(flux_e: Array, flux_err_e: Array, exposure_s: float) -> tuple[Array, Array]:
    """Magnitude -2.5 log10(flux / exposure) and its one-sigma error.

    Parameters
    ----------
    flux_e, flux_err_e : (n,), electron

    Returns
    -------
    magnitude, error : (n,)
        NaN where the flux is not positive; the error also where S/N < 3.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        magnitude = np.where(flux_e > 0, -2.5 * np.log10(flux_e / exposure_s), np.nan)
        snr = flux_e / flux_err_e
        error = np.where(snr >= MIN_SNR_FOR_ERROR, MAG_PER_RELATIVE_FLUX / snr, np.nan)
    return magnitude, error
