"""The middle of an exposure, in UTC, from the many ways in which headers give a date."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from astropy.io import fits
from astropy.time import Time

MIDDLE_DATES = ("DATE-AVG", "DATE-MID", "DATE_MID")
MIDDLE_MJDS = ("MJD-AVG", "MJD-MID", "MJD_MID")
START_DATES = ("DATE-OBS", "DATE-BEG", "DATE_OBS", "UTDATE")
START_TIMES = ("TIME-OBS", "UT", "UTC-OBS", "UT-OBS", "UTSTART", "UTC", "TIME_OBS", "TM-START")
START_MJDS = ("MJD-OBS", "MJD-BEG", "MJD_OBS", "MJD", "EXPSTART")
START_JDS = ("JD-OBS", "JD_UTC", "JD-START", "JD")

MJD_EPOCH = datetime(1858, 11, 17, tzinfo=UTC)
YEARS = range(1850, 2101)

_ISO = re.compile(
    r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})(?:[T ]+(\d{1,2}):(\d{2})(?::(\d{2})(\.\d*)?)?\s*(Z|UTC?|[+-]\d{2}:?\d{2})?)?"
)
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})")
_OLD = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{2,4})")
_CLOCK = re.compile(r"(\d{1,2})[: ](\d{1,2})(?:[: ](\d{1,2}(?:\.\d*)?))?")


@dataclass(frozen=True)
class Moment:
    """A moment as a header gives it.

    Attributes
    ----------
    when
        UTC.
    has_time
        False when only the day is known.
    zone_known
        Whether the text itself says that it is UTC or how far from it.
    """

    when: datetime
    has_time: bool = True
    zone_known: bool = False


def parse_moment(text: str) -> Moment | None:
    """Read a date: ISO 8601 with or without time and offset, ``YYYYMMDD``, or the old ``DD/MM/YY``.

    In the old form years are counted from 1900, also with three digits (``102`` is 2002).
    """
    text = text.strip()
    iso, compact, old = _ISO.fullmatch(text), _COMPACT.fullmatch(text), _OLD.fullmatch(text)
    try:
        if iso:
            return _from_iso(iso)
        if compact:
            year, month, day = (int(g) for g in compact.groups())
        elif old:
            day, month, year = (int(g) for g in old.groups())
            year += 1900 if len(old[3]) < 4 else 0
        else:
            return None
        return _believable(Moment(datetime(year, month, day, tzinfo=UTC), has_time=False))
    except (ValueError, OverflowError):
        return None


def mid_exposure(header: fits.Header, exposure_s: float | None) -> tuple[datetime | None, list[str]]:
    """The middle of the exposure in UTC, and warnings.

    Order: a keyword for the middle itself; the start from a date with a time, or a date and a clock time; the start as
    (modified) Julian date. The start is moved by half the exposure. Dates in TT, TAI or TDB (``TIMESYS``) become UTC.
    """
    middle = _first_date(header, MIDDLE_DATES)
    if middle is not None and middle.has_time:
        return _to_utc(header, middle), []
    middle = _first_julian(header, MIDDLE_MJDS, ())
    if middle is not None:
        return _to_utc(header, middle), []
    start, notes = _start(header)
    if start is None:
        return None, ["the header gives no date of observation", *notes]
    if exposure_s is None:
        return start, [*notes, "the header gives no exposure time: the date is that of the start"]
    return start + timedelta(seconds=exposure_s / 2), notes


def to_mjd(moment: datetime) -> float:
    """Modified Julian date of a UTC moment."""
    return (moment - MJD_EPOCH) / timedelta(days=1)


def to_julian_year(moment: datetime) -> float:
    """Julian year of a UTC moment (the minute between UTC and TDB is ignored)."""
    return 2000.0 + (to_mjd(moment) - 51544.5) / 365.25


def to_text(moment: datetime) -> str:
    """ISO 8601 with milliseconds and Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _start(header: fits.Header) -> tuple[datetime | None, list[str]]:
    """The start of the exposure in UTC, and warnings."""
    date = _first_date(header, START_DATES)
    julian = _first_julian(header, START_MJDS, START_JDS)
    if date is not None and not date.has_time:
        date = _with_clock(header, date) or date
    if date is None or not date.has_time:
        if julian is not None:
            return _to_utc(header, julian), []
        if date is None:
            return None, []
        return _to_utc(header, date), ["the header gives the day of observation and no time: 0h UTC is used"]
    if julian is not None and not date.zone_known and _is_zone(julian.when - date.when):
        return _to_utc(header, julian), ["DATE-OBS is local time: the (modified) Julian date of the header is used"]
    return _to_utc(header, date), []


