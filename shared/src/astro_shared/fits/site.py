"""Which sign a longitude has: headers count it towards the east and towards the west, and sometimes say it wrongly.

The sky decides where it can: with the time and the pointing, only one sign gives the hour angle or the airmass that the
telescope wrote.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

#: Mismatches (see `_mismatch`) at which a sign is refuted, and the share of it that the other sign may have.
REFUTED = 3.0
BETTER_BY = 0.25


@dataclass(frozen=True)
class SkyEvidence:
    """What a header tells about where the telescope pointed as seen from the ground; degrees, None when unknown."""

    mjd: float | None
    ra_deg: float | None
    dec_deg: float | None
    latitude_deg: float | None
    hour_angle_deg: float | None
    airmass: float | None


def east_longitude(value_deg: float, comment: str, evidence: SkyEvidence) -> tuple[float, str]:
    """Longitude counted towards the east (-180 to 180), and a remark when its sign was changed.

    Notes
    -----
    The evidence of the sky decides; without it the words of the comment (east, west); without those the FITS
    standard's convention, positive towards the east.
    """
    value = value_deg if -180.0 <= value_deg <= 180.0 else (value_deg + 180.0) % 360.0 - 180.0
    stated_west = "west" in comment.lower() or "+w" in comment.lower()
    stated = -value if stated_west else value
    here, there = _mismatch(stated, evidence), _mismatch(-stated, evidence)
    if here is None or there is None or here < REFUTED or not there < min(2 * REFUTED, BETTER_BY * here):
        return stated, ""
    side = "east" if stated_west else "west"
    return -stated, (
        f"the longitude {value_deg:g} is counted towards the {side}: "
        "only so do time, pointing and hour angle or airmass of the header agree"
    )


def sidereal_time_deg(mjd: float, longitude_deg: float) -> float:
    """Mean sidereal time, degrees (Meeus, Astronomical Algorithms, equation 12.4, without the quadratic terms)."""
    return (280.46061837 + 360.98564736629 * (mjd - 51544.5) + longitude_deg) % 360.0


def _mismatch(longitude_deg: float, evidence: SkyEvidence) -> float | None:
    """How far a longitude is from the hour angle (in degrees), else from the airmass (in 5 per cent), of the header.

    None when nothing can be said; infinite when the target would be below 6 degrees.
    """
    if evidence.mjd is None or evidence.ra_deg is None:
        return None
    hour_angle = sidereal_time_deg(evidence.mjd, longitude_deg) - evidence.ra_deg
    if evidence.hour_angle_deg is not None:
        return abs((hour_angle - evidence.hour_angle_deg + 180.0) % 360.0 - 180.0)
    if evidence.airmass is None or evidence.dec_deg is None or evidence.latitude_deg is None:
        return None
    latitude, dec, angle = (math.radians(v) for v in (evidence.latitude_deg, evidence.dec_deg, hour_angle))
    sin_altitude = math.sin(latitude) * math.sin(dec) + math.cos(latitude) * math.cos(dec) * math.cos(angle)
    if sin_altitude < 0.1:
        return math.inf
    return abs(1 / sin_altitude / evidence.airmass - 1) / 0.05
