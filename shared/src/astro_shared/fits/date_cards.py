"""Which cards of a header tell when the exposure was: dates, times of day, counts of days, under all their names.

Names are taken apart into words, so that ``DATE-OBS``, ``UTC_DATE`` and ``OBSDATE``, or ``JD-HELIO``, ``HJD`` and
``HJDMID``, are read by the same rule.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from astropy.io import fits

from astro_shared.fits.units import plain_number

DAY_S = 86400.0
UNIX_ZERO_MJD = 40587.0
LAST_UNIX_S = 1e11  # larger ones count milliseconds

#: Preferred over other names of the same kind, in this order.
PREFERRED = ("DATE-OBS", "DATE-BEG", "UTDATE", "TIME-OBS", "UT", "UTC-OBS", "UT-OBS", "UTSTART", "UTC", "MJD-OBS", "MJD-BEG",
             "MJD", "JD-OBS", "JD")  # fmt: skip
UNIX = ("UNIXTIME", "UNIX", "UNIXTIM", "UNIXSEC", "UNIX_TIME", "EPOCHSEC")
#: Years as numbers: JEPOCH and BEPOCH are the standard's.
YEARS_ALONE = ("JEPOCH", "BEPOCH", "OBSEPOCH", "EPOCHOBS", "OBS-EPOC", "EPOCH-OB", "OBSYEAR")

_START = "START|STRT|STAR|STA|STR|BEGIN|BEG|OPEN|SHUT|SOBS|SU"
_MIDDLE = "MIDDLE|MIDPOINT|MIDEXP|MIDOBS|MIDPT|MID|AVG|MEAN|MEA|CENTER|CEN"
_END = "END|STOP|STP|FIN|CLOSED|CLOSE|CLOS"
_LOCAL = "LOCAL|LOCL|LOC|LCL|LTM|LT"
_OTHER = "OBSERVED|OBSERV|OBS|UTC|UT|GMT|GPS"
_WORD = f"(?:{_START}|{_MIDDLE}|{_END}|{_LOCAL}|{_OTHER})"
_DATE = re.compile(f"(?:{_WORD}|EXP)*DATE(?:{_WORD}|EXP|TIME|TIM)*")
_CLOCK = re.compile(f"(?:{_WORD})*(?:UTC|UT|GMT|TIME|TIM|TM|SHUT|{_LOCAL})(?:{_WORD}|TIME|TIM)*")
_EXPOSED = re.compile(f"EXP(?:{_START}|{_MIDDLE}|{_END})")
_SCALE = "TT|TDT|TDB|TAI|UTC|UT"
_DAYS = re.compile(
    f"(?:{_WORD}|EXP)*?(?P<kind>HELIO|HEL|BARY|BAR|GEO|[MHBGR]{{0,2}}?)"
    f"(?P<name>JDATE|JDAY|JD|JULIANDATE|JULIAND|JULIAN|JULDATE|JULDAT|JULDAY)"
    f"(?P<rest>(?:HELIO|HEL|BARY|BAR|GEO|{_SCALE}|{_WORD}|EXP)*)"
)
_OBSERVED = re.compile(r"\bobserv|\bobs\b|exposure|exposed|\bnight\b|shutter", re.I)
_WRITTEN = re.compile(r"\bwrit|\bwrote|creat|\bfile\b|\bHDU\b|process|reduc|conver|header|modif", re.I)
_SUN, _BARYCENTRE = re.compile(r"helio|\bhjd\b", re.I), re.compile(r"baryc|\bbjd\b", re.I)


class Part(StrEnum):
    """Which moment of the exposure a card tells."""

    START = "start"
    MIDDLE = "middle"
    END = "end"


class SeenFrom(StrEnum):
    """Where the light arrives at the time told."""

    EARTH = "geocentric"
    SUN = "heliocentric"
    BARYCENTRE = "barycentric"


@dataclass(frozen=True)
class DayCard:
    """A count of days.

    Attributes
    ----------
    value
        Days, whole or shortened.
    is_modified
        Whether the name promises a modified Julian date.
    scale
        Time scale that the name or the kind of the count says; None where the header's counts.
    """

    keyword: str
    value: float
    comment: str
    part: Part
    seen_from: SeenFrom = SeenFrom.EARTH
    is_modified: bool = False
    scale: str | None = None


@dataclass(frozen=True)
class TextCard:
    """A date or a time of day.

    Attributes
    ----------
    part
        None where the name tells none (``DATE-OBS``, ``UT``): the start, by custom.
    """

    keyword: str
    value: str | float
    comment: str
    part: Part | None
    is_local: bool


def date_cards(header: fits.Header) -> list[TextCard]:
    """Cards that hold a date, preferred names first.

    Notes
    -----
    ``DATE`` itself is when the file was written, unless its comment speaks of the observation.
    """
    cards = _texts(header, lambda name: bool(_DATE.fullmatch(name) or _EXPOSED.fullmatch(name)))
    return [card for card in cards if card.keyword != "DATE" or _is_of_observation(card.comment)]


def clock_cards(header: fits.Header) -> list[TextCard]:
    """Cards that hold a time of day, preferred names first."""
    return _texts(header, lambda name: bool(_CLOCK.fullmatch(name) or _EXPOSED.fullmatch(name)))


def day_cards(header: fits.Header) -> list[DayCard]:
    """Cards that count days (or seconds since a day), preferred names first."""
    found = []
    for keyword in _ordered(header):
        value = plain_number(header[keyword])
        if value is None:
            continue
        name, comment = _squeezed(keyword), str(header.comments[keyword])
        if name == "TAI":
            found.append(DayCard(keyword, value / DAY_S, comment, Part.START, is_modified=True, scale="tai"))
        elif keyword in UNIX:
            unix_s = value / 1000.0 if value > LAST_UNIX_S else value
            days = UNIX_ZERO_MJD + unix_s / DAY_S
            found.append(DayCard(keyword, days, comment, Part.START, is_modified=True, scale="utc"))
        elif _EXPOSED.fullmatch(name):
            found.append(DayCard(keyword, value, comment, _part(name) or Part.START, is_modified=True))
        elif match := _DAYS.fullmatch(name):
            found.append(_day_card(keyword, value, comment, match))
    return found


def _day_card(keyword: str, value: float, comment: str, match: re.Match[str]) -> DayCard:
    kind, rest = match["kind"], match["rest"]
    words = f"{kind} {rest}"
    if "B" in kind or "BAR" in rest or _BARYCENTRE.search(comment):
        seen = SeenFrom.BARYCENTRE
    elif "H" in kind or "HEL" in rest or _SUN.search(comment):
        seen = SeenFrom.SUN
    else:
        seen = SeenFrom.EARTH
    if "G" in words:
        seen = SeenFrom.EARTH
    scale = next((s for s in ("tdb", "tdt", "tai", "tt", "utc", "ut") if s.upper() in rest), None)
    if seen is SeenFrom.BARYCENTRE and scale is None and "utc" not in comment.lower():
        scale = "tdb"
    default = Part.START if seen is SeenFrom.EARTH else Part.MIDDLE
    name = match.string[: match.start("kind")] + rest
    scale = {"tdt": "tt", "ut": "utc"}.get(scale or "", scale)
    return DayCard(keyword, value, comment, _part(name) or default, seen, "M" in kind, scale)


def _texts(header: fits.Header, wanted: Callable[[str], bool]) -> list[TextCard]:
    found = []
    for keyword in _ordered(header):
        value, name = header[keyword], _squeezed(keyword)
        if isinstance(value, bool) or not isinstance(value, str | int | float) or not wanted(name):
            continue
        is_local = bool(re.search(_LOCAL, name))
        text = value if isinstance(value, str) else float(value)
        found.append(TextCard(keyword, text, str(header.comments[keyword]), _part(name), is_local))
    return found


def _ordered(header: fits.Header) -> list[str]:
    """The keywords, each once, the preferred ones first."""
    keywords = dict.fromkeys(key for key in header if key not in ("", "COMMENT", "HISTORY"))
    first = [key for key in PREFERRED if key in keywords]
    return [*first, *(key for key in keywords if key not in PREFERRED)]


def _squeezed(keyword: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", keyword.upper())


def _is_of_observation(comment: str) -> bool:
    return bool(_OBSERVED.search(comment)) and not _WRITTEN.search(comment)


def _part(name: str) -> Part | None:
    """The part of the exposure that the words of a name tell."""
    for part, words in ((Part.MIDDLE, _MIDDLE), (Part.END, _END), (Part.START, _START)):
        if re.search(words, re.sub("^UTC", "", name)):
            return part
    return None