def _is_zone(difference: timedelta) -> bool:
    """Whether two times differ by a time zone: whole half hours up to 11.5 (12 is a confused Julian date)."""
    halves = difference / timedelta(minutes=30)
    return 1 <= abs(round(halves)) <= 23 and abs(halves - round(halves)) < 0.1


def _first_date(header: fits.Header, keywords: tuple[str, ...]) -> Moment | None:
    """The first keyword that holds a date."""
    for keyword in keywords:
        value = header.get(keyword)
        if isinstance(value, str | int) and (moment := parse_moment(str(value))):
            return moment
    return None


def _first_julian(header: fits.Header, mjds: tuple[str, ...], jds: tuple[str, ...]) -> Moment | None:
    """The first keyword that holds a (modified) Julian date; those of the end of the exposure do not count."""
    for keyword, zero in [(k, 0.0) for k in mjds] + [(k, 2400000.5) for k in jds]:
        value = _float(header.get(keyword))
        if value is None or "end of" in str(header.comments[keyword]).lower():
            continue
        days = value - zero if zero else value - (2400000.5 if value > 2.3e6 else 0.0)
        if not -10_000 < days < 100_000:
            continue
        moment = _believable(Moment(MJD_EPOCH + timedelta(days=days)))
        if moment is not None:
            return moment
    return None


def _with_clock(header: fits.Header, date: Moment) -> Moment | None:
    """Join a day with a time of the same header."""
    for keyword in START_TIMES:
        value = header.get(keyword)
        if isinstance(value, str):
            whole, clock = parse_moment(value), _CLOCK.fullmatch(value.strip())
            if whole is not None and whole.has_time:
                return whole
            if clock is None:
                continue
            seconds = int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3] or 0)
        elif (number := _float(value)) is not None:
            seconds = number if keyword == "TM-START" else number * 3600
        else:
            continue
        if 0 <= seconds < 86_401:
            return Moment(date.when + timedelta(seconds=seconds))
    return None


def _from_iso(match: re.Match[str]) -> Moment | None:
    """A matched ISO date."""
    year, month, day = int(match[1]), int(match[2]), int(match[3])
    if match[4] is None:
        return _believable(Moment(datetime(year, month, day, tzinfo=UTC), has_time=False))
    zone = match[8] or ""
    offset: tzinfo = UTC
    if zone[:1] in ("+", "-") and zone:
        minutes = int(zone[1:3]) * 60 + int(zone[-2:])
        offset = timezone(timedelta(minutes=-minutes if zone[0] == "-" else minutes))
    seconds = float(f"{match[6] or 0}{match[7] or ''}")
    when = datetime(year, month, day, int(match[4]), int(match[5]), tzinfo=offset) + timedelta(seconds=seconds)
    return _believable(Moment(when.astimezone(UTC), zone_known=bool(zone)))


def _believable(moment: Moment) -> Moment | None:
    """The moment, if photographs of the sky existed then."""
    return moment if moment.when.year in YEARS else None


def _to_utc(header: fits.Header, moment: Moment) -> datetime:
    """Take a moment that is not UTC by itself out of the time scale of the header."""
    scale = str(header.get("TIMESYS", "UTC")).strip().lower()
    if moment.zone_known or scale not in ("tt", "tai", "tdb"):
        return moment.when
    shifted = Time(moment.when.replace(tzinfo=None), scale=scale).utc.to_datetime()
    return datetime.fromisoformat(str(shifted)).replace(tzinfo=UTC)


def _float(value: object) -> float | None:
    """A number, or a text that is one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None
