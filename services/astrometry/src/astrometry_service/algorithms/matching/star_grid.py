"""Cell lists of projected stars and their local density."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

Floats = NDArray[np.float64]

__all__ = ["StarGrid"]

DENSITY_CELLS = 5
"""The local density is a mean over this many cells, of about one star each, in either direction."""


@dataclass(frozen=True)
class StarGrid:
    """Stars sorted into square cells of about one star each.

    Attributes
    ----------
    left, bottom, cell : corner and side of the cells, in the unit of the positions
    columns, rows : number of cells
    start : (columns * rows + 1,), first place of each cell in ``stars``
    stars : (n,), star numbers, cell by cell
    density : (columns * rows,), stars per unit area around each cell, never zero
    """

    left: float
    bottom: float
    cell: float
    columns: int
    rows: int
    start: NDArray[np.int32]
    stars: NDArray[np.int32]
    density: Floats

    @classmethod
    def build(cls, u: Floats, v: Floats) -> StarGrid:
        """Sort stars at (u, v) into cells; at least one star is needed."""
        margin = 1e-9 + 1e-6 * max(float(np.ptp(u)), float(np.ptp(v)))
        left, bottom = float(u.min()) - margin, float(v.min()) - margin
        width, height = float(u.max()) - left + margin, float(v.max()) - bottom + margin
        cell = math.sqrt(width * height / u.size)
        # all stars on one line: as many cells as stars along it, not more
        cell = max(cell, max(width, height) / max(u.size, 1) * 1.000001)
        columns, rows = int(width / cell) + 1, int(height / cell) + 1
        place = _cell_number(u, v, left, bottom, cell, columns, rows)
        count = np.bincount(place, minlength=columns * rows)
        start = np.concatenate([[0], np.cumsum(count)]).astype(np.int32)
        stars = np.argsort(place, kind="stable").astype(np.int32)
        smooth = uniform_filter(count.reshape(rows, columns).astype(np.float64), DENSITY_CELLS, mode="nearest")
        density = np.maximum(smooth, 0.5).ravel() / cell**2
        return cls(left, bottom, cell, columns, rows, start, stars, density)

    def density_at(self, u: Floats, v: Floats) -> Floats:
        """Stars per unit area at places inside or outside the grid (the nearest cell counts)."""
        place = _cell_number(u, v, self.left, self.bottom, self.cell, self.columns, self.rows)
        return np.asarray(self.density[place], dtype=np.float64)


def _cell_number(
    u: Floats, v: Floats, left: float, bottom: float, cell: float, columns: int, rows: int
) -> NDArray[np.intp]:
    column = np.clip((u - left) / cell, 0, columns - 1).astype(np.intp)
    row = np.clip((v - bottom) / cell, 0, rows - 1).astype(np.intp)
    return np.asarray(row * columns + column, dtype=np.intp)
