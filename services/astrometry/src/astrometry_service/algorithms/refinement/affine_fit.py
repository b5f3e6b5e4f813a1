"""Robust fits of affine maps to pairs of positions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from astrometry_service.algorithms.refinement._regions import reweighted_affine

__all__ = ["fit_affine", "median_scatter"]

Floats = NDArray[np.float64]

# Tukey's biweight keeps 95 per cent efficiency for Gaussian residuals at this many sigma (Maronna et al. 2006).
TUKEY_CONSTANT = 4.685
# Relative change of sigma at which reweighting has nothing left to change.
SIGMA_TOLERANCE = 1e-3


def median_scatter(distance: Floats) -> float:
    """One sigma per axis from the median of two-dimensional distances: median = 1.1774 sigma."""
    return float(np.median(distance)) / 1.1774 if distance.size else float("nan")


def fit_affine(
    x: Floats, y: Floats, target: Floats, *, rounds: int = 6, floor: float = 0.0
) -> tuple[Floats, Floats, Floats, float]:
    """Affine of six parameters by Tukey-weighted least squares.

    Parameters
    ----------
    x, y : (n,), n >= 3, centred by the caller where conditioning matters
    target : (n, 2)
    rounds : reweightings at most; ends when sigma stands still
    floor : least sigma of the weights, unit of ``target``: keeps pairs that agree to rounding from being thrown out

    Returns
    -------
    matrix : (2, 3), target = matrix @ (x, y, 1)
    covariance : (3, 3), of one row, scaled by the residuals
    weights : (n,)
    sigma : one sigma per axis of the residuals

    Raises
    ------
    LinAlgError
        The stars lie on a line.
    """
    matrix, normal = np.empty((2, 3)), np.empty((3, 3))
    weights, distance = np.ones(x.size), np.empty(x.size)
    fixed = reweighted_affine(
        np.ascontiguousarray(x), np.ascontiguousarray(y), target, rounds, floor, TUKEY_CONSTANT, SIGMA_TOLERANCE,
        matrix, normal, weights, distance,
    )  # fmt: skip
    if not fixed:
        raise np.linalg.LinAlgError("The stars lie on a line: they do not fix an affine.")
    freedom = max(float(np.count_nonzero(weights)) - 3.0, 1.0)
    sigma = max(float(np.sqrt(np.sum(weights * distance**2) / 2.0 / freedom)), floor)
    covariance = np.asarray(np.linalg.inv(normal) * sigma**2, dtype=np.float64)
    return matrix, covariance, weights, sigma
