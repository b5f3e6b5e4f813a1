"""Where the telescope pointed: degrees, hours, radians or sexagesimal, of any equinox, and sometimes exchanged.

A number between 0 and 24 without a unit can be degrees or hours, and no header tells. All readings are given, the most
plausible first, so that a solver can go on to the next where the stars refute one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from astropy import units as u
from astropy.coordinates import FK5, ICRS, SkyCoord
from astropy.io import fits
from astropy.time import Time

from astro_shared.frame_warnings import FrameWarning, WarningCode

#: Keywords of right ascension and declination, first found wins.
POINTING_KEYWORDS: tuple[tuple[str, str], ...] = (
    ("RA", "DEC"),
    ("OBJCTRA", "OBJCTDEC"),
    ("TELRA", "TELDEC"),
    ("RA_TARG", "DEC_TARG"),
    ("RA-TEL", "DEC-TEL"),
    ("TEL-RA", "TEL-DEC"),
    ("CAT-RA", "CAT-DEC"),
    ("RABASE", "DECBASE"),
    ("RA-MNT", "DEC-MNT"),
    ("RA_OBJ", "DEC_OBJ"),
    ("OBJRA", "OBJDEC"),
    ("TARGRA", "TARGDEC"),
    ("RA_DEG", "DEC_DEG"),
    ("RADEG", "DECDEG"),
    ("CENTRA", "CENTDEC"),
    ("RA_PNT", "DEC_PNT"),
    ("RA-D", "DEC-D"),
    ("RA_NOM", "DEC_NOM"),
    ("RA_OBS", "DEC_OBS"),
    ("RA_APT", "DEC_APT"),
    ("RA_PNTG", "DEC_PNTG"),
    ("MOUNTRA", "MOUNTDEC"),
)

_SEXAGESIMAL = re.compile(
    r"([+-]?)\s*(\d{1,3})\s*[:hd° ]\s*(\d{1,2}(?:\.\d*)?)\s*(?:[:m' ]\s*(\d{1,2}(?:\.\d*)?)?\s*[s\"]?)?", re.I
)
_HOURS = re.compile(
    r"\[\s*h(?:ours?|rs?|h:mm\S*)?\s*\]|\(\s*h(?:ours?|rs?)?\s*\)|\bhours?\b|\bhrs?\b|\bhourangle\b|\bhms\b|hh[:. ]?mm",
    re.I,
)
_DEGREES = re.compile(r"deg(?:rees?)?\b|°", re.I)
_RADIANS = re.compile(r"\brad(?:ians?)?\b", re.I)
_CLOCK_SHOWN = re.compile(r"\d{1,2}:\d{2}")
_UNIT_AFTER = re.compile(
    r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*(h|hrs?|hours?|d|deg|degrees?|°|rad|radians?)?\s*", re.I
)
MAX_READINGS = 8
SAME_PLACE_DEG = 0.05


@dataclass(frozen=True)
class PointingReading:
    """One way to read the pointing of a header.

    Attributes
    ----------
    ra_deg, dec_deg
        ICRS.
    keyword
        Of the right ascension.
    reading
        ``degrees``, ``hours`` or ``radians``; with ``, exchanged`` where the declination stands in the place of the
        right ascension.
    """

    ra_deg: float
    dec_deg: float
    keyword: str
    reading: str


def sexagesimal(text: str) -> float | None:
    """A number in units of its first part: ``"-0:30:00"`` is -0.5; None for anything else."""
    match = _SEXAGESIMAL.fullmatch(text.strip())
    if match is None:
        return None
    minutes, seconds = float(match[3]), float(match[4] or 0)
    if minutes >= 60 or seconds > 60:
        return None
    value = int(match[2]) + minutes / 60 + seconds / 3600
    return -value if match[1] == "-" else value


def pointing_readings(header: fits.Header) -> tuple[list[PointingReading], list[FrameWarning]]:
    """Every way to read the pointing of a header, and warnings.

    Returns
    -------
    At most `MAX_READINGS` places, each once, the most plausible first: the units that the header tells; without any,
    degrees before hours; what the next pair of keywords says; the pair exchanged; units against the header's word.
    A solver tries them in this order and takes the first that the stars confirm. The warnings are about the first.
    """
    ranked: list[tuple[int, int, PointingReading]] = []
    notes: list[FrameWarning] = []
    remark_of: dict[int, str] = {}
    for rank, (ra_keyword, dec_keyword) in enumerate(POINTING_KEYWORDS):
        if ra_keyword not in header or dec_keyword not in header:
            continue
        found = list(_pair(header, ra_keyword, dec_keyword))
        if not found and str(header[ra_keyword]).strip() not in ("", "UNKNOWN", "N/A"):
            told = f"{ra_keyword} and {dec_keyword} can not be read as a place on the sky"
            notes.append(WarningCode.POINTING_UNREADABLE(told))
        for doubt, reading, remark in found:
            ranked.append((doubt, rank, reading))
            remark_of.setdefault(id(reading), remark)
    ranked.sort(key=lambda row: row[:2])
    readings: list[PointingReading] = []
    for _, _, reading in ranked:
        if all(_apart_deg(reading, other) > SAME_PLACE_DEG for other in readings):
            readings.append(reading)
    if readings and remark_of[id(readings[0])]:
        notes.append(WarningCode.POINTING_INTERPRETED(remark_of[id(readings[0])]))
    return readings[:MAX_READINGS], notes


def find_hour_angle(header: fits.Header) -> float | None:
    """Hour angle in degrees, where its unit is beyond doubt."""
    value = header.get("HA")
    if isinstance(value, str):
        hours = sexagesimal(value)
        return None if hours is None else hours * 15.0
    if isinstance(value, int | float) and not isinstance(value, bool) and 24 < abs(value) <= 360:
        return float(value)
    return None


def _pair(header: fits.Header, ra_keyword: str, dec_keyword: str) -> Iterator[tuple[int, PointingReading, str]]:
    """Readings of one pair of keywords: how doubtful (0: as the header says), the place, a remark for people."""
    for ra, ra_doubt, unit, remark in _longitudes(header, ra_keyword):
        for dec, dec_doubt in _latitudes(header, dec_keyword):
            if -180 <= ra <= 360 and abs(dec) <= 90:
                place = _to_icrs(header, ra % 360.0, dec)
                yield ra_doubt + dec_doubt, PointingReading(*place, ra_keyword, unit), remark
    for ra, ra_doubt, unit, _ in _longitudes(header, dec_keyword):
        for dec, dec_doubt in _latitudes(header, ra_keyword):
            if 0 <= ra <= 360 and abs(dec) <= 90:
                place = _to_icrs(header, ra, dec)
                remark = f"{ra_keyword} and {dec_keyword} are taken as exchanged: only so are they a place on the sky"
                yield 2 + ra_doubt + dec_doubt, PointingReading(*place, ra_keyword, f"{unit}, exchanged"), remark


def _longitudes(header: fits.Header, keyword: str) -> Iterator[tuple[float, int, str, str]]:
    """Readings of a right ascension: degrees, doubt, unit, remark.

    Sexagesimal text counts hours, numbers degrees, unless the card or another keyword says otherwise.
    """
    value, comment = header[keyword], str(header.comments[keyword])
    hours = sexagesimal(value) if isinstance(value, str) else None
    if hours is not None:
        in_degrees = (
            hours > 24 or (_DEGREES.search(comment) and not _HOURS.search(comment)) or "d" in str(value).lower()
        )
        if hours <= 24:
            yield hours * 15.0, 3 if in_degrees else 0, "hours", ""
        yield hours, 0 if in_degrees else 3, "degrees", ""
        return
    number, unit = _with_unit(value, comment)
    if number is None:
        return
    small = 0 <= number <= 24
    if unit == "radians":
        yield math.degrees(number), 0, unit, ""
    elif unit == "hours" and abs(number) <= 24:
        yield number * 15.0, 0, unit, ""
    elif unit == "" and small and not _CLOCK_SHOWN.search(comment) and _hours_elsewhere(header, keyword, number):
        yield (
            number * 15.0,
            0,
            "hours",
            f"{keyword} = {number:g} is taken as hours, as other keywords of the header say",
        )
    said = "degrees" if unit == "" and small and not _CLOCK_SHOWN.search(comment) else ""
    remark = f"{keyword} = {number:g} is taken as {said}; the header does not tell the unit" if said else ""
    yield number, 0 if unit in ("", "degrees") else 3, "degrees", remark
    if small and unit != "hours":
        yield number * 15.0, 1 if unit == "" else 3, "hours", ""
    if unit == "" and 0 <= number <= 2 * math.pi:
        yield math.degrees(number), 4, "radians", ""


def _latitudes(header: fits.Header, keyword: str) -> Iterator[tuple[float, int]]:
    """Readings of a declination: degrees and doubt."""
    value, comment = header[keyword], str(header.comments[keyword])
    if isinstance(value, str) and (degrees := sexagesimal(value)) is not None:
        yield degrees, 0
        return
    number, unit = _with_unit(value, comment)
    if number is None:
        return
    yield (math.degrees(number), 0) if unit == "radians" else (number, 0)
    if unit == "" and abs(number) <= math.pi / 2:
        yield math.degrees(number), 4


def _with_unit(value: object, comment: str) -> tuple[float | None, str]:
    """A number and the unit that its text or comment tells: ``degrees``, ``hours``, ``radians`` or nothing."""
    words = comment
    if isinstance(value, str) and (match := _UNIT_AFTER.fullmatch(value.replace(",", "."))):
        value = float(match[1])
        words = {"h": "hours", "d": "degrees", "°": "degrees", "r": "radians"}.get(
            (match[2] or "").lower()[:1], comment
        )
    number = _angle(value)
    for unit, pattern in (("degrees", _DEGREES), ("hours", _HOURS), ("radians", _RADIANS)):
        if pattern.search(words):
            return number, unit
    return number, ""


def _apart_deg(a: PointingReading, b: PointingReading) -> float:
    """Angle between two places, degrees."""
    ra, dec = math.radians(a.ra_deg - b.ra_deg), (math.radians(a.dec_deg), math.radians(b.dec_deg))
    half = math.sin((dec[0] - dec[1]) / 2) ** 2 + math.cos(dec[0]) * math.cos(dec[1]) * math.sin(ra / 2) ** 2
    return math.degrees(2 * math.asin(min(1.0, math.sqrt(half))))


def _hours_elsewhere(header: fits.Header, keyword: str, number: float) -> bool:
    """Whether a sexagesimal right ascension elsewhere in the header shows that a number counts hours."""
    for other, _ in POINTING_KEYWORDS:
        value = header.get(other)
        if other != keyword and isinstance(value, str) and (hours := sexagesimal(value)) is not None:
            return abs(hours - number) < 0.1 and abs(hours * 15 - number) > 1.0
    return False


def _angle(value: object) -> float | None:
    """Degrees from a number or a text, decimal or sexagesimal."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and (parts := sexagesimal(value)) is not None:
        return parts
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _to_icrs(header: fits.Header, ra: float, dec: float) -> tuple[float, float]:
    """Precess a pointing whose equinox is not 2000."""
    equinox = header.get("EQUINOX", header.get("EPOCH"))
    if isinstance(equinox, str):
        equinox = _angle(equinox.strip().lstrip("JBjb"))
    if equinox is None or isinstance(equinox, bool) or not 1850 < equinox < 2100 or abs(equinox - 2000.0) < 1.0:
        return ra, dec
    if "EQUINOX" not in header and equinox not in (1950, 1975):
        return ra, dec  # EPOCH is as often the date of the exposure
    place = SkyCoord(ra * u.deg, dec * u.deg, frame=FK5(equinox=Time(equinox, format="jyear"))).transform_to(ICRS())
    return float(place.ra.deg), float(place.dec.deg)
