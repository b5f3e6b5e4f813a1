"""The middle of an exposure, in UTC, from the many ways in which headers give a date."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from astropy.io import fits
from astropy.time import Time

from astro_shared.fits.date_forms import (
    DAY_S,
    MJD_EPOCH,
    YEAR_S,
    Moment,
    clock_seconds,
    from_days,
    from_year,
    parse_moment,
)
from astro_shared.fits.heliocentric import light_travel_s
from astro_shared.fits.units import plain_number

MIDDLE_DATES = ("DATE-AVG", "DATE-MID", "DATE_MID", "DATE_AVG", "DATEMID", "DATEAVG", "MEANTIME", "MIDTIME", "DATE-MEA",
                "UTMIDDLE")  # fmt: skip
MIDDLE_DAYS = ("MJD-AVG", "MJD-MID", "MJD_MID", "MJD_AVG", "MJDMID", "MJDAVG", "MJD-MEAN", "MJDMEAN", "JD-MID", "JD_MID",
               "JDMID", "MIDJD", "JD-AVG", "JD_AVG", "JDAVG", "JD-MEAN", "EXPMID")  # fmt: skip
START_DATES = ("DATE-OBS", "DATE-BEG", "DATE_OBS", "DATE_BEG", "DATEOBS", "DATE-STA", "DATE-EXP", "UTDATE", "UT-DATE",
               "UTC-DATE", "UTC_DATE", "UTCDATE", "DATE-UT", "DATE-UTC", "OBSDATE", "OBS-DATE", "OBS_DATE",
               "EXPSTART")  # fmt: skip
START_CLOCKS = ("TIME-OBS", "UT", "UTC-OBS", "UT-OBS", "UTSTART", "UTC", "TIME_OBS", "TM-START", "UTSHUT", "UT-START",
                "UT_START", "UTC-BEG", "UTCSTART", "UTOPEN", "TIME-BEG", "TIME-STA", "UT-TIME", "UTTIME",
                "TIMEOBS")  # fmt: skip
START_DAYS = ("MJD-OBS", "MJD-BEG", "MJD_OBS", "MJD_BEG", "MJDOBS", "MJDBEG", "MJD-STA", "MJDSTART", "MJD-STRT", "MJD",
              "MJD-UTC", "MJD_UTC", "EXPSTART", "JD-OBS", "JD_OBS", "JDOBS", "JD_UTC", "JD-UTC", "JDUTC", "JD-START",
              "JD-BEG", "JD_SOBS", "JDSTART", "JD", "JULDATE", "JULIAN", "JUL-DATE", "GEOJD", "TAI")  # fmt: skip
END_DATES = ("DATE-END", "DATE_END", "DATEEND", "DATE-FIN", "EXPEND")
END_CLOCKS = ("TIME-END", "TIME_END", "UT-END", "UT_END", "UTEND", "UTSTOP", "UTC-END", "UTCEND", "TM-END")
END_DAYS = ("MJD-END", "MJD_END", "MJDEND", "EXPEND", "JD-END", "JD_END", "JDEND", "JD-STOP")
SUN_DAYS = ("JD-HELIO", "JD_HELIO", "HJD", "HJD-OBS", "HJD_OBS", "HJD-MID", "HJD_MID", "HJD_UTC", "HJDMID", "MIDHJD",
            "HELJD", "BJD", "BJD-OBS", "BJD_OBS", "BJD-MID", "BJD_MID", "BJD_TDB", "BJD-TDB", "BJDMID", "MIDBJD")  # fmt: skip
LOCAL_DATES = ("DATE-LOC", "DATE_LOC", "LOCDATE", "DATE-LT", "LOCALDAT", "LT-DATE")
LOCAL_CLOCKS = ("TIME-LOC", "TIME_LOC", "LOCTIME", "LOCALTIM", "LT", "LT-START", "TIME-LT")
ZONES = (
    "TIMEZONE",
    "TIMEZONE_OFFSET",
    "UTCOFFS",
    "UTC-OFF",
    "UTCOFF",
    "UTOFFSET",
    "TZ",
    "TIME-ZON",
    "ZONE",
    "LTOFFSET",
)

BY_ZONE, BY_SUN, UNKNOWN_ZONE, DAY_ALONE, BY_PLATE, NO_DAY = 5, 10, 15, 20, 25, 30

LOCAL_SIGMA_S = 6.5 * 3600.0  # a time zone somewhere on the globe
PLATE_EPOCH_SIGMA_S = 0.01 * YEAR_S

_AT_END = re.compile(r"\bend(?:s|ed|ing)?\b|\bclos(?:e|ed|ing|ure)\b|\bfinish|\bstop", re.I)
_AT_START = re.compile(r"\bstart|\bbegin|\bbegan|\bopen", re.I)
_AT_MIDDLE = re.compile(
    r"\bmid(?:dle|[- ]?point|[- ]?exposure|[- ]?time|[- ]?obs\w*)?\b|\bcent(?:er|re)\b|\bmean\b|\baverage\b", re.I
)
_LOCAL = re.compile(r"\blocal\b|\bLT\b")
_SCALES = {"tt": "tt", "tdt": "tt", "et": "tt", "tai": "tai", "tdb": "tdb", "tcb": "tcb", "tcg": "tcg", "gps": "tai"}
GPS_BEHIND_TAI_S = 19.0


class Part(StrEnum):
    """Which moment of the exposure a card tells."""

    START = "start"
    MIDDLE = "middle"
    END = "end"


@dataclass(frozen=True)
class Stamp:
    """A moment of the exposure, the keyword that told it, what a person should know of it, and how much it is doubted."""

    moment: Moment
    part: Part
    keyword: str
    note: str = ""
    doubt: int = 0

    @property
    def rank(self) -> int:
        """The lower the better."""
        return self.doubt + (Part.MIDDLE, Part.START, Part.END).index(self.part)


@dataclass(frozen=True)
class MidExposure:
    """
    Attributes
    ----------
    when
        UTC; None where nothing tells.
    keyword
        That it is from.
    err_s
        One sigma, seconds, of what the header leaves open.
    notes
        Sentences for people.
    """

    when: datetime | None
    keyword: str | None = None
    err_s: float = 0.0
    notes: tuple[str, ...] = ()


def mid_exposure(
    header: fits.Header, exposure_s: float | None, place: tuple[float, float] | None = None, *, is_stack: bool = False
) -> MidExposure:
    """The middle of the exposure in UTC.

    Parameters
    ----------
    exposure_s
        Of the whole image; start and end are moved by half of it.
    place
        Right ascension and declination, degrees: the light-travel time to the Sun is taken off heliocentric dates.
    is_stack
        Of a stack the middle lies between start and end, not half its exposure after the start.

    Notes
    -----
    Order: a card for the middle itself; the start from a date with a time, or a day and a clock; the start as a
    (modified) Julian date; the end; a heliocentric or barycentric date; the day alone; local time; the epoch of a
    plate; a year. Words in comments (start, middle, end) go before the meaning of the keyword. Dates in TT, TAI, TDB
    or GPS time (``TIMESYS``) become UTC.
    """
    stamps = _stamps(header, place)
    chosen = next(iter(stamps), None)
    if chosen is None:
        written = " (DATE, when the file was written, does not count)" if header.get("DATE") else ""
        return MidExposure(None, notes=(f"the header gives no date of observation{written}",))
    notes = (chosen.note,) if chosen.note else ()
    when, part, err = chosen.moment.when, chosen.part, chosen.moment.err_s
    if part is not Part.MIDDLE and is_stack and (span := _span(stamps)) is not None:
        return MidExposure(span[0] + (span[1] - span[0]) / 2, chosen.keyword, err, notes)
    if part is Part.MIDDLE:
        return MidExposure(when, chosen.keyword, err, notes)
    if exposure_s is None:
        words = f"the header gives no exposure time: the date is that of the {part.value}"
        return MidExposure(when, chosen.keyword, err, (*notes, words))
    half = timedelta(seconds=exposure_s / 2)
    return MidExposure(when + half if part is Part.START else when - half, chosen.keyword, err, notes)


def exposure_span_s(header: fits.Header) -> float | None:
    """Seconds from the start to the end of the exposure where the header tells both with their times; else None."""
    span = _span(_stamps(header, None))
    seconds = None if span is None else (span[1] - span[0]).total_seconds()
    return seconds if seconds is not None and 0 < seconds < 30 * DAY_S else None


def to_mjd(moment: datetime) -> float:
    """Modified Julian date of a UTC moment."""
    return (moment - MJD_EPOCH) / timedelta(days=1)


def to_julian_year(moment: datetime) -> float:
    """Julian year of a UTC moment (the minute between UTC and TDB is ignored)."""
    return 2000.0 + (to_mjd(moment) - 51544.5) / 365.25


def to_text(moment: datetime) -> str:
    """ISO 8601 with milliseconds and Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _stamps(header: fits.Header, place: tuple[float, float] | None) -> list[Stamp]:
    """All that the header tells of when it was, the best first."""
    found = [
        *_dates(header, MIDDLE_DATES, (), Part.MIDDLE), *_days(header, MIDDLE_DAYS, Part.MIDDLE),
        *_starts(header),
        *_dates(header, END_DATES, END_CLOCKS, Part.END), *_days(header, END_DAYS, Part.END),
        *_mission_time(header), *_sun_days(header, place),
        *_local(header), *_plate(header),
    ]  # fmt: skip
    return sorted(found, key=lambda stamp: stamp.rank)


