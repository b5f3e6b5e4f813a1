"""Patterns of four stars all over the sky."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astrometry_service.domain.star_lists import SkyMap

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

__all__ = ["IndexLevel", "SkyIndex"]


@dataclass(frozen=True)
class IndexLevel:
    """One level.

    Attributes
    ----------
    smallest : rad, shortest base; the longest is twice that
    cell_side : rad
    vectors : (n, 3), unit vectors of its stars, cell by cell
    start : (cells + 1,), first star of each cell
    band_edge, band_first, band_count : cells lie in bands of declination: edges in rad, first cell, number of cells
    quads : (m, 4), stars A, B, C, D of each pattern, in order of the cells of the code
    codes : (m, 4), code in units of 1 / 65535
    cell_start : (code_cells^4 + 1,), first pattern of each cell of the code
    code_cells : cells per dimension
    """

    smallest: float
    cell_side: float
    vectors: Floats
    start: Ints
    band_edge: Floats
    band_first: Ints
    band_count: Ints
    quads: Ints
    codes: NDArray[np.uint16]
    cell_start: Ints
    code_cells: int


@dataclass(frozen=True)
class SkyIndex:
    """All levels, and the stars that hypotheses are verified with."""

    sky: SkyMap
    levels: tuple[IndexLevel, ...]

    @property
    def patterns(self) -> int:
        """Number of patterns of all levels."""
        return sum(len(level.quads) for level in self.levels)
