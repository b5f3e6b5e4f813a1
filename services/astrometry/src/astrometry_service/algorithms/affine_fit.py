"""Robust fits of affine maps to pairs of positions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["fit_affine", "median_scatter", "tukey_weights"]

Floats = NDArray[np.float64]

# Tukey's biweight keeps 95 per cent efficiency for Gaussian residuals at this many sigma (Maronna et al. 2006).
TUKEY_CONSTANT = 4.685
# Relative change of sigma at which reweighting has nothing left to change.
SIGMA_TOLERANCE = 1e-3


def median_scatter(distance: Floats) -> float:
    """One sigma per axis from the median of two-dimensional distances: median = 1.1774 sigma."""
    return float(np.median(distance)) / 1.1774 if distance.size else float("nan")


def tukey_weights(distance: Floats, sigma: float) -> Floats:
    """Biweights of two-dimensional distances."""
    scaled = distance / (TUKEY_CONSTANT * max(sigma, 1e-300))
    return np.asarray(np.where(scaled < 1.0, (1.0 - scaled**2) ** 2, 0.0), dtype=np.float64)


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
    """
    design = np.stack([x, y, np.ones_like(x)], axis=1)
    weights, before = np.ones(x.size), np.inf
    for _ in range(rounds):
        normal = design.T @ (design * weights[:, None])
        matrix = np.linalg.solve(normal, design.T @ (target * weights[:, None])).T
        distance = np.hypot(*(target - design @ matrix.T).T)
        sigma = max(median_scatter(distance), floor)
        updated = tukey_weights(distance, sigma)
        if np.count_nonzero(updated) < 4:
            break
        weights = updated
        if abs(sigma - before) < SIGMA_TOLERANCE * sigma:
            break
        before = sigma
    freedom = max(float(np.count_nonzero(weights)) - 3.0, 1.0)
    normal = design.T @ (design * weights[:, None])
    sigma = max(float(np.sqrt(np.sum(weights * distance**2) / 2.0 / freedom)), floor)
    covariance = np.asarray(np.linalg.inv(normal) * sigma**2, dtype=np.float64)
    return np.asarray(matrix, dtype=np.float64), covariance, weights, sigma