def _span(stamps: list[Stamp]) -> tuple[datetime, datetime] | None:
    """Start and end of the exposure, of the same kind of card where there are several."""
    for wanted in (lambda k: not _is_days(k), _is_days):
        ends = [
            next((s.moment.when for s in stamps if s.part is part and s.moment.has_time and wanted(s.keyword)), None)
            for part in (Part.START, Part.END)
        ]
        if ends[0] is not None and ends[1] is not None and ends[1] > ends[0]:
            return ends[0], ends[1]
    return None


def _is_days(keyword: str) -> bool:
    return keyword in START_DAYS or keyword in END_DAYS


def _starts(header: fits.Header) -> list[Stamp]:
    """Starts of the exposure; a date that differs from the Julian date by a time zone is told as local time."""
    dates = _dates(header, START_DATES, START_CLOCKS, Part.START)
    days = _days(header, START_DAYS, Part.START)
    timed = next((s for s in dates if s.moment.has_time and s.part is Part.START), None)
    julian = next((s for s in days if s.part is Part.START), None)
    if timed is None or julian is None or timed.moment.zone_known:
        return [*dates, *days]
    if _is_zone(julian.moment.when - timed.moment.when):
        words = f"{timed.keyword} is local time: the (modified) Julian date of the header is used"
        return [replace(julian, note=words), *(s for s in days if s is not julian)]
    return [*dates, *days]


