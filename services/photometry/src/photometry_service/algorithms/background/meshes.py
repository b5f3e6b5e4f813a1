"""Clipped statistics of the meshes of a frame, of its pixels or of what they are above a level known before.

Where the sky is steep, the spread of the pixels of a mesh is that of the sky, and neither their median nor their mode is the
level in the middle. Above a level that follows the slope only the noise is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import erf

from photometry_service.algorithms.background import _meshes
from photometry_service.algorithms.background.map import Background
from photometry_service.algorithms.background.sky_floor import SkyFloor, censored_mesh

__all__ = [
    "MeshEdges",
    "MeshStatistics",
    "clipped_gaussian_sigma",
    "mesh_edges",
    "mesh_statistics",
]

MeshEdges = tuple[NDArray[np.int32], NDArray[np.int32]]
REACHED_SHARE = 0.0005
"""A mesh that has lost a smaller share of its pixels has lost nothing that matters."""

REMAINDER_STEP = 3
"""Of every third pixel in each direction the rest of the level below a whole step is averaged."""


@dataclass(frozen=True, eq=False)
class MeshStatistics:
    """Of each mesh, (my, mx).

    Attributes
    ----------
    mean, median, sigma : after clipping, in the unit of the frame
    used, unmasked : pixels left after clipping, and pixels not masked
    """

    mean: NDArray[np.float64]
    median: NDArray[np.float64]
    sigma: NDArray[np.float64]
    used: NDArray[np.int32]
    unmasked: NDArray[np.int32]


def mesh_edges(shape: tuple[int, ...], box_px: int) -> MeshEdges:
    """Borders of the meshes in y and x: an even division, so that none is a narrow remainder."""
    y, x = (np.round(np.linspace(0, n, max(1, round(n / box_px)) + 1)).astype(np.int32) for n in shape)
    return y, x


def mesh_statistics(
    data: NDArray[np.float32],
    mask: NDArray[np.bool_],
    edges: MeshEdges,
    *,
    clip_sigma: float,
    max_iterations: int,
    quantum: tuple[float, float],
    above: Background | None = None,
    floor: SkyFloor | None = None,
) -> MeshStatistics:
    """Mean, median and sigma of every mesh, clipped about the median.

    Parameters
    ----------
    data, mask : (ny, nx); True = leave out
    quantum : step and offset of the digitisation; a step of 0 when there is none
    above : mean and median are those of data minus this level
    floor : where the sky was cut off below; meshes that this reaches have level and noise of the Gaussian before it

    Notes
    -----
    Digitised data stay digitised: the level is taken off in whole steps, and mean and variance of what is left of it over a
    mesh are taken off mean, median and variance of the pixels.
    """
    y_edges, x_edges = edges
    shape = (y_edges.size - 1, x_edges.size - 1)
    mean, median, sigma = (np.empty(shape) for _ in range(3))
    used, unmasked = (np.empty(shape, np.int32) for _ in range(2))
    out = MeshStatistics(mean, median, sigma, used, unmasked)
    planes = tuple(vars(out).values())
    bad = np.ascontiguousarray(mask).view(np.uint8)
    if above is None:
        _meshes.mesh_statistics(data, bad, y_edges, x_edges, clip_sigma, max_iterations, *quantum, *planes)
        return out if floor is None else _before_the_cut(out, data, mask, edges, floor, clip_sigma, above)
    for row in range(shape[0]):  # in bands, so that no second frame is held
        rows = slice(int(y_edges[row]), int(y_edges[row + 1]))
        level = above.level_rows(rows)
        rest = _whole_steps(level, quantum[0], x_edges) if quantum[0] > 0 else None
        np.subtract(data[rows], level, out=level)
        band = tuple(plane[row : row + 1] for plane in planes)
        ends = np.array([0, level.shape[0]], np.int32)
        _meshes.mesh_statistics(level, bad[rows], ends, x_edges, clip_sigma, max_iterations, *quantum, *band)
        if rest is not None:
            mean, variance = rest
            band[0][0] -= mean
            band[1][0] -= mean
            band[2][0] = np.sqrt(np.maximum(band[2][0] ** 2 - variance, 0))
    return out if floor is None else _before_the_cut(out, data, mask, edges, floor, clip_sigma, above)


def _before_the_cut(
    found: MeshStatistics, data: NDArray[np.float32], mask: NDArray[np.bool_], edges: MeshEdges, floor: SkyFloor,
    clip_sigma: float, above: Background | None,
) -> MeshStatistics:  # fmt: skip
    """The statistics with those of a censored Gaussian in the meshes whose sky was cut off.

    Above a level the value at which pixels were cut off differs from pixel to pixel: all below the highest count as lost.
    """
    mean, sigma, used = found.mean.copy(), found.sigma.copy(), found.used.copy()
    median, unmasked = found.median.copy(), found.unmasked.copy()
    for j, (top, bottom) in enumerate(pairwise(edges[0])):
        level = None if above is None else above.level_rows(slice(int(top), int(bottom)))
        for i, (left, right) in enumerate(pairwise(edges[1])):  # a few thousand meshes at most
            place = np.s_[top:bottom, left:right]
            values, edge = data[place], floor.edge
            if level is not None:
                values, edge = values - level[:, left:right], floor.edge - float(level[:, left:right].min())
            values = values[~mask[place]]
            if np.count_nonzero(values <= edge) < REACHED_SHARE * values.size:
                continue
            one = censored_mesh(values, floor, edge)
            if one is None:
                unmasked[j, i] = used[j, i] = 0
            else:
                mean[j, i] = median[j, i] = one[0]
                sigma[j, i], used[j, i] = one[1] * clipped_gaussian_sigma(clip_sigma), values.size
    return MeshStatistics(mean, median, sigma, used, unmasked)


def _whole_steps(
    level: NDArray[np.float32], step: float, x_edges: NDArray[np.int32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Round a level to whole steps, in place; mean and variance over each mesh, (mx,), of what that took off."""
    exact = level[::REMAINDER_STEP].copy()
    np.multiply(level, np.float32(1 / step), out=level)
    np.rint(level, out=level)
    np.multiply(level, np.float32(step), out=level)
    rest = (exact - level[::REMAINDER_STEP])[:, ::REMAINDER_STEP].astype(np.float64)
    first = -(-x_edges[:-1] // REMAINDER_STEP)
    count = rest.shape[0] * np.diff(np.append(first, rest.shape[1]))
    mean = np.add.reduceat(rest.sum(axis=0), first) / count
    return mean, np.maximum(np.add.reduceat((rest**2).sum(axis=0), first) / count - mean**2, 0)


@lru_cache
def clipped_gaussian_sigma(clip: float) -> float:
    """Standard deviation of a unit Gaussian clipped at ``clip`` of its own clipped sigma, to convergence."""

    def truncated(sigma: float) -> float:
        a = clip * sigma
        return float(np.sqrt(1 - a * np.sqrt(2 / np.pi) * np.exp(-a * a / 2) / erf(a / np.sqrt(2))))

    return float(brentq(lambda s: truncated(s) - s, 0.3, 1.0)) if clip > 2 else 1.0
