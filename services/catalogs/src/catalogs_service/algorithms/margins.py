"""Rows of a partitioned list that lie near cells they are not in: what the margin of a HATS catalogue holds.

Who matches partition by partition finds the partner of a star near the border of a cell only if the rows beyond the
border are at hand. The margin of a cell holds them, for every cell that is a partition and for the gaps between
partitions, where the other list may have stars.

A circle around a row stays inside the row's cell and its eight neighbours, at an order whose cells are wide enough. So
every cell that such a circle touches is found, and some that it misses by little, which does no harm.

References
----------
Caplar et al. 2025 (HATS, margin caches).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from cdshealpix import nested

from catalogs_service.algorithms.healpix import CELL_DEG_ORDER_0, DEEPEST, Cells

# Cells are this many radii wide on average; the narrowest, at the corners of the base cells, are half as wide.
_RADII_PER_CELL = 4.0


@dataclass(frozen=True, slots=True)
class Tiling:
    """Partitions (p,): cells of mixed orders, apart, ascending on the sky."""

    order: Cells
    pixel: Cells

    @property
    def start(self) -> Cells:
        """First order-29 cell of each partition."""
        return self.pixel << (2 * (DEEPEST - self.order))

    @property
    def stop(self) -> Cells:
        """First order-29 cell after each partition."""
        return (self.pixel + 1) << (2 * (DEEPEST - self.order))


@dataclass(frozen=True, slots=True)
class MarginRows:
    """Rows (m,) of one partition and the cells whose margin they belong to; a row may be in several."""

    row: Cells
    order: Cells
    pixel: Cells


def margin_rows(index: Cells, own: int, tiling: Tiling, radius_deg: float) -> MarginRows:
    """Rows of a partition that are within a radius of other cells.

    Parameters
    ----------
    index : (n,), order-29 cell of each row
    own : number of their partition in ``tiling``
    tiling : all partitions of the list
    radius_deg : deg, positive

    Returns
    -------
    MarginRows
        Other partitions that are near, and, where none is, cells of the deepest order of the tiling. All that are within
        the radius, and none that is farther than a few of it.
    """
    order = int(np.clip(np.floor(np.log2(CELL_DEG_ORDER_0 / (_RADII_PER_CELL * radius_deg))), 0, DEEPEST))
    deepest = int(tiling.order.max())
    near = _around(index >> (2 * (DEEPEST - order)), order)
    split = 2 * max(deepest - order, 0)
    near = np.where(near[..., None] < 0, -1, (near[..., None] << split) + np.arange(1 << split))
    near = near.reshape(len(index), 9 << split)
    start = near << (2 * (DEEPEST - max(order, deepest)))
    place = np.searchsorted(tiling.start, start, side="right") - 1
    inside = (place >= 0) & (start < tiling.stop[place])
    row, column = np.nonzero((near >= 0) & ~(inside & (place == own)))
    place, inside, start = place[row, column], inside[row, column], start[row, column]
    order_of = np.where(inside, tiling.order[place], deepest)
    pixel = start >> (2 * (DEEPEST - order_of))
    # a row and a cell once each, whatever number of neighbours led there
    once = np.unique(np.stack([row, order_of, pixel]), axis=1)
    return MarginRows(*once)


def _around(cell: Cells, order: int) -> Cells:
    """Each cell (n,) and its neighbours (n, 9); -1 where a corner of the base cells has none."""
    return np.asarray(nested.neighbours(cell, order), np.int64)