def _is_zone(difference: timedelta) -> bool:
    """Whether two times differ by a time zone: whole half hours up to 11.5 (12 is a confused Julian date)."""
    halves = difference / timedelta(minutes=30)
    return 1 <= abs(round(halves)) <= 23 and abs(halves - round(halves)) < 0.1


def _dates(header: fits.Header, keywords: tuple[str, ...], clocks: tuple[str, ...], part: Part) -> list[Stamp]:
    """Dates written as texts; a day is joined with a clock of the same part of the exposure."""
    found = []
    for keyword in keywords:
        value = header.get(keyword)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            continue
        if not isinstance(value, str) and not 1_850_01_01 <= value <= 2_100_12_31:
            continue  # a number that is no YYYYMMDD counts days: `_days`
        moment = parse_moment(str(value) if isinstance(value, str) else str(int(value)))
        if moment is None:
            continue
        comment = str(header.comments[keyword])
        is_midnight = (moment.when.hour, moment.when.minute, moment.when.second) == (0, 0, 0) and not moment.zone_known
        if (not moment.has_time and moment.err_s < 2 * DAY_S) or (is_midnight and moment.has_time):
            moment = _with_clock(header, moment, clocks) or moment
        if not moment.has_time:
            found.append(_coarse(keyword, moment, part))
        elif _LOCAL.search(comment) and not moment.zone_known:
            found.append(_from_local(header, moment, keyword, _part(comment, part)))
        else:
            found.append(Stamp(_to_utc(header, moment), _part(comment, part), keyword))
    return found


