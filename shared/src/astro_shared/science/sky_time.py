"""Robust angles on the sky, the time of an exposure, and where the observer was.

Angles are degrees, frames are ICRS, times are Julian years (TDB and UTC differ by a minute: 5 micro-arcseconds for a
star of 3 arcsec / yr). Nothing here needs a network: Earth's place comes from the series in ERFA.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import erfa
import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "ObservationTime",
    "altitude_deg",
    "barycentric_earth_au",
    "julian_year_of_mjd",
    "local_triad",
    "mean_direction",
    "observation_time",
    "parallactic_angle_deg",
    "parse_angle_deg",
    "position_from_vectors",
    "separation_deg",
    "unit_vectors",
    "wrap_180",
]

Floats = NDArray[np.float64]

_MJD_J2000 = 51544.5
_DAYS_PER_YEAR = 365.25
_SEXAGESIMAL = re.compile(r"^\s*([+-]?)\s*(\d+)\s*[:hd°\s]\s*(\d+)\s*[:m'\s]\s*(\d+(?:\.\d*)?)?\s*[s\"]?\s*$", re.I)
_ZONE = re.compile(r"\s*([+-])(\d{2}):?(\d{2})$")


@dataclass(frozen=True)
class ObservationTime:
    """The middle of an exposure.

    Attributes
    ----------
    julian_year : yr
    mjd : d, UTC
    exposure_s : s
        Zero when the header does not tell; the time is then that of the start.
    source : names of the cards it was read from
    """

    julian_year: float
    mjd: float
    exposure_s: float
    source: str


def wrap_180(angle_deg: ArrayLike) -> Floats:
    """Angles brought into [-180, 180), in degrees."""
    return np.mod(np.asarray(angle_deg, float) + 180.0, 360.0) - 180.0


def unit_vectors(ra_deg: ArrayLike, dec_deg: ArrayLike) -> Floats:
    """Unit vectors (..., 3) of sky positions in degrees."""
    ra, dec = np.radians(np.asarray(ra_deg, float)), np.radians(np.asarray(dec_deg, float))
    cos_dec = np.cos(dec)
    return np.stack([cos_dec * np.cos(ra), cos_dec * np.sin(ra), np.sin(dec) + 0.0 * ra], axis=-1)


def local_triad(ra_deg: ArrayLike, dec_deg: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """Unit vectors (..., 3) toward the position, to its east and to its north."""
    ra, dec = np.broadcast_arrays(np.radians(np.asarray(ra_deg, float)), np.radians(np.asarray(dec_deg, float)))
    sin_ra, cos_ra, sin_dec, cos_dec = np.sin(ra), np.cos(ra), np.sin(dec), np.cos(dec)
    toward = np.stack([cos_dec * cos_ra, cos_dec * sin_ra, sin_dec], axis=-1)
    east = np.stack([-sin_ra, cos_ra, np.zeros_like(ra)], axis=-1)
    north = np.stack([-sin_dec * cos_ra, -sin_dec * sin_ra, cos_dec], axis=-1)
    return toward, east, north


def position_from_vectors(vectors: ArrayLike) -> tuple[Floats, Floats]:
    """Right ascension in [0, 360) and declination, in degrees, of vectors (..., 3) of any length."""
    v = np.asarray(vectors, float)
    ra = np.mod(np.degrees(np.arctan2(v[..., 1], v[..., 0])), 360.0)
    dec = np.degrees(np.arctan2(v[..., 2], np.hypot(v[..., 0], v[..., 1])))
    return np.where(ra >= 360.0, 0.0, ra), dec


def separation_deg(ra1_deg: ArrayLike, dec1_deg: ArrayLike, ra2_deg: ArrayLike, dec2_deg: ArrayLike) -> Floats:
    """Angle between positions in degrees; accurate for tiny and for near-opposite pairs alike."""
    a, b = unit_vectors(ra1_deg, dec1_deg), unit_vectors(ra2_deg, dec2_deg)
    across = np.linalg.norm(np.cross(a, b), axis=-1)
    return np.asarray(np.degrees(np.arctan2(across, np.sum(a * b, axis=-1))), dtype=np.float64)


def mean_direction(ra_deg: ArrayLike, dec_deg: ArrayLike) -> tuple[float, float]:
    """Mean position of a list, by its mean unit vector; right across 0h and at the poles. NaN entries are left out."""
    mean = np.nanmean(unit_vectors(ra_deg, dec_deg).reshape(-1, 3), axis=0)
    ra, dec = position_from_vectors(mean)
    return float(ra), float(dec)


def parse_angle_deg(value: object, *, hours: bool = False) -> float | None:
    """One angle of a header in degrees, or None when it cannot be read.

    Parameters
    ----------
    value : a number in degrees, or text: a decimal number, or sexagesimal such as ``"12:34:56.7"``, ``"+12 34 56"``
    hours : sexagesimal text counts hours (right ascension); numbers are degrees all the same
    """
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float | np.floating | np.integer):
        return float(value) if math.isfinite(float(value)) else None
    text = str(value).strip()
    found = _SEXAGESIMAL.match(text)
    if found:
        sign, whole, minutes, seconds = found.groups()
        if int(minutes) >= 60 or float(seconds or 0.0) >= 61.0:
            return None
        angle = int(whole) + int(minutes) / 60.0 + float(seconds or 0.0) / 3600.0
        return (-angle if sign == "-" else angle) * (15.0 if hours else 1.0)
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def julian_year_of_mjd(mjd: float) -> float:
    """Julian epoch of a modified Julian date."""
    return 2000.0 + (mjd - _MJD_J2000) / _DAYS_PER_YEAR


def observation_time(header: Mapping[str, Any]) -> ObservationTime | None:
    """Middle of the exposure from the cards of a FITS header, or None when no card tells.

    Read, in this order: ``MJD-AVG``/``DATE-AVG`` (already the middle), ``MJD-OBS``/``DATE-OBS`` (ISO, with or without a
    zone such as ``-0700``, or the old ``dd/mm/yy`` with ``TIME-OBS``/``UT``) plus half of ``EXPTIME``/``EXPOSURE``, ``JD``.
    Dates before 1840 or after 2100 are taken for damaged cards and passed over.
    """
    exposure = _exposure_s(header)
    for name in ("MJD-AVG", "DATE-AVG"):
        mjd = _mjd_of_card(header, name)
        if mjd is not None:
            return ObservationTime(julian_year_of_mjd(mjd), mjd, exposure, name)
    for name in ("DATE-OBS", "MJD-OBS", "DATE-BEG", "MJD-BEG", "JD", "MJD"):
        mjd = _mjd_of_card(header, name)
        if mjd is not None:
            middle = mjd + 0.5 * exposure / 86400.0
            return ObservationTime(julian_year_of_mjd(middle), middle, exposure, name)
    return None


def barycentric_earth_au(julian_year: float) -> Floats:
    """Barycentric place (3,) of the Earth's centre in au, ICRS axes, at a Julian year (TDB)."""
    days = (julian_year - 2000.0) * _DAYS_PER_YEAR
    _, barycentric = erfa.epv00(2451545.0, days)
    return np.array(barycentric["p"], dtype=np.float64)


