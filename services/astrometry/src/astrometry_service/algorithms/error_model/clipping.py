"""Clipping by residuals in units of their modelled errors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from astrometry_service.algorithms.error_model.likelihood import ErrorModel, Residuals, total_covariance

__all__ = ["expected_kept", "keep_by_error", "normalised_square"]

Floats = NDArray[np.float64]


def normalised_square(residuals: Residuals, model: ErrorModel) -> Floats:
    """d^2 = r^T C^-1 r of every pair; chi-square with two degrees of freedom for true pairs."""
    return total_covariance(residuals, model).inverse().quadratic(residuals.rx, residuals.ry)


def keep_by_error(distance2: Floats, error_threshold: float) -> NDArray[np.bool_]:
    """Pairs within ERROR_THRESHOLD; 3.72 leaves out one true pair in a thousand."""
    return np.asarray(distance2 <= error_threshold**2)


def expected_kept(error_threshold: float) -> float:
    """Mean of d^2 of true pairs that pass the threshold: 2 - q e^(-q/2) / (1 - e^(-q/2)), q = threshold^2."""
    q = error_threshold**2
    if q > 600.0:
        return 2.0
    return float(2.0 - q * np.exp(-q / 2.0) / (1.0 - np.exp(-q / 2.0)))
