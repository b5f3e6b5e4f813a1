"""How wrong the fitted map itself is: its error over the frame, at the corners, and where stars do not reach."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from astrometry_service.algorithms.wcs.plane_fit import PlaneFit

__all__ = ["SolutionError", "hull_fraction", "map_difference_mas", "solution_error"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SolutionError:
    """One sigma per axis of the map, from the covariance of its coefficients.

    Attributes
    ----------
    rms_mas : over a grid on the frame
    corner_max_mas : largest of the four corners
    grid_mas : (rows, columns), on cell centres
    """

    rms_mas: float
    corner_max_mas: float
    grid_mas: Floats


def solution_error(fit: PlaneFit, nx: int, ny: int, *, grid: int = 24) -> SolutionError:
    """Error of the fitted map: s^2(x, y) = b(x, y)^T Cov b(x, y)."""
    frame, degree = fit.polynomial.frame, fit.polynomial.degree
    x, y = np.meshgrid((np.arange(grid) + 0.5) * nx / grid - 0.5, (np.arange(grid) + 0.5) * ny / grid - 0.5)
    variance = fit.variance_mas2(frame.design(x.ravel(), y.ravel(), degree))
    edge = _corners(nx, ny)
    corners = fit.variance_mas2(frame.design(edge[:, 0], edge[:, 1], degree))
    return SolutionError(
        float(np.sqrt(variance.mean())), float(np.sqrt(corners.max())), np.sqrt(variance).reshape(grid, grid)
    )


def map_difference_mas(first: PlaneFit, second: PlaneFit, nx: int, ny: int) -> float:
    """Largest difference of two maps at the corners of the frame, mas."""
    corners = _corners(nx, ny)
    a, b = (np.stack(fit.polynomial(*corners.T), axis=1) for fit in (first, second))
    return float(np.hypot(*(a - b).T).max() * 3.6e6)


def hull_fraction(x: Floats, y: Floats, nx: int, ny: int) -> float:
    """Share of the frame inside the convex hull of the stars."""
    if x.size < 3:
        return 0.0
    try:
        hull = ConvexHull(np.stack([x, y], axis=1))
    except QhullError:
        return 0.0
    return float(hull.volume / (nx * ny))


def _corners(nx: int, ny: int) -> Floats:
    return np.array([[-0.5, -0.5], [nx - 0.5, -0.5], [nx - 0.5, ny - 0.5], [-0.5, ny - 0.5]])
