"""Residuals over the frame: mean vectors on a grid, and the correlation of neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

__all__ = ["NeighbourCorrelation", "ResidualMap", "neighbour_correlation", "residual_map"]

Floats = NDArray[np.float64]

COUNTED_EVERY = 16
"""Neighbours of every so many stars tell how many there are of all."""


@dataclass(frozen=True)
class ResidualMap:
    """Weighted mean residuals on a grid over the frame.

    Attributes
    ----------
    dx_mas, dy_mas : (rows, columns), mas, in xi and eta; NaN in empty cells
    error_mas : (rows, columns), mas per axis
    pairs : (rows, columns)
    """

    dx_mas: Floats
    dy_mas: Floats
    error_mas: Floats
    pairs: NDArray[np.int64]


@dataclass(frozen=True)
class NeighbourCorrelation:
    """Mean product of the whitened residuals of neighbours (Moran's form): 0 for independent stars, 1 for a coherent field.

    Attributes
    ----------
    radius_arcmin : largest separation
    value, error : correlation and its standard error under independence
    links : number of neighbour pairs
    """

    radius_arcmin: float
    value: float
    error: float
    links: int


def residual_map(
    x: Floats, y: Floats, rx: Floats, ry: Floats, variance: Floats, *, nx: int, ny: int, grid: tuple[int, int] = (12, 8)
) -> ResidualMap:
    """Mean residuals in ``grid`` (columns, rows; exchanged for portrait frames) cells.

    Parameters
    ----------
    x, y : (n,), pixel
    rx, ry : (n,), mas
    variance : (n,), mas^2 per axis
    """
    columns, rows = grid if nx >= ny else grid[::-1]
    i = np.clip(((x + 0.5) * columns / nx).astype(int), 0, columns - 1)
    j = np.clip(((y + 0.5) * rows / ny).astype(int), 0, rows - 1)
    cell, size = j * columns + i, rows * columns
    weight = np.bincount(cell, 1.0 / variance, size)
    with np.errstate(divide="ignore", invalid="ignore"):
        dx = np.bincount(cell, rx / variance, size) / weight
        dy = np.bincount(cell, ry / variance, size) / weight
        error = 1.0 / np.sqrt(weight)
    pairs = np.bincount(cell, minlength=size)
    shape = (rows, columns)
    error[pairs == 0] = np.nan
    return ResidualMap(dx.reshape(shape), dy.reshape(shape), error.reshape(shape), pairs.reshape(shape))


def neighbour_correlation(
    plane_deg: Floats,
    white_x: Floats,
    white_y: Floats,
    *,
    radii_arcmin: tuple[float, ...] = (2.0, 5.0, 10.0),
    max_links: int = 50_000,
) -> tuple[NeighbourCorrelation, ...]:
    """Correlation of the residuals of stars closer than each radius.

    Parameters
    ----------
    plane_deg : (n, 2), deg, standard coordinates
    white_x, white_y : (n,), whitened residuals
    max_links : with more neighbour pairs, every k-th star is taken
    """
    norm = float(np.mean(white_x * white_x + white_y * white_y)) if white_x.size else np.nan
    out = []
    for radius in radii_arcmin:
        i, j = _links(plane_deg, radius / 60.0, max_links)
        if i.size == 0:
            out.append(NeighbourCorrelation(radius, float("nan"), float("nan"), 0))
            continue
        value = float(np.mean(white_x[i] * white_x[j] + white_y[i] * white_y[j]) / norm)
        out.append(NeighbourCorrelation(radius, value, float(1.0 / np.sqrt(2.0 * i.size)), int(i.size)))
    return tuple(out)


def _links(places: Floats, radius: float, most: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs of rows closer than the radius, of every k-th row where there would be too many."""
    if places.shape[0] == 0:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    tree = cKDTree(places)
    sample = places[::COUNTED_EVERY]
    expected = 0.5 * tree.n / len(sample) * tree.count_neighbors(cKDTree(sample), radius)
    step = int(np.ceil(np.sqrt(expected / most)))
    if step > 1:
        tree = cKDTree(places[::step])
    links = tree.query_pairs(radius, output_type="ndarray")
    return links[:, 0] * step, links[:, 1] * step
