"""A grid over the sphere whose occupied cells are kept in a hash table.

Zones of declination of one height; each zone is cut into as many equal cells as keep them at least that wide. Only
cells that hold something take memory, so that a grid of arcseconds over the whole sky costs as little as its sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from catalogs_service.algorithms import _sky_pairs
from catalogs_service.algorithms.sphere import SKY_DEG2, enclosing_cone

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

_MOST_ZONES = 1 << 20
_MOST_CELLS_PER_SOURCE = 6
# Cell over search radius: larger cells mean fewer entries per source, smaller ones fewer strangers in a cell.
_CELL_REACHES = 6.0
# A bitmap of 512 kB, half of a core's second-level cache.
FILTER_BITS = 22
# List entries per cell that the density around a source is estimated from: a Poisson error of 20 %.
_DENSITY_ENTRIES = 25.0
_DENSITY_SAMPLE = 2000


@dataclass(frozen=True, slots=True)
class SkyGrid:
    """Occupied cells in bucket order: ``cell`` (m,) with the ``source`` (m,) that stands there."""

    height: float
    zone_offset: Indices
    bits: int
    bucket_start: NDArray[np.int32]
    cell: Indices
    source: NDArray[np.int32]
    bitmap: NDArray[np.uint8]

    def cell_area_deg2(self) -> Floats:
        """Area of each occupied cell."""
        zone = np.searchsorted(self.zone_offset, self.cell, side="right") - 1
        low = -np.pi / 2 + zone * self.height
        band = np.sin(np.minimum(low + self.height, np.pi / 2)) - np.sin(low)
        return np.asarray(SKY_DEG2 / 2 * band / np.diff(self.zone_offset)[zone])


@lru_cache(maxsize=8)
def _zones(n_zones: int) -> Indices:
    """Number of cells below each zone (n_zones + 1,)."""
    edge = np.linspace(-np.pi / 2, np.pi / 2, n_zones + 1)
    narrow = np.minimum(np.cos(edge[:-1]), np.cos(edge[1:]))
    cells = np.maximum((2 * n_zones * narrow).astype(np.int64), 1)
    offset = np.concatenate([[0], np.cumsum(cells)])
    offset.setflags(write=False)
    return offset


def _n_zones(height: float) -> int:
    """A power of two, so that few different grids are ever built."""
    return int(2 ** np.clip(np.floor(np.log2(np.pi / height)), 1, np.log2(_MOST_ZONES)))


def _hashed(n_zones: int, cell: Indices, source: NDArray[np.int32]) -> SkyGrid:
    bits = int(np.clip(np.ceil(np.log2(max(len(cell), 1))), 8, 24))
    bucket_start, order = np.zeros((1 << bits) + 1, np.int32), np.empty(len(cell), np.int32)
    _sky_pairs.fill_buckets(cell, bits, bucket_start, order)
    bitmap = np.zeros(1 << (FILTER_BITS - 3), np.uint8)
    _sky_pairs.fill_filter(cell, FILTER_BITS, bitmap)
    return SkyGrid(np.pi / n_zones, _zones(n_zones), bits, bucket_start, cell[order], source[order], bitmap)


def grid_for_circles(ra: Floats, dec: Floats, reach: Floats) -> SkyGrid:
    """Grid in which every source (n,) rad stands in each cell that its circle of radius ``reach`` (n,) rad touches."""
    n_zones = _n_zones(_CELL_REACHES * float(np.median(reach)) + 1e-9)
    while True:
        room = _MOST_CELLS_PER_SOURCE * len(ra) + 1024
        cell, source = np.empty(room, np.int64), np.empty(room, np.int32)
        count = _sky_pairs.touched_cells(ra, dec, reach, np.pi / n_zones, _zones(n_zones), cell, source)
        if count <= room:
            return _hashed(n_zones, cell[:count], source[:count])
        n_zones //= 2


def grid_for_density(ra: Floats, dec: Floats, list_ra: Floats, list_dec: Floats) -> tuple[SkyGrid, Indices]:
    """Grid of the distinct cells in which sources stand, as large as 25 list entries, and each source's place in it."""
    good = np.flatnonzero(np.isfinite(list_ra) & np.isfinite(list_dec))
    sample = good[:: max(len(good) // _DENSITY_SAMPLE, 1)]
    radius = 180.0
    if len(sample):
        *_, radius = enclosing_cone(np.degrees(list_ra[sample]), np.degrees(list_dec[sample]))
    area_rad2 = 4 * np.pi * np.sin(np.radians(max(radius, 1e-3)) / 2) ** 2
    n_zones = _n_zones(float(np.sqrt(_DENSITY_ENTRIES / max(len(good), 1) * area_rad2)))
    mine = np.empty(len(ra), np.int64)
    _sky_pairs.cells_of(ra, dec, np.pi / n_zones, _zones(n_zones), mine)
    ascending = np.sort(mine)
    distinct = ascending[np.r_[True, ascending[1:] != ascending[:-1]]]
    which = np.searchsorted(distinct, mine)
    grid = _hashed(n_zones, distinct, np.arange(len(distinct), dtype=np.int32))
    place = np.empty(len(distinct), np.int64)
    place[grid.source] = np.arange(len(distinct))
    return grid, place[which]