def _coarse(keyword: str, moment: Moment, part: Part) -> Stamp:
    """A date without a time."""
    if moment.err_s < 2 * DAY_S:
        words = "the header gives the day of observation and no time: 0h UTC is used"
        return Stamp(moment, part, keyword, words, DAY_ALONE)
    words = f"{keyword} gives no day: the date is known to {moment.err_s / YEAR_S:.2f} years only"
    return Stamp(moment, Part.MIDDLE, keyword, words, NO_DAY)


def _days(header: fits.Header, keywords: tuple[str, ...], part: Part) -> list[Stamp]:
    """Julian dates, modified or not, and TAI seconds since their zero."""
    found = []
    for keyword in keywords:
        value = plain_number(header.get(keyword))
        if value is None:
            continue
        comment = str(header.comments[keyword])
        if keyword == "TAI":
            value /= DAY_S
        when = from_days(value, is_modified=not keyword.startswith("J") and keyword != "GEOJD", comment=comment)
        if when is not None:
            moment = _to_utc(header, Moment(when), scale="tai" if keyword == "TAI" else None)
            found.append(Stamp(moment, _part(comment, part), keyword))
    return found


def _sun_days(header: fits.Header, place: tuple[float, float] | None) -> list[Stamp]:
    """Heliocentric and barycentric Julian dates, as times at the Earth."""
    found = []
    for keyword in SUN_DAYS:
        value = plain_number(header.get(keyword))
        comment = str(header.comments[keyword]) if keyword in header else ""
        when = None if value is None else from_days(value, is_modified=False, comment=comment)
        if when is None:
            continue
        is_bary = "B" in keyword
        moment = Moment(when)
        if is_bary and "utc" not in f"{keyword} {comment}".lower():
            moment = _to_utc(header, moment, scale="tdb")
        name = "barycentric" if is_bary else "heliocentric"
        if place is None:
            moment = replace(moment, err_s=300.0)
            note = f"{keyword} is {name} and the header gives no place: the time is known to 8 minutes"
        else:
            moment = replace(
                moment, when=moment.when - timedelta(seconds=light_travel_s(to_mjd(when), *place)), err_s=3.0
            )
            note = f"the date is from the {name} {keyword}: the light-travel time was taken off"
        found.append(Stamp(moment, _part(comment, Part.MIDDLE), keyword, note, BY_SUN))
    return found


def _mission_time(header: fits.Header) -> list[Stamp]:
    """Start and end of satellites: TSTART and TSTOP [TIMEUNIT] since MJDREF, JDREF or BJDREF."""
    for name in ("MJDREF", "JDREF", "BJDREF"):
        parts = [plain_number(header.get(key)) for key in (f"{name}I", f"{name}F")]
        zero = plain_number(header.get(name)) if parts[0] is None else parts[0] + (parts[1] or 0.0)
        if zero is None:
            continue
        unit = 1.0 if str(header.get("TIMEUNIT", "s")).strip().lower().startswith("d") else 1 / DAY_S
        found = []
        for keyword, part in (("TSTART", Part.START), ("TSTOP", Part.END)):
            value = plain_number(header.get(keyword))
            when = None if value is None else from_days(zero + value * unit, is_modified=name == "MJDREF")
            if when is not None:
                found.append(Stamp(_to_utc(header, Moment(when)), part, keyword))
        return found
    return []


