"""Airmass from the apparent altitude."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FORMULAE = ("pickering", "kasten_young", "hardie")
HARDIE_LOWEST_DEG = 5.0
SCALE_HEIGHT_M = 8430.0


def airmass(altitude_deg: Array, formula: str = "pickering") -> Array:
    """Airmass at apparent (refracted) altitudes.

    Parameters
    ----------
    altitude_deg : any shape, degrees
    formula : ``pickering`` (good to the horizon), ``kasten_young`` or ``hardie`` (zenith distance below 85 degrees)

    Returns
    -------
    Same shape. NaN at or below the horizon, and where Hardie's formula does not hold.

    References
    ----------
    Pickering (2002), DIO 12, 20; Kasten & Young (1989), Appl. Opt. 28, 4735; Hardie (1962), Astronomical Techniques.
    """
    h = np.asarray(altitude_deg, float)
    with np.errstate(invalid="ignore", divide="ignore"):
        if formula == "pickering":
            x = 1 / np.sin(np.radians(h + 244 / (165 + 47 * np.maximum(h, 0) ** 1.1)))
        elif formula == "kasten_young":
            x = 1 / (np.sin(np.radians(h)) + 0.50572 * (np.maximum(h, 0) + 6.07995) ** -1.6364)
        elif formula == "hardie":
            s = 1 / np.sin(np.radians(h)) - 1
            x = np.where(h > HARDIE_LOWEST_DEG, 1 + s - 0.0018167 * s - 0.002875 * s**2 - 0.0008083 * s**3, np.nan)
        else:
            raise ValueError(f"airmass formula {formula!r}: one of {', '.join(FORMULAE)}")
    return np.where(h > 0, x, np.nan)


def refraction_deg(true_altitude_deg: Array, elevation_m: float = 0.0) -> Array:
    """What the atmosphere adds to the altitude: Saemundsson's formula, scaled by a standard atmosphere's pressure.

    References
    ----------
    Saemundsson (1986), Sky & Telescope 72, 70; Meeus, Astronomical Algorithms, chapter 16.
    """
    h = np.maximum(np.asarray(true_altitude_deg, float), -1.0)
    pressure = math.exp(-elevation_m / SCALE_HEIGHT_M)
    return pressure * 1.02 / np.tan(np.radians(h + 10.3 / (h + 5.11))) / 60.0


def altitude_deg(ra_deg: Array, dec_deg: Array, jd_ut1: float, *, latitude_deg: float, longitude_deg: float) -> Array:
    """Geometric altitude of ICRS positions, to about a hundredth of a degree for present dates.

    Parameters
    ----------
    longitude_deg : east positive

    Notes
    -----
    Sidereal time of the IAU 1982 expression; precession since J2000 by the rotation of low-order angles (Capitaine et
    al. 2003). Nutation and aberration (below 0.01 degree) are left out: airmass does not notice.
    """
    t = (jd_ut1 - 2451545.0) / 36525.0
    ra, dec = _precessed(np.radians(ra_deg), np.radians(dec_deg), t)
    sidereal = math.radians((280.46061837 + 360.98564736629 * (jd_ut1 - 2451545.0) + longitude_deg) % 360.0)
    latitude = math.radians(latitude_deg)
    sin_h = np.sin(dec) * math.sin(latitude) + np.cos(dec) * math.cos(latitude) * np.cos(sidereal - ra)
    return np.degrees(np.arcsin(np.clip(sin_h, -1, 1)))


def _precessed(ra: Array, dec: Array, t: float) -> tuple[Array, Array]:
    zeta, z, theta = (
        math.radians(angle / 3600)
        for angle in (
            2306.083227 * t + 0.2988499 * t**2,
            2306.077181 * t + 1.0927348 * t**2,
            2004.191903 * t - 0.4294934 * t**2,
        )
    )
    a = np.cos(dec) * np.sin(ra + zeta)
    b = math.cos(theta) * np.cos(dec) * np.cos(ra + zeta) - math.sin(theta) * np.sin(dec)
    c = math.sin(theta) * np.cos(dec) * np.cos(ra + zeta) + math.cos(theta) * np.sin(dec)
    return np.arctan2(a, b) + z, np.arcsin(np.clip(c, -1, 1))
