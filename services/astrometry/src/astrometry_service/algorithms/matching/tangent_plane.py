"""Reference stars on the tangent plane."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from astro_shared.science.tangent_plane import project
from astrometry_service.domain.star_lists import ProjectedStars, SkyStars

Floats = NDArray[np.float64]

__all__ = ["angular_distance_deg", "project_stars"]


def project_stars(stars: SkyStars, ra0_deg: float, dec0_deg: float, *, radius_deg: float = 80.0) -> ProjectedStars:
    """Reference stars within ``radius_deg`` of a tangent point, on its plane, with their ``origin``."""
    near = np.flatnonzero(angular_distance_deg(stars.ra_deg, stars.dec_deg, ra0_deg, dec0_deg) <= radius_deg)
    xi, eta = project(stars.ra_deg[near], stars.dec_deg[near], ra0_deg=ra0_deg, dec0_deg=dec0_deg)
    return ProjectedStars(xi, eta, stars.mag[near], float(ra0_deg), float(dec0_deg), stars.origin[near])


def angular_distance_deg(ra_deg: ArrayLike, dec_deg: ArrayLike, ra0_deg: ArrayLike, dec0_deg: ArrayLike) -> Floats:
    """Great-circle distance, exact for small and large angles (haversine form), deg."""
    ra, dec = np.radians(np.asarray(ra_deg, dtype=np.float64)), np.radians(np.asarray(dec_deg, dtype=np.float64))
    ra0, dec0 = np.radians(np.asarray(ra0_deg, dtype=np.float64)), np.radians(np.asarray(dec0_deg, dtype=np.float64))
    half = np.sin(0.5 * (dec - dec0)) ** 2 + np.cos(dec) * np.cos(dec0) * np.sin(0.5 * (ra - ra0)) ** 2
    return np.asarray(np.degrees(2.0 * np.arcsin(np.sqrt(np.clip(half, 0.0, 1.0)))), dtype=np.float64)
