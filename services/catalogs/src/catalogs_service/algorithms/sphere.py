"""Directions and angles on the sphere, exact for the smallest and the largest."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from catalogs_service.errors import RegionError

ARCSEC_PER_DEG = 3600.0
SKY_DEG2 = 4 * np.pi * (180 / np.pi) ** 2

Floats = NDArray[np.float64]


def unit_vectors(ra_deg: ArrayLike, dec_deg: ArrayLike) -> Floats:
    """Directions of positions.

    Parameters
    ----------
    ra_deg, dec_deg : (n,), deg

    Returns
    -------
    (n, 3)
        Unit vectors; NaN where a coordinate is NaN.
    """
    ra, dec = np.radians(np.asarray(ra_deg, float)), np.radians(np.asarray(dec_deg, float))
    cos_dec = np.cos(dec)
    return np.stack([cos_dec * np.cos(ra), cos_dec * np.sin(ra), np.sin(dec)], axis=-1)


def positions(vectors: Floats) -> tuple[Floats, Floats]:
    """Right ascension in [0, 360) and declination, deg, of vectors (n, 3) of any length."""
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    ra = np.degrees(np.arctan2(y, x)) % 360.0
    ra = np.where(ra >= 360.0, 0.0, ra)  # the remainder of a tiny negative angle rounds up to 360
    return ra, np.degrees(np.arctan2(z, np.hypot(x, y)))


def separation_deg(ra1: ArrayLike, dec1: ArrayLike, ra2: ArrayLike, dec2: ArrayLike) -> Floats:
    """Angle between positions, all deg, broadcast; by half angles, exact to rounding for small separations.

    Notes
    -----
    sin^2(s/2) = sin^2(ddec/2) + cos(dec1) cos(dec2) sin^2(dra/2)
    """
    a1, d1, a2, d2 = (np.radians(np.asarray(value, float)) for value in (ra1, dec1, ra2, dec2))
    h = np.sin((d2 - d1) / 2) ** 2 + np.cos(d1) * np.cos(d2) * np.sin((a2 - a1) / 2) ** 2
    return np.degrees(2 * np.arcsin(np.sqrt(np.clip(h, 0.0, 1.0))))


def within_cone(vectors: Floats, ra_deg: float, dec_deg: float, radius_deg: float) -> NDArray[np.bool_]:
    """Which of (n, 3) unit vectors lie in a cone, its edge included; by the chord, good for any radius."""
    if radius_deg >= 180:
        return np.ones(len(vectors), bool)
    difference = vectors - unit_vectors(ra_deg, dec_deg)
    limit = 4 * np.sin(np.radians(radius_deg) / 2) ** 2
    chord2: Floats = np.einsum("ij,ij->i", difference, difference)
    return chord2 <= limit


def polygon_normals(vertices: tuple[tuple[float, float], ...]) -> Floats:
    """Inward normals of the sides of a convex polygon.

    Parameters
    ----------
    vertices : (ra, dec) in deg, either sense

    Returns
    -------
    (n, 3)
        A direction v is inside when v . normal >= 0 for every side.

    Raises
    ------
    RegionError
        The polygon is not convex, has equal neighbours or is not smaller than a hemisphere.
    """
    corners = unit_vectors([ra for ra, _ in vertices], [dec for _, dec in vertices])
    normals = np.cross(corners, np.roll(corners, -1, axis=0))
    length = np.linalg.norm(normals, axis=1)
    if np.any(length < 1e-12):
        raise RegionError("Two neighbouring vertices of the polygon are equal or opposite.")
    normals /= length[:, None]
    if np.sum(normals @ corners.mean(axis=0)) < 0:
        normals = -normals
    if np.any(normals @ corners.T < -1e-12):
        raise RegionError("The polygon is not convex, or not smaller than a hemisphere.")
    return normals


def within_polygon(vectors: Floats, vertices: tuple[tuple[float, float], ...]) -> NDArray[np.bool_]:
    """Which of (n, 3) unit vectors lie in a convex polygon, its sides included."""
    return np.asarray(np.all(vectors @ polygon_normals(vertices).T >= -1e-15, axis=1))


def enclosing_cone(ra_deg: Floats, dec_deg: Floats) -> tuple[float, float, float]:
    """A small circle around positions (ra, dec, radius in deg); radius 180 when they surround the sphere.

    Notes
    -----
    Ritter (1990), Graphics Gems, 301: start from two far points, grow the ball by each point outside. At most about
    20 % wider than the smallest; exact enclosure is made sure of at the end.
    """
    points = unit_vectors(ra_deg, dec_deg)
    first = points[np.argmax(np.linalg.norm(points - points[0], axis=1))]
    second = points[np.argmax(np.linalg.norm(points - first, axis=1))]
    centre = (first + second) / 2
    for _ in range(64):
        distance = np.linalg.norm(points - centre, axis=1)
        far = int(np.argmax(distance))
        near = np.linalg.norm(first - centre)
        if distance[far] <= near * (1 + 1e-9):
            break
        step = (distance[far] - near) / (2 * distance[far])
        centre = centre + step * (points[far] - centre)
        first = points[far]
    if np.linalg.norm(centre) < 0.1:
        return 0.0, 0.0, 180.0
    ra, dec = positions(centre[None, :])
    radius = float(np.max(separation_deg(ra[0], dec[0], ra_deg, dec_deg)))
    return float(ra[0]), float(dec[0]), min(radius * (1 + 1e-9) + 1e-9, 180.0)
