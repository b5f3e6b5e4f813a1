"""The time that light takes between the Earth and the Sun, for dates that are told as seen from the Sun."""

from __future__ import annotations

import math

AU_LIGHT_S = 499.004784
MEAN_MOTION = 0.9856474 - 50.29 / 3600 / 365.25  # degrees per day, in the equinox of 2000


def light_travel_s(mjd: float, ra_deg: float, dec_deg: float) -> float:
    """Heliocentric minus geocentric time, seconds; right to 0.1 s.

    Notes
    -----
    Low-precision place of the Sun (0.01 degree); the delay is -r (s . n) with s towards the Sun, n towards the star.

    References
    ----------
    Astronomical Almanac, section C, low-precision formulas for the Sun.
    """
    days = mjd - 51544.5
    anomaly = math.radians((357.528 + 0.9856003 * days) % 360.0)
    longitude = math.radians(
        (280.460 + MEAN_MOTION * days) % 360.0 + 1.915 * math.sin(anomaly) + 0.020 * math.sin(2 * anomaly)
    )
    obliquity = math.radians(23.439 - 4e-7 * days)
    radius = 1.00014 - 0.01671 * math.cos(anomaly) - 0.00014 * math.cos(2 * anomaly)
    sun = (math.cos(longitude), math.cos(obliquity) * math.sin(longitude), math.sin(obliquity) * math.sin(longitude))
    ra, dec = math.radians(ra_deg), math.radians(dec_deg)
    star = (math.cos(dec) * math.cos(ra), math.cos(dec) * math.sin(ra), math.sin(dec))
    return -AU_LIGHT_S * radius * sum(a * b for a, b in zip(sun, star, strict=True))
