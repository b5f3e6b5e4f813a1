"""Clipped statistics of the meshes of a frame, of its pixels or of what they are above a level known before.

Where the sky is steep, the spread of the pixels of a mesh is that of the sky, and neither their median nor their mode is the
level in the middle. Above a level that follows the slope only the noise is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photometry_service.algorithms import _background
from photometry_service.algorithms.background_map import Background

__all__ = ["MeshEdges", "MeshStatistics", "digitisation", "mesh_edges", "mesh_statistics"]

MeshEdges = tuple[NDArray[np.int32], NDArray[np.int32]]
DIGITISED_SHARE, RARE_VALUE = 0.5, 0.05
"""Share of the pixels that common values must hold; where they hold fewer, the steps are too fine to matter. A value is
rare that is seen once, or this often for each time that the most common one is."""

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
) -> MeshStatistics:
    """Mean, median and sigma of every mesh, clipped about the median.

    Parameters
    ----------
    data, mask : (ny, nx); True = leave out
    quantum : step and offset of the digitisation; a step of 0 when there is none
    above : mean and median are those of data minus this level

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
        _background.mesh_statistics(data, bad, y_edges, x_edges, clip_sigma, max_iterations, *quantum, *planes)
        return out
    for row in range(shape[0]):  # in bands, so that no second frame is held
        rows = slice(int(y_edges[row]), int(y_edges[row + 1]))
        level = above.level_rows(rows)
        rest = _whole_steps(level, quantum[0], x_edges) if quantum[0] > 0 else None
        np.subtract(data[rows], level, out=level)
        band = tuple(plane[row : row + 1] for plane in planes)
        ends = np.array([0, level.shape[0]], np.int32)
        _background.mesh_statistics(level, bad[rows], ends, x_edges, clip_sigma, max_iterations, *quantum, *band)
        if rest is not None:
            mean, variance = rest
            band[0][0] -= mean
            band[1][0] -= mean
            band[2][0] = np.sqrt(np.maximum(band[2][0] ** 2 - variance, 0))
    return out


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


def digitisation(data: NDArray[np.float32], mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Step and offset of digitised data, in the unit of the data; (0, 0) when they are not digitised.

    Rare values do not count: mended pixels lie between the steps.
    """
    stride = max(1, data.size // 4096) | 1
    sample = data.ravel()[::stride][~mask.ravel()[::stride]].astype(np.float64)
    if sample.size < 64:
        return 0.0, 0.0
    low, high = np.quantile(sample, [0.02, 0.9])
    inner = sample[(sample >= low) & (sample <= high)]
    values, counts = np.unique(inner, return_counts=True)
    common = counts > max(1.0, RARE_VALUE * counts.max(initial=0))
    values, counts = values[common], counts[common]
    if values.size < 2 or counts.sum() < DIGITISED_SHARE * inner.size:
        return 0.0, 0.0
    resolution = 4 * np.finfo(np.float32).eps * np.abs(values).max()
    differences = np.diff(values)
    differences = differences[differences > resolution]
    if differences.size == 0:
        return 0.0, 0.0
    step = differences.min()
    steps = (values - values[0]) / step
    digitised = np.abs(steps - np.round(steps)).max() < 0.05 and step > 2 * resolution
    return (float(step), float(values[0])) if digitised else (0.0, 0.0)
