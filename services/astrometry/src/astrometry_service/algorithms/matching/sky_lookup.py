"""Discs out of a list of stars all over the sky."""

from __future__ import annotations

import numpy as np

from astrometry_service.algorithms.matching.tangent_plane import angular_distance_deg
from astrometry_service.domain.star_lists import SkyMap, SkyStars

__all__ = ["sky_cone"]


def sky_cone(sky: SkyMap, ra_deg: float, dec_deg: float, radius_deg: float, *, max_rows: int | None = None) -> SkyStars:
    """The stars of a disc, brightest first; their ``origin`` counts in the map."""
    first, last = np.searchsorted(sky.dec_deg, [dec_deg - radius_deg, dec_deg + radius_deg])
    band = slice(int(first), int(last))
    distance = angular_distance_deg(sky.ra_deg[band], sky.dec_deg[band], ra_deg, dec_deg)
    near = np.flatnonzero(distance <= radius_deg) + int(first)
    near = near[np.argsort(sky.mag[near], kind="stable")][:max_rows]
    return SkyStars(sky.ra_deg[near], sky.dec_deg[near], sky.mag[near].astype(np.float64), near)
