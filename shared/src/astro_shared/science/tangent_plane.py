"""The gnomonic (tangent plane) projection: standard coordinates of sky positions about a point, and back.

Standard coordinates ``xi`` (east) and ``eta`` (north) are in degrees of the plane, as in a FITS header: the tangent of
the angle from the tangent point, times 180 / pi.

References
----------
Calabretta & Greisen 2002, A&A 395, 1077, section 5.1.3 (TAN).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from astro_shared.science.sky_time import local_triad

__all__ = ["deproject", "project", "sky_jacobian"]

Floats = NDArray[np.float64]


def project(ra_deg: ArrayLike, dec_deg: ArrayLike, *, ra0_deg: ArrayLike, dec0_deg: ArrayLike) -> tuple[Floats, Floats]:
    """Standard coordinates of sky positions about a tangent point.

    Parameters
    ----------
    ra_deg, dec_deg : any shape, deg
        Right ascensions may lie on either side of 0h.
    ra0_deg, dec0_deg : deg
        The tangent point, or one for each position.

    Returns
    -------
    xi_deg, eta_deg : the shape of the input, deg of the plane
        NaN for positions 90 degrees or more from the tangent point, and for input that is not finite.

    Notes
    -----
    ``eta`` uses sin(d - d0) + 2 sin(d0) cos(d) sin^2((a - a0) / 2), which loses no digits close to the tangent point.
    """
    ra, dec = np.radians(np.asarray(ra_deg, float)), np.radians(np.asarray(dec_deg, float))
    ra0, dec0 = np.radians(ra0_deg), np.radians(dec0_deg)
    cos_dec = np.cos(dec)
    lift = 2.0 * np.sin(0.5 * (ra - ra0)) ** 2
    toward = np.cos(dec - dec0) - np.cos(dec0) * cos_dec * lift
    toward = np.where(toward > 1e-12, toward, np.nan)
    xi = cos_dec * np.sin(ra - ra0) / toward
    eta = (np.sin(dec - dec0) + np.sin(dec0) * cos_dec * lift) / toward
    return np.degrees(xi), np.degrees(eta)


def deproject(xi_deg: ArrayLike, eta_deg: ArrayLike, *, ra0_deg: float, dec0_deg: float) -> tuple[Floats, Floats]:
    """Sky positions of standard coordinates: the inverse of `project`.

    Parameters
    ----------
    xi_deg, eta_deg : any shape, deg of the plane
    ra0_deg, dec0_deg : deg
        The tangent point.

    Returns
    -------
    ra_deg, dec_deg : the shape of the input, deg
        Right ascension in [0, 360). NaN stays NaN.
    """
    xi, eta = np.radians(np.asarray(xi_deg, float)), np.radians(np.asarray(eta_deg, float))
    sin0, cos0 = np.sin(np.radians(dec0_deg)), np.cos(np.radians(dec0_deg))
    across = cos0 - eta * sin0
    ra = np.degrees(np.arctan2(xi, across)) + ra0_deg
    dec = np.degrees(np.arctan2(sin0 + eta * cos0, np.hypot(xi, across)))
    ra = np.mod(ra, 360.0)
    return np.where(ra >= 360.0, 0.0, ra), dec


def sky_jacobian(xi_deg: ArrayLike, eta_deg: ArrayLike, *, ra0_deg: float, dec0_deg: float) -> NDArray[np.float64]:
    """Change of the sky position for a change of the standard coordinates.

    Parameters
    ----------
    xi_deg, eta_deg : (n,), deg of the plane
    ra0_deg, dec0_deg : deg

    Returns
    -------
    (n, 2, 2), dimensionless
        Rows: (ra cos dec, dec); columns: (xi, eta). Carries covariances from the plane to local east and north.
    """
    xi, eta = np.asarray(xi_deg, float), np.asarray(eta_deg, float)
    ra, dec = deproject(xi, eta, ra0_deg=ra0_deg, dec0_deg=dec0_deg)
    _, east, north = local_triad(ra, dec)
    _, east0, north0 = local_triad(ra0_deg, dec0_deg)
    shrink = 1.0 / np.sqrt(1.0 + np.radians(xi) ** 2 + np.radians(eta) ** 2)
    rows = np.stack([np.stack([east @ east0, east @ north0], -1), np.stack([north @ east0, north @ north0], -1)], -2)
    return np.asarray(rows * shrink[..., None, None], dtype=np.float64)
