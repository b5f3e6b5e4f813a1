"""Which frames contain a position: cells of the outlines for the index, exact tests for what the index finds.

A frame is stored with the (order, cell) pairs that cover it. A position is in a frame only if one of its ancestors, from
order 0 to the deepest, is among them: one indexed query. `contains` then decides.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from astro_shared.science.healpix_cells import ancestors, cells_of_cone, cells_of_outline
from astro_shared.science.sky_time import mean_direction
from astro_shared.science.tangent_plane import project
from astrometry_service.domain.solution import SkyTransform

__all__ = [
    "DEEPEST_ORDER", "contains", "distance_to_outline_deg", "frame_cells", "frame_outline", "position_keys", "search_keys",
    "unique_cells",
]  # fmt: skip

Floats = NDArray[np.float64]
Key = tuple[int, int]

# Cells of 51 arcsec: below the size of any frame, and few enough per frame since inner cells are coarser.
DEEPEST_ORDER = 12
# An outline is never stored with more cells than about this; larger frames use a coarser edge.
_MAX_CELLS = 2000


def frame_outline(transform: SkyTransform, nx: int, ny: int, points: int = 4) -> Floats:
    """Right ascension and declination (4 points, 2), deg, around a frame, along the outer edges of its pixels.

    Several points per side follow its distortion; those where there is no sky are left out.
    """
    along = np.arange(points) / points
    x = np.concatenate([along, np.ones(points), 1.0 - along, np.zeros(points)]) * nx - 0.5
    y = np.concatenate([np.zeros(points), along, np.ones(points), 1.0 - along]) * ny - 0.5
    outline = np.stack(transform.pixel_to_sky(x, y), axis=1)
    return np.asarray(outline[np.isfinite(outline).all(axis=1)], np.float64)


def unique_cells(keys: Sequence[Key]) -> list[int]:
    """One number for each (order, cell): 4^(order + 1) + cell, as in IVOA's multi-order coverage maps."""
    return [4 ** (order + 1) + int(cell) for order, cell in keys]


def frame_cells(outline_deg: Floats) -> tuple[Key, ...]:
    """(order, cell) pairs to store for an outline (n, 2) of right ascension and declination in degrees."""
    order = DEEPEST_ORDER
    while True:
        cells = cells_of_outline(outline_deg, order)
        if len(cells) <= _MAX_CELLS or order <= 4:
            return cells
        order -= 1


def position_keys(ra_deg: float, dec_deg: float) -> tuple[Key, ...]:
    """Keys of which one must be stored with every frame that contains the position."""
    return ancestors(ra_deg, dec_deg, DEEPEST_ORDER)


def search_keys(ra_deg: float, dec_deg: float, radius_deg: float) -> tuple[Key, ...]:
    """Keys for frames that may come within a radius: cells of the cone, and all of their ancestors.

    A stored cell *inside* one of the cone's cells is found by range: cell >> 2 (order - o) equals the key's cell.
    """
    order = DEEPEST_ORDER
    cells = cells_of_cone(ra_deg, dec_deg, radius_deg, order)
    while len(cells) > _MAX_CELLS and order > 4:
        order -= 1
        cells = cells_of_cone(ra_deg, dec_deg, radius_deg, order)
    keys = {(o - up, c >> (2 * up)) for o, c in cells for up in range(o + 1)}
    return tuple(sorted(keys))


def contains(outline_deg: Floats, ra_deg: ArrayLike, dec_deg: ArrayLike) -> NDArray[np.bool_]:
    """Whether positions (n,) lie inside an outline (m, 2); its edges are great circles. NaN is outside."""
    corners, points = _on_plane(outline_deg, ra_deg, dec_deg)
    x, y = points[:, 0], points[:, 1]
    inside = np.zeros(x.size, bool)
    ahead = np.roll(corners, -1, axis=0)
    for (x1, y1), (x2, y2) in zip(corners, ahead, strict=True):
        # Count the edges that a ray along +x crosses.
        crosses = (y1 > y) != (y2 > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            at = x1 + (y - y1) * (x2 - x1) / (y2 - y1)
        inside ^= crosses & (x < at)
    return inside & np.isfinite(x)


def distance_to_outline_deg(outline_deg: Floats, ra_deg: ArrayLike, dec_deg: ArrayLike) -> Floats:
    """Distance (n,) of positions to an outline, degrees of its tangent plane; zero inside, infinite far away."""
    corners, points = _on_plane(outline_deg, ra_deg, dec_deg)
    ahead = np.roll(corners, -1, axis=0) - corners
    away = points[:, None, :] - corners[None]
    length2 = np.maximum(np.sum(ahead**2, axis=1), 1e-30)
    t = np.clip(np.sum(away * ahead, axis=2) / length2, 0.0, 1.0)
    distance = np.min(np.linalg.norm(away - t[..., None] * ahead, axis=2), axis=1)
    distance[contains(outline_deg, ra_deg, dec_deg)] = 0.0
    return np.where(np.isfinite(distance), distance, np.inf)


def _on_plane(outline_deg: Floats, ra_deg: ArrayLike, dec_deg: ArrayLike) -> tuple[Floats, Floats]:
    """Corners (m, 2) and points (n, 2) on the plane tangent at the outline's middle, where great circles are straight."""
    ra0, dec0 = mean_direction(outline_deg[:, 0], outline_deg[:, 1])
    corners = np.stack(project(outline_deg[:, 0], outline_deg[:, 1], ra0_deg=ra0, dec0_deg=dec0), axis=1)
    points = project(np.atleast_1d(ra_deg), np.atleast_1d(dec_deg), ra0_deg=ra0, dec0_deg=dec0)
    return corners, np.stack(points, axis=1)