def altitude_deg(ra_deg: float, dec_deg: float, *, mjd: float, latitude_deg: float, longitude_deg: float) -> float:
    """Geometric altitude of a position, degrees; longitude is positive to the east; good to a few arcminutes."""
    hour, dec, lat = _hour_angle(ra_deg, mjd, longitude_deg), math.radians(dec_deg), math.radians(latitude_deg)
    sine = math.sin(lat) * math.sin(dec) + math.cos(lat) * math.cos(dec) * math.cos(hour)
    return math.degrees(math.asin(max(-1.0, min(1.0, sine))))


def parallactic_angle_deg(
    ra_deg: float, dec_deg: float, *, mjd: float, latitude_deg: float, longitude_deg: float
) -> float:
    """Position angle (east of north) of the zenith at a position, degrees."""
    hour, dec, lat = _hour_angle(ra_deg, mjd, longitude_deg), math.radians(dec_deg), math.radians(latitude_deg)
    across = math.cos(lat) * math.sin(hour)
    along = math.sin(lat) * math.cos(dec) - math.cos(lat) * math.sin(dec) * math.cos(hour)
    # A star that has passed the meridian (positive hour angle) has the zenith to its east.
    return math.degrees(math.atan2(across, along))


def _hour_angle(ra_deg: float, mjd: float, longitude_deg: float) -> float:
    """Hour angle in radians; UT1 is taken as UTC (below one second)."""
    sidereal = float(erfa.gmst06(2400000.5, mjd, 2400000.5, mjd))
    return sidereal + math.radians(longitude_deg - ra_deg)


def _exposure_s(header: Mapping[str, Any]) -> float:
    for name in ("EXPTIME", "EXPOSURE", "EXP_TIME", "ITIME"):
        value = parse_angle_deg(header.get(name))
        if value is not None and 0.0 <= value < 10 * 86400.0:
            return value
    return 0.0


def _mjd_of_card(header: Mapping[str, Any], name: str) -> float | None:
    value = header.get(name)
    if value is None or value == "":
        return None
    if not name.startswith("DATE"):
        number = parse_angle_deg(value)
        if number is None:
            return None
        mjd = number - 2400000.5 if name == "JD" else number
    else:
        moment = _moment(str(value), header)
        if moment is None:
            return None
        mjd = (moment - datetime(1858, 11, 17, tzinfo=UTC)) / timedelta(days=1)
    return mjd if -6700.0 < mjd < 88100.0 else None


def _moment(text: str, header: Mapping[str, Any]) -> datetime | None:
    """The time of a date card; a date without a clock takes the clock of ``TIME-OBS``, ``UT`` and the like."""
    text = text.strip().rstrip("Z")
    day, _, clock = text.replace(" ", "T", 1).partition("T")
    zone = UTC
    offset = _ZONE.search(clock)
    shift = timedelta()
    if offset:
        sign = -1 if offset.group(1) == "-" else 1
        shift = sign * timedelta(hours=int(offset.group(2)), minutes=int(offset.group(3)))
        clock = clock[: offset.start()]
    date = _day(day)
    if date is None:
        return None
    if not clock:
        cards = (header.get(name) for name in ("TIME-OBS", "UTSTART", "UT", "UTC", "UTC-OBS"))
        clock = next((str(card) for card in cards if isinstance(card, str) and ":" in card), "")
    hours = parse_angle_deg(clock) if ":" in clock else 0.0
    if hours is None or not 0.0 <= hours < 25.0:
        return None
    return datetime(*date, tzinfo=zone) + timedelta(hours=hours) - shift


def _day(text: str) -> tuple[int, int, int] | None:
    """Year, month and day of ``yyyy-mm-dd``, ``dd/mm/yy`` or ``dd/mm/yyy`` (years since 1900)."""
    old = re.fullmatch(r"(\d{1,2})/(\d{1,2})/(\d{2,4})", text)
    new = re.fullmatch(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})", text)
    if old:
        day, month, year = (int(part) for part in old.groups())
        year = year if year >= 1000 else 1900 + year
    elif new:
        year, month, day = (int(part) for part in new.groups())
    else:
        return None
    try:
        datetime(year, month, day, tzinfo=UTC)
    except ValueError:
        return None
    return year, month, day
