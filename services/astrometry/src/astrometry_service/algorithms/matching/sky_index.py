"""Patterns of four stars all over the sky, ready to be looked up by an image of unknown place and scale.

Each level holds patterns whose base (the most distant pair) is between one and two times a length; levels follow each
other by a factor 2. The sky is cut into cells of that length; each keeps its brightest stars, and the brightest
patterns whose base has its middle in it, so that every field of a few cells holds some.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astrometry_service.algorithms.matching._quads import make_quads
from astrometry_service.domain.sky_index import IndexLevel, SkyIndex
from astrometry_service.domain.star_lists import SkyMap

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

__all__ = ["IndexOptions", "build_sky_index"]


@dataclass(frozen=True)
class IndexOptions:
    """How an index is made.

    Attributes
    ----------
    smallest_deg : shortest base of the finest level
    levels : number of levels, a factor 2 each
    stars_per_cell : brightest stars of each cell that are used
    quads_per_cell : patterns of each cell
    candidates : brightest stars around a cell that make its patterns
    uses : patterns of a cell that one star may be in
    code_cells : cells per dimension of the code
    """

    smallest_deg: float = 0.2
    levels: int = 7
    stars_per_cell: int = 6
    quads_per_cell: int = 5
    candidates: int = 14
    uses: int = 3
    code_cells: int = 20


def build_sky_index(
    sky: SkyMap, options: IndexOptions | None = None, *, progress: Callable[[float], None] | None = None
) -> SkyIndex:
    """Make the patterns of a list of stars all over the sky (Tycho-2: some 30 s of one processor, once).

    Parameters
    ----------
    sky : stars, in order of declination
    progress : told the share that is done
    """
    opts = options or IndexOptions()
    ra, dec = np.radians(sky.ra_deg), np.radians(sky.dec_deg)
    order = np.argsort(sky.mag, kind="stable")
    vectors = np.column_stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])[order]
    levels = []
    for number in range(opts.levels):
        smallest = np.radians(opts.smallest_deg) * 2.0**number
        levels.append(_level(vectors, ra[order], dec[order], float(smallest), opts))
        if progress is not None:
            progress(1.0 - 0.25 ** (number + 1))
    return SkyIndex(sky, tuple(levels))


def _level(vectors: Floats, ra: Floats, dec: Floats, smallest: float, opts: IndexOptions) -> IndexLevel:
    """Stars in cells, then patterns; stars come brightest first."""
    bands = max(int(np.pi / smallest), 1)
    edge = np.linspace(-np.pi / 2, np.pi / 2, bands + 1)
    widest = np.maximum(np.cos(edge[:-1]), np.cos(edge[1:]))
    count = np.maximum(np.ceil(2 * np.pi * widest / smallest), 1).astype(np.int32)
    first = np.concatenate([[0], np.cumsum(count)[:-1]]).astype(np.int32)
    band = np.minimum(((dec + np.pi / 2) / (np.pi / bands)).astype(np.int64), bands - 1)
    cell = first[band] + np.minimum((ra % (2 * np.pi) / (2 * np.pi) * count[band]).astype(np.int64), count[band] - 1)
    kept = _brightest_of_each(cell, opts.stars_per_cell)
    stars_in = np.bincount(cell[kept], minlength=int(count.sum()))
    start = np.concatenate([[0], np.cumsum(stars_in)]).astype(np.int32)
    chosen = np.ascontiguousarray(vectors[kept])
    room = int(count.sum()) * opts.quads_per_cell
    quads, codes = np.empty((room, 4), dtype=np.int32), np.empty((room, 4), dtype=np.uint16)
    made = make_quads(
        chosen, kept.astype(np.int32), start, edge, first, count, smallest, smallest, opts.quads_per_cell,
        opts.candidates, opts.uses, quads, codes,
    )  # fmt: skip
    quads, codes, cell_start = _by_code(quads[:made], codes[:made], opts.code_cells)
    return IndexLevel(smallest, smallest, chosen, start, edge, first, count, quads, codes, cell_start, opts.code_cells)


def _brightest_of_each(cell: NDArray[np.integer], most: int) -> NDArray[np.intp]:
    """Stars in order of their cell, then of brightness, at most so many of each cell."""
    order = np.argsort(cell, kind="stable")
    ordered = cell[order]
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    place = np.arange(order.size) - np.repeat(begins, np.diff(np.concatenate([begins, [order.size]])))
    return np.asarray(order[place < most], dtype=np.intp)


def _by_code(quads: Ints, codes: NDArray[np.uint16], cells: int) -> tuple[Ints, NDArray[np.uint16], Ints]:
    """Patterns in order of the cell of their code."""
    digit = np.minimum((codes.astype(np.float64) / 65535.0 * cells).astype(np.int64), cells - 1)
    key = ((digit[:, 0] * cells + digit[:, 1]) * cells + digit[:, 2]) * cells + digit[:, 3]
    order = np.argsort(key, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(key, minlength=cells**4))]).astype(np.int32)
    return np.ascontiguousarray(quads[order]), np.ascontiguousarray(codes[order]), start
