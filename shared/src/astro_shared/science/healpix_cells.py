"""HEALPix cells (nested scheme) of positions and of outlines on the sky.

References
----------
Gorski et al. 2005, ApJ 622, 759; Fernique et al. 2014, IVOA Recommendation MOC 1.0.
"""

from __future__ import annotations

import astropy.units as u
import numpy as np
from astropy.coordinates import Latitude, Longitude
from cdshealpix import nested
from numpy.typing import ArrayLike, NDArray

__all__ = ["ancestors", "cells_of_cone", "cells_of_outline", "cells_of_positions", "order_for_size"]

CELL_SIDE_ORDER_0_DEG = 58.6323
DEEPEST = 29


def cells_of_positions(ra_deg: ArrayLike, dec_deg: ArrayLike, order: int) -> NDArray[np.int64]:
    """Cell of each position (n,) at an order."""
    ra, dec = np.atleast_1d(np.asarray(ra_deg, float)), np.atleast_1d(np.asarray(dec_deg, float))
    return np.asarray(nested.lonlat_to_healpix(Longitude(ra, u.deg), Latitude(dec, u.deg), order), dtype=np.int64)


def ancestors(ra_deg: float, dec_deg: float, deepest: int) -> tuple[tuple[int, int], ...]:
    """(order, cell) of a position at every order from 0 to ``deepest``."""
    cell = int(cells_of_positions(ra_deg, dec_deg, deepest)[0])
    return tuple((order, cell >> (2 * (deepest - order))) for order in range(deepest + 1))


def cells_of_outline(outline_deg: NDArray[np.float64], order: int) -> tuple[tuple[int, int], ...]:
    """(order, cell) pairs that cover a polygon, coarse inside and at most ``order`` at its edge.

    Parameters
    ----------
    outline_deg : (n, 2), deg, right ascension and declination of the corners, n >= 3, smaller than a half sky
    order : deepest order
    """
    ra, dec = Longitude(outline_deg[:, 0], u.deg), Latitude(outline_deg[:, 1], u.deg)
    cells, orders, _ = nested.polygon_search(ra, dec, order)
    return tuple((int(o), int(c)) for o, c in zip(orders, cells, strict=True))


def cells_of_cone(ra_deg: float, dec_deg: float, radius_deg: float, order: int) -> tuple[tuple[int, int], ...]:
    """(order, cell) pairs that cover a cone, at most ``order`` deep."""
    cells, orders, _ = nested.cone_search(Longitude(ra_deg, u.deg), Latitude(dec_deg, u.deg), radius_deg * u.deg, order)
    return tuple((int(o), int(c)) for o, c in zip(orders, cells, strict=True))


def order_for_size(size_deg: float, *, cells_across: float = 8.0) -> int:
    """Order at which about ``cells_across`` cells lie across a region of this size."""
    order = np.log2(CELL_SIDE_ORDER_0_DEG * cells_across / max(size_deg, 1e-9))
    return int(np.clip(np.ceil(order), 0, DEEPEST))
