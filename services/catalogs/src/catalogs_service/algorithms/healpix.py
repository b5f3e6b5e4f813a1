"""HEALPix cells (nested) of positions and regions, and partitions of a list by them.

A cell of order 29 fits in 58 bits; the cells inside a coarser cell are one contiguous range of them, so that a list
sorted by order-29 cell answers a region with a few slices.

References
----------
Gorski et al. 2005, ApJ 622, 759; Fernique et al. 2014, IVOA MOC 1.0; Caplar et al. 2025 (HATS partitioning).
"""

from __future__ import annotations

from dataclasses import dataclass

import astropy.units as u
import numpy as np
from astropy.coordinates import Latitude, Longitude
from cdshealpix import nested
from numpy.typing import NDArray

from catalogs_service.algorithms.sphere import polygon_normals
from catalogs_service.domain.regions import Cone, Region

DEEPEST = 29
CELL_DEG_ORDER_0 = 58.6323
# Cells along a region's radius: finer cells mean fewer stars to test at the edge, coarser ones fewer ranges.
_CELLS_PER_RADIUS = 8.0

Cells = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Partition:
    """A HEALPix cell that is one file: rows ``start`` to ``stop`` of the sorted list."""

    order: int
    pixel: int
    start: int
    stop: int


def cells(ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64], order: int = DEEPEST) -> Cells:
    """Nested cell of each position (n,), deg."""
    index = nested.lonlat_to_healpix(Longitude(ra_deg, u.deg), Latitude(dec_deg, u.deg), order)
    return np.asarray(index, np.int64)


def _suitable_order(radius_deg: float) -> int:
    order = np.log2(CELL_DEG_ORDER_0 / (radius_deg / _CELLS_PER_RADIUS))
    return int(np.clip(np.floor(order), 0, DEEPEST - 2))


def _covered(region: Region, order: int) -> tuple[Cells, Cells]:
    if isinstance(region, Cone):
        centre = Longitude(region.ra_deg, u.deg), Latitude(region.dec_deg, u.deg)
        index, depth, _ = nested.cone_search(*centre, region.radius_deg * u.deg, order, 2)
    else:
        polygon_normals(region.vertices)
        ra = Longitude([ra for ra, _ in region.vertices], u.deg)
        index, depth, _ = nested.polygon_search(ra, Latitude([dec for _, dec in region.vertices], u.deg), order)
    return np.asarray(index, np.int64), np.asarray(depth, np.int64)


def _radius(region: Region) -> float:
    if isinstance(region, Cone):
        return region.radius_deg
    return max(max(dec for _, dec in region.vertices) - min(dec for _, dec in region.vertices), 0.01)


def region_ranges(region: Region) -> tuple[Cells, Cells]:
    """Ranges [start, stop) of order-29 cells that cover a region, ascending and apart; a little larger than it."""
    if isinstance(region, Cone) and region.radius_deg >= 180:
        return np.array([0]), np.array([12 << (2 * DEEPEST)])
    index, depth = _covered(region, _suitable_order(_radius(region)))
    shift = 2 * (DEEPEST - depth)
    start, stop = index << shift, (index + 1) << shift
    by_start = np.argsort(start)
    start, stop = start[by_start], stop[by_start]
    joins = start[1:] == stop[:-1]
    return start[np.r_[True, ~joins]], stop[np.r_[~joins, True]]


def region_cells(region: Region, order: int) -> Cells:
    """Every cell of one order that may overlap a region, ascending."""
    if isinstance(region, Cone) and region.radius_deg >= 180:
        return np.arange(12 << (2 * order))
    index, depth = _covered(region, order)
    shift = 2 * (order - depth)
    children = [np.arange(i << s, (i + 1) << s) for i, s in zip(index, shift, strict=True)]
    return np.unique(np.concatenate(children)) if children else np.empty(0, np.int64)


def partition(sorted_cells: Cells, *, threshold: int, highest_order: int = 11) -> list[Partition]:
    """Split a list sorted by order-29 cell into cells of at most ``threshold`` rows.

    Parameters
    ----------
    sorted_cells : (n,) ascending order-29 cells
    threshold : rows, positive
        A cell with more is split into its four children, down to ``highest_order``.

    Returns
    -------
    list of Partition
        Cells that hold rows, in the order of the list; together they hold every row once.
    """
    found: list[Partition] = []
    waiting = [(0, pixel) for pixel in reversed(range(12))]
    while waiting:
        order, pixel = waiting.pop()
        shift = 2 * (DEEPEST - order)
        start, stop = np.searchsorted(sorted_cells, [pixel << shift, (pixel + 1) << shift])
        if start == stop:
            continue
        if stop - start > threshold and order < highest_order:
            waiting.extend((order + 1, 4 * pixel + child) for child in (3, 2, 1, 0))
        else:
            found.append(Partition(order, pixel, int(start), int(stop)))
    return found


def sky_fraction(partitions: list[Partition]) -> float:
    """Fraction of the sky inside the partitions."""
    return float(sum(1 / (12 * 4**part.order) for part in partitions))
