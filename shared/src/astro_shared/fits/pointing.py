"""Where the telescope pointed: degrees, hours or sexagesimal, of any equinox."""

from __future__ import annotations

import math
import re

from astropy import units as u
from astropy.coordinates import FK5, ICRS, SkyCoord
from astropy.io import fits
from astropy.time import Time

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
)

_SEXAGESIMAL = re.compile(
    r"([+-]?)\s*(\d{1,3})\s*[:hd° ]\s*(\d{1,2}(?:\.\d*)?)\s*(?:[:m' ]\s*(\d{1,2}(?:\.\d*)?)?\s*[s\"]?)?", re.I
)
_HOURS = re.compile(r"\[\s*h(?:ours?|rs?)?\s*\]|\bhours?\b|\bhrs\b", re.I)
_CLOCK_SHOWN = re.compile(r"\d{1,2}:\d{2}")


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


def find_pointing(header: fits.Header) -> tuple[float | None, float | None, list[str]]:
    """Right ascension and declination [degrees, ICRS] of the header's pointing, and warnings."""
    notes: list[str] = []
    for ra_keyword, dec_keyword in POINTING_KEYWORDS:
        if ra_keyword not in header or dec_keyword not in header:
            continue
        dec = _angle(header[dec_keyword])
        ra, remark = _right_ascension(header, ra_keyword)
        if ra is None or dec is None or abs(dec) > 90 or not -180 <= ra <= 360:
            if header[ra_keyword] not in ("", "UNKNOWN", "N/A"):
                notes.append(f"{ra_keyword} and {dec_keyword} can not be read as a place on the sky")
            continue
        notes += [remark] if remark else []
        return *_to_icrs(header, ra % 360.0, dec), notes
    return None, None, notes


def find_hour_angle(header: fits.Header) -> float | None:
    """Hour angle in degrees, where its unit is beyond doubt."""
    value = header.get("HA")
    if isinstance(value, str):
        hours = sexagesimal(value)
        return None if hours is None else hours * 15.0
    if isinstance(value, int | float) and not isinstance(value, bool) and 24 < abs(value) <= 360:
        return float(value)
    return None


def _right_ascension(header: fits.Header, keyword: str) -> tuple[float | None, str]:
    """Degrees and a remark. Sexagesimal text counts hours; plain numbers degrees unless the header says hours."""
    value, comment = header[keyword], str(header.comments[keyword])
    if isinstance(value, str) and (hours := sexagesimal(value)) is not None:
        return hours * 15.0, ""
    number = _angle(value)
    if number is None:
        return None, ""
    if abs(number) <= 24 and _HOURS.search(comment) and not re.search(r"deg", comment, re.I):
        return number * 15.0, ""
    if 0 <= number <= 24 and not re.search(r"deg", comment, re.I) and not _CLOCK_SHOWN.search(comment):
        if _hours_elsewhere(header, keyword, number):
            return number * 15.0, f"{keyword} = {number:g} is taken as hours, as other keywords of the header say"
        return number, f"{keyword} = {number:g} is taken as degrees; the header does not tell the unit"
    return number, ""


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