def _local(header: fits.Header) -> list[Stamp]:
    """Dates in local time, brought to UTC where the header tells its zone."""
    for keyword in LOCAL_DATES:
        value = header.get(keyword)
        moment = parse_moment(value) if isinstance(value, str) else None
        if moment is None:
            continue
        if not moment.has_time:
            moment = _with_clock(header, moment, LOCAL_CLOCKS) or moment
        part = _part(str(header.comments[keyword]), Part.START)
        if not moment.has_time:
            return [_coarse(keyword, moment, part)]
        return [Stamp(moment, part, keyword) if moment.zone_known else _from_local(header, moment, keyword, part)]
    return []


def _from_local(header: fits.Header, moment: Moment, keyword: str, part: Part) -> Stamp:
    """Local time as UTC: hours of the zone count towards the east, as in ISO 8601."""
    for zone in ZONES:
        hours = plain_number(header.get(zone))
        if hours is not None and abs(hours) <= 14:
            when = moment.when - timedelta(hours=hours)
            words = f"{keyword} is local time: {zone} = {hours:g} h was taken off"
            return Stamp(replace(moment, when=when), part, keyword, words, BY_ZONE)
    words = f"{keyword} is local time of an unknown zone: the date is sure to half a day"
    return Stamp(replace(moment, err_s=LOCAL_SIGMA_S), part, keyword, words, UNKNOWN_ZONE)


def _plate(header: fits.Header) -> list[Stamp]:
    """The epoch of a photographic plate, told by the comment or by being no whole year."""
    value = plain_number(header.get("EPOCH"))
    if value is None or not 1850 < value < 2101:
        return []
    told = re.search(r"plate|observ|expos", str(header.comments["EPOCH"]), re.I)
    if not told and (value == int(value) or value * 10 == int(value * 10)):
        return []
    moment = from_year(value, PLATE_EPOCH_SIGMA_S)
    return (
        []
        if moment is None
        else [Stamp(moment, Part.MIDDLE, "EPOCH", "EPOCH is taken as the date of the exposure", BY_PLATE)]
    )


def _part(comment: str, default: Part) -> Part:
    """What the words of a comment say of the part of the exposure."""
    said = [
        part
        for part, words in ((Part.START, _AT_START), (Part.MIDDLE, _AT_MIDDLE), (Part.END, _AT_END))
        if words.search(comment)
    ]
    return said[0] if len(said) == 1 else default


def _with_clock(header: fits.Header, date: Moment, clocks: tuple[str, ...]) -> Moment | None:
    """Join a day with a time of the same header."""
    for keyword in clocks:
        value = header.get(keyword)
        number = plain_number(value)
        if isinstance(value, str) and number is None:
            whole = parse_moment(value)
            if whole is not None and whole.has_time:
                return whole
            seconds = clock_seconds(value)
        else:
            seconds = number if number is None or keyword.startswith("TM-") or number > 24 else number * 3600
        if seconds is not None and 0 <= seconds < 86_401:
            return Moment(date.when + timedelta(seconds=seconds))
    return None


def _to_utc(header: fits.Header, moment: Moment, scale: str | None = None) -> Moment:
    """Take a moment that is not UTC by itself out of the time scale of the header."""
    written = str(header.get("TIMESYS", "UTC")).strip().lower()
    scale = scale or _SCALES.get(re.split(r"[^a-z]", written)[0])
    if moment.zone_known or scale is None or not moment.has_time:
        return moment
    when = moment.when + timedelta(seconds=GPS_BEHIND_TAI_S if written.startswith("gps") else 0.0)
    shifted = Time(when.replace(tzinfo=None), scale=scale).utc.to_datetime()
    return replace(moment, when=datetime.fromisoformat(str(shifted)).replace(tzinfo=UTC))
