"""What is done to values of meshes: gaps filled, those that stand alone taken out, noise smoothed.

References
----------
Savitzky & Golay (1964), Analytical Chemistry 36, 1627.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from scipy.signal import savgol_filter

from astro_shared.science.robust_statistics import mad_std

__all__ = ["fill_meshes", "filter_meshes", "smooth_surface", "without_outliers"]

MODE_ERROR, OUTLIER_SIGMA = 2.1, 5.0
"""Error of a mode in those of a mean (Gaussian noise); a mesh this far from its neighbours stands out."""

SMOOTH_NODES, SMOOTH_SIGMA = 5, 3.0
"""Where a smooth surface through so many nodes is as near to a node as this many of its errors, it is the level."""


def fill_meshes(values: NDArray[np.float64], good: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Replace bad nodes by the mean of their good neighbours, ring after ring."""
    values, good = np.where(good, values, 0.0), good.copy()
    while not good.all():
        padded, weight = np.pad(values * good, 1), np.pad(good.astype(np.float64), 1)
        windows = [(slice(j, j + good.shape[0]), slice(i, i + good.shape[1])) for j in range(3) for i in range(3)]
        total, count = (np.sum([plane[w] for w in windows], axis=0) for plane in (padded, weight))
        new = ~good & (count > 0)
        values[new] = total[new] / count[new]
        good |= new
    return values


def filter_meshes(mesh: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Take out meshes that stand alone.

    Inside: the median of a node and of the means of opposite nodes around it, in four directions. Of a plane that is the
    node itself, of a curved sky it is off by the same everywhere, which the next pass makes good; a median of all nine
    nodes is off on the diagonals of a bowl only, and the next would take that for something that stands alone. At
    the edges: the median of all nodes around, those beyond continuing the slope.
    """
    half = size // 2
    if min(mesh.shape) <= half:
        return np.asarray(median_filter(mesh, size, mode="nearest"))
    padded = np.pad(mesh, half, mode="reflect", reflect_type="odd")
    out = np.asarray(median_filter(padded, size)[half:-half, half:-half])
    ny, nx = mesh.shape
    if min(ny, nx) > 2 * half:
        planes = [mesh[half : ny - half, half : nx - half]]
        for step in range(1, half + 1):
            for dy, dx in ((0, step), (step, 0), (step, step), (step, -step)):
                ends = [
                    mesh[half + j : ny - half + j, half + i : nx - half + i] for j, i in ((dy, dx), (-dy, -dx))
                ]  # fmt: skip
                planes.append(0.5 * (ends[0] + ends[1]))
        out[half : ny - half, half : nx - half] = np.median(planes, axis=0)
    return out


def without_outliers(
    level: NDArray[np.float64], filtered: NDArray[np.float64], error: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The level, and where it differs from its neighbours by more than most do and noise explains, the filtered one.

    A filter bends the level of a steep sky at every pass, which then moves away from the truth instead of nearer.
    """
    off = np.abs(level - filtered)
    usual = np.maximum(mad_std(off, 0.0), MODE_ERROR * error)
    return np.where(off > OUTLIER_SIGMA * usual, filtered, level)


def smooth_surface(mesh: NDArray[np.float64], error: NDArray[np.float64]) -> NDArray[np.float64]:
    """The level by local paraboloids, where noise explains the difference (Savitzky & Golay 1964)."""
    if min(mesh.shape) < SMOOTH_NODES:
        return mesh
    smooth = savgol_filter(savgol_filter(mesh, SMOOTH_NODES, 2, axis=0), SMOOTH_NODES, 2, axis=1)
    return np.where(np.abs(smooth - mesh) < SMOOTH_SIGMA * MODE_ERROR * error, smooth, mesh)
