"""Gaia's tiles and depths.

A ``source_id`` carries the nested HEALPix cell of order 12 in its upper bits: id = cell * 2^35 + the rest. A cell of any
coarser order is therefore one range of identifiers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from catalogs_service.domain.stars import Stars
from catalogs_service.errors import QueryError

TILE_ORDER = 6
_ID_ORDER, _ID_SHIFT = 12, 35
DEPTHS = (17.0, 19.0, 21.0)
_RELEASE = re.compile(r"^e?dr[0-9]{1,2}$")
# Without a magnitude limit a small field is wanted deep, a large one only bright.
_DEPTH_BY_RADIUS = ((0.5, 21.0), (1.5, 19.0))

GaiaLayer = Literal["cache", "archive", "vizier"]


@dataclass(frozen=True, slots=True)
class GaiaTile:
    """A HEALPix cell (nested) whose stars are fetched together, down to a depth in G."""

    order: int
    pixel: int

    def id_range(self) -> tuple[int, int]:
        """First and last ``source_id`` of the cell."""
        shift = _ID_SHIFT + 2 * (_ID_ORDER - self.order)
        return self.pixel << shift, ((self.pixel + 1) << shift) - 1

    def children(self) -> tuple[GaiaTile, ...]:
        """The four cells of the next order."""
        return tuple(GaiaTile(self.order + 1, 4 * self.pixel + k) for k in range(4))


@dataclass(frozen=True, slots=True)
class GaiaStars:
    """Stars of a region and a little around it, complete to ``depth_mag`` in G; ``layer`` says where they were."""

    stars: Stars
    layer: GaiaLayer
    depth_mag: float
    fetched_at: datetime | None = None


def depth_for(mag_limit: float | None, radius_deg: float) -> float:
    """The shallowest layer that holds what is asked for.

    Raises
    ------
    QueryError
        Nothing is that faint.
    """
    if mag_limit is None:
        return next((depth for radius, depth in _DEPTH_BY_RADIUS if radius_deg <= radius), DEPTHS[0])
    return next((depth for depth in DEPTHS if mag_limit <= depth), DEPTHS[-1])


def checked_release(release: str) -> str:
    """A release as part of a table name: ``dr3``.

    Raises
    ------
    QueryError
        It is not one.
    """
    if not _RELEASE.match(release):
        raise QueryError(f"{release!r} is not a Gaia release.", cause="refused")
    return release
