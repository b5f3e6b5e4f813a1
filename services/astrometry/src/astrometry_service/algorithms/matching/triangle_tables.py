"""The table of image triangles that catalogue triangles are looked up in."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from astrometry_service.algorithms.matching._triangles import count_cells, fill_cells, list_triangles

Floats = NDArray[np.float64]

__all__ = ["image_triangles", "shape_table"]

MAX_IMAGE_TRIANGLES = 40_000


def image_triangles(
    x: Floats, y: Floats, shortest: float, longest: float, thinnest: float
) -> tuple[NDArray[np.int32], Floats]:
    """Triangles of the image, in order of their longest side: vertices (m, 3) and shapes (m, 3)."""
    room = min(MAX_IMAGE_TRIANGLES, math.comb(x.size, 3))
    vertices, shapes = np.empty((room, 3), dtype=np.int32), np.empty((room, 3))
    count = list_triangles(
        np.ascontiguousarray(x), np.ascontiguousarray(y), shortest, longest, thinnest, vertices, shapes
    )
    order = np.argsort(shapes[:count, 2], kind="stable")
    return np.ascontiguousarray(vertices[order]), np.ascontiguousarray(shapes[order])


def shape_table(shapes: Floats, tolerance: float, cells: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Numbers of the triangles that may match a pair of ratios, cell by cell: (start, members)."""
    start = np.zeros(cells * cells + 1, dtype=np.int32)
    count_cells(shapes, tolerance, cells, start)
    start = np.cumsum(start, dtype=np.int32)
    members = np.empty(int(start[-1]), dtype=np.int32)
    fill_cells(shapes, tolerance, cells, start[:-1].copy(), members)
    return start, members
