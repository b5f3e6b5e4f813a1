"""Dates as texts and as counts of days: all the forms in which headers write them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone, tzinfo

MJD_EPOCH = datetime(1858, 11, 17, tzinfo=UTC)
MJD_ZERO_JD = 2400000.5
YEARS = range(1850, 2101)
DAY_S = 86400.0
YEAR_S = 365.25 * DAY_S
FIRST_OF_TWO_DIGITS = 30  # 29 is 2029, 30 is 1930
FLAT = 12**-0.5  # standard deviation of what lies anywhere in an interval of length 1

#: Days with which a clock begins that nobody set.
_UNSET = {datetime(1970, 1, 1, tzinfo=UTC), datetime(1900, 1, 1, tzinfo=UTC), datetime(1904, 1, 1, tzinfo=UTC),
          datetime(1858, 11, 17, tzinfo=UTC)}  # fmt: skip

_ISO = re.compile(
    r"(\d{4})[-/.:](\d{1,2})[-/.:](\d{1,2})(?:[T ]+(\d{1,2}):(\d{1,2})(?::(\d{1,2})([.,]\d*)?)?"
    r"\s*(Z|UTC?|GMT|[+-]\d{2}:?\d{2})?)?",
    re.I,
)
_BASIC = re.compile(
    r"(\d{4})(\d{2})(\d{2})(?:[T_ -](\d{2}):?(\d{2}):?(\d{2})?(\.\d*)?\s*(Z|UTC?|[+-]\d{2}:?\d{2})?)?", re.I
)
_OLD = re.compile(r"(\d{1,2})[/.-](\d{1,2})[/.-](\d{2,4})(?:[T ,]+(.+))?")
_NAMED = re.compile(
    r"(?:[a-z]{3,9},?\s+)?(?:(\d{1,2})(?:st|nd|rd|th)?[\s/-]+([a-z]{3,9})\.?[\s/,-]+(\d{4})"
    r"|([a-z]{3,9})\.?\s+(\d{1,2})(?:st|nd|rd|th)?,?\s+(\d{4})"
    r"|(\d{4})[\s/-]([a-z]{3,9})[\s/-](\d{1,2}))(?:[T ,]+(.+))?",
    re.I,
)
_CTIME = re.compile(
    r"[a-z]{3}\s+([a-z]{3})\s+(\d{1,2})\s+(\d{1,2}:\d{2}:\d{2}(?:\.\d*)?)\s+(?:UTC?\s+|GMT\s+)?(\d{4})", re.I
)
_DAY_OF_YEAR = re.compile(r"(\d{4})[-:](\d{3})(?:[T: ](.+))?", re.I)
_DAY_FRACTION = re.compile(r"(\d{4})[- /](\d{1,2})[- /](\d{1,2})(\.\d+)")
_DECIMAL_YEAR = re.compile(r"[JB]?(\d{4})(\.\d+)?", re.I)
_MONTH = re.compile(r"(\d{4})[-/](\d{1,2})")
_CLOCK = re.compile(
    r"(\d{1,2})\s*[:h ]\s*(\d{1,2})(?:\s*[:m ]\s*(\d{1,2}(?:[.,]\d*)?)?\s*s?)?\s*(am|pm)?\s*(Z|UTC?|GMT)?", re.I
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@dataclass(frozen=True)
class Moment:
    """A moment as a header gives it.

    Attributes
    ----------
    when
        UTC.
    has_time
        False when only the day, the month or the year is known.
    zone_known
        Whether the text itself says that it is UTC or how far from it.
    err_s
        One sigma, seconds, of what the text leaves open.
    remark
        What was assumed, for people.
    """

    when: datetime
    has_time: bool = True
    zone_known: bool = False
    err_s: float = 0.0
    remark: str = ""


def parse_moment(text: str) -> Moment | None:
    """Read a date: ISO 8601 with or without time and offset, ``YYYYMMDD``, the old ``DD/MM/YY``, names of months,
    days of the year, fractions of a day, and years or months alone.

    Notes
    -----
    In the old form years of three digits are counted from 1900 (``102`` is 2002), and those of two as well unless that
    would be before 1930; the day comes first unless only another number can be one. A year alone is its middle, with an
    error that says so. 1970-01-01T00:00:00 and
    other zeros of clocks are no dates.
    """
    text = text.strip().strip("'\"").strip()
    for pattern, read in _FORMS:
        match = pattern.fullmatch(text)
        if match is None:
            continue
        try:
            moment = read(match)
        except (ValueError, OverflowError):
            moment = None
        if moment is not None:
            return _believable(moment)
    return None


def clock_seconds(text: str) -> float | None:
    """Seconds since midnight of ``hh:mm:ss.s`` (also with blanks, h m s, am and pm); None for anything else."""
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        return None
    hour, minute, second = int(match[1]), int(match[2]), float((match[3] or "0").replace(",", "."))
    if match[4]:
        hour = hour % 12 + (12 if match[4].lower() == "pm" else 0)
    total = hour * 3600 + minute * 60 + second
    return total if minute < 60 and second < 61 and total < 86_401 else None


def from_days(value: float, *, is_modified: bool, comment: str = "") -> datetime | None:
    """A moment from a count of days: (reduced, modified) Julian date.

    Parameters
    ----------
    is_modified : whether the keyword promises a modified Julian date; a whole one in its place is read as such
    comment : of the card; ``2400000.5`` or ``MJD`` in it make a short Julian date a modified one
    """
    if value > 2.3e6:
        days = value - MJD_ZERO_JD
    elif is_modified or not 10_000 < value < 100_000:
        days = value
        if not is_modified:
            return None
    else:
        days = value - (0.0 if "2400000.5" in comment or "mjd" in comment.lower() else 0.5)
    if abs(days) < 1000 or not -3_200 < days < 88_500:
        return None
    moment = _believable(Moment(MJD_EPOCH + timedelta(days=days)))
    return None if moment is None else moment.when


def from_year(year: float, err_s: float) -> Moment | None:
    """A moment from a decimal year."""
    return _believable(
        Moment(datetime(2000, 1, 1, 12, tzinfo=UTC) + timedelta(days=(year - 2000.0) * 365.25), False, True, err_s)
    )


def to_mjd(moment: datetime) -> float:
    """Modified Julian date of a UTC moment."""
    return (moment - MJD_EPOCH) / timedelta(days=1)


def _from_iso(match: re.Match[str]) -> Moment | None:
    year, month, day = int(match[1]), int(match[2]), int(match[3])
    if match[4] is None:
        return _day(year, month, day)
    zone = match[8] or ""
    offset: tzinfo = UTC
    if zone[:1] in ("+", "-") and zone:
        minutes = int(zone[1:3]) * 60 + int(zone[-2:])
        offset = timezone(timedelta(minutes=-minutes if zone[0] == "-" else minutes))
    seconds = float(f"{match[6] or 0}{(match[7] or '').replace(',', '.')}")
    hour, minute = int(match[4]), int(match[5])
    if hour > 24 or minute > 59 or seconds >= 61:
        return None
    when = datetime(year, month, day, tzinfo=offset) + timedelta(hours=hour, minutes=minute, seconds=seconds)
    return Moment(when.astimezone(UTC), zone_known=bool(zone))


def _from_old(match: re.Match[str]) -> Moment | None:
    day, month, year = int(match[1]), int(match[2]), int(match[3])
    digits = len(match[3])
    if digits == 2 and day > 31 >= year:
        day, year = year, day
    if month > 12 >= day:
        day, month = month, day
    if digits == 2 and year < FIRST_OF_TWO_DIGITS:
        moment = _day(year + 2000, month, day, match[4])
        return moment and replace(moment, remark=f"the year {year:02d} is taken as {year + 2000}")
    return _day(year + (1900 if digits < 4 else 0), month, day, match[4])


def _from_named(match: re.Match[str]) -> Moment | None:
    day, name, year = next(g for g in ((match[1], match[2], match[3]), (match[5], match[4], match[6]),
                                       (match[9], match[8], match[7])) if g[0])  # fmt: skip
    return _day(int(year), _month(name), int(day), match[10])


def _from_ctime(match: re.Match[str]) -> Moment | None:
    return _day(int(match[4]), _month(match[1]), int(match[2]), match[3])


def _from_day_of_year(match: re.Match[str]) -> Moment | None:
    day = datetime(int(match[1]), 1, 1, tzinfo=UTC) + timedelta(days=int(match[2]) - 1)
    return _day(day.year, day.month, day.day, match[3]) if 1 <= int(match[2]) <= 366 else None


def _from_fraction(match: re.Match[str]) -> Moment | None:
    whole = datetime(int(match[1]), int(match[2]), int(match[3]), tzinfo=UTC)
    step = DAY_S * 10.0 ** (1 - len(match[4]))
    return Moment(whole + timedelta(days=float(match[4])), err_s=step * FLAT)


def _from_month(match: re.Match[str]) -> Moment | None:
    begin = datetime(int(match[1]), int(match[2]), 1, tzinfo=UTC)
    return Moment(begin + timedelta(days=15), False, True, YEAR_S / 12 * FLAT)


def _from_year(match: re.Match[str]) -> Moment | None:
    if match[2] is None:
        return from_year(int(match[1]) + 0.5, YEAR_S * FLAT)
    return from_year(float(match[1] + match[2]), YEAR_S * 10.0 ** (1 - len(match[2])) * FLAT)


_FORMS = (
    (_DAY_FRACTION, _from_fraction), (_ISO, _from_iso), (_BASIC, _from_iso), (_OLD, _from_old), (_CTIME, _from_ctime),
    (_NAMED, _from_named), (_DAY_OF_YEAR, _from_day_of_year), (_MONTH, _from_month), (_DECIMAL_YEAR, _from_year),
)  # fmt: skip


def _day(year: int, month: int, day: int, clock: str | None = None) -> Moment | None:
    """A day, with the time of a text if that is one."""
    begin = datetime(year, month, day, tzinfo=UTC)
    seconds = None if clock is None else clock_seconds(clock)
    if clock is not None and seconds is None:
        return None
    if seconds is None:
        return Moment(begin, has_time=False, err_s=DAY_S * FLAT)
    return Moment(begin + timedelta(seconds=seconds), zone_known=bool(re.search(r"z|utc?|gmt", clock or "", re.I)))


def _month(name: str) -> int:
    """Number of a month; 0, which is none, for other words."""
    return _MONTHS.index(name[:3].lower()) + 1 if name[:3].lower() in _MONTHS else 0


def _believable(moment: Moment) -> Moment | None:
    """The moment, if photographs of the sky existed then and it is not the zero of a clock."""
    return moment if moment.when.year in YEARS and moment.when not in _UNSET else None
