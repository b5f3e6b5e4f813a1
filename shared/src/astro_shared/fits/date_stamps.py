"""Every moment of an exposure that the cards of a header tell, each with how much it is doubted."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta

from astropy.io import fits
from astropy.time import Time

from astro_shared.fits.date_cards import (
    YEARS_ALONE,
    DayCard,
    Part,
    SeenFrom,
    TextCard,
    clock_cards,
    date_cards,
    day_cards,
)
from astro_shared.fits.date_forms import (
    DAY_S,
    YEAR_S,
    Moment,
    clock_seconds,
    from_days,
    from_year,
    parse_moment,
    to_mjd,
)
from astro_shared.fits.heliocentric import light_travel_s
from astro_shared.fits.units import plain_number

ZONES = ("TIMEZONE", "TIMEZONE_OFFSET", "UTCOFFS", "UTC-OFFS", "UTC-OFF", "UTCOFF", "UTOFFSET", "TZ", "TZOFFSET", "TZ-OFFSET",
         "TZONE", "GMTOFFS", "TIME-ZON", "ZONE", "LTOFFSET")  # fmt: skip

BY_ZONE, BY_SUN, UNKNOWN_ZONE, DAY_ALONE, BY_PLATE, NO_DAY = 5, 10, 15, 20, 25, 30

LARGEST_ZONE_H = 14.0
LOCAL_SIGMA_S = 6.5 * 3600.0  # a time zone somewhere on the globe
PLATE_EPOCH_SIGMA_S = 0.01 * YEAR_S

_AT_END = re.compile(r"\bend(?:s|ed|ing)?\b|\bclos(?:e|ed|ing|ure)\b|\bfinish|\bstop", re.I)
_AT_START = re.compile(r"\bstart|\bbegin|\bbegan|\bopen", re.I)
_AT_MIDDLE = re.compile(
    r"\bmid(?:dle|[- ]?point|[- ]?exposure|[- ]?time|[- ]?obs\w*)?\b|\bcent(?:er|re)\b|\bmean\b|\baverage\b", re.I
)
_LOCAL = re.compile(r"\blocal\b|\bLT\b")
_NUMBERED = re.compile(r"UT|TM|TIME.")  # clocks that may be plain numbers
_SCALES = {"tt": "tt", "tdt": "tt", "et": "tt", "tai": "tai", "tdb": "tdb", "tcb": "tcb", "tcg": "tcg", "gps": "tai"}
GPS_BEHIND_TAI_S = 19.0


@dataclass(frozen=True)
class Stamp:
    """A moment of the exposure: the keyword that told it, what a person should know, how much it is doubted, whether it
    was counted in days."""

    moment: Moment
    part: Part
    keyword: str
    note: str = ""
    doubt: int = 0
    is_counted: bool = False

    @property
    def rank(self) -> int:
        """The lower the better."""
        return self.doubt + (Part.MIDDLE, Part.START, Part.END).index(self.part)


def stamps_of(header: fits.Header, place: tuple[float, float] | None) -> list[Stamp]:
    """All that the header tells of when it was, the best first."""
    clocks = clock_cards(header)
    dates = [card for card in date_cards(header) if not card.is_local]
    written = [stamp for card in dates for stamp in _of_date(header, card, clocks)]
    whole = [stamp for card in clocks if not card.is_local for stamp in _of_whole_clock(header, card)]
    counted = [stamp for card in day_cards(header) if (stamp := _of_days(header, card, place)) is not None]
    found = [
        *_without_local([*written, *whole], counted), *counted, *_mission_time(header), *_local(header, clocks),
        *_years(header), *_plate(header),
    ]  # fmt: skip
    return sorted(found, key=lambda stamp: stamp.rank)


def _without_local(written: list[Stamp], counted: list[Stamp]) -> list[Stamp]:
    """The dates; doubted, those that are local time or a bare midnight as a (modified) Julian date shows."""
    julian = next((s for s in counted if s.part is Part.START and s.doubt == 0), None)
    timed = next((s for s in written if s.part is Part.START and s.moment.has_time), None)
    if julian is None or timed is None or timed.moment.zone_known:
        return written
    difference = julian.moment.when - timed.moment.when
    if _is_zone(difference):
        words = f"{timed.keyword} is local time: {julian.keyword} is used"
        counted[counted.index(julian)] = replace(julian, note=words)
    elif not (_is_midnight(timed.moment) and timedelta(seconds=1) < difference < timedelta(days=1)):
        return written
    return [replace(s, doubt=UNKNOWN_ZONE) if not s.moment.zone_known and s.doubt == 0 else s for s in written]


def _is_zone(difference: timedelta) -> bool:
    """Whether two times differ by a time zone: whole half hours up to 11.5 (12 is a confused Julian date)."""
    halves = difference / timedelta(minutes=30)
    return 1 <= abs(round(halves)) <= 23 and abs(halves - round(halves)) < 0.1


def _is_midnight(moment: Moment) -> bool:
    return moment.has_time and not moment.zone_known and moment.when.time() == time()


def _of_date(header: fits.Header, card: TextCard, clocks: list[TextCard]) -> list[Stamp]:
    """What a date tells; a day is joined with the times of day that the header holds."""
    moment = parse_date(card.value)
    if moment is None:
        return []
    part = card.part or Part.START
    if (not moment.has_time and moment.err_s < 2 * DAY_S) or _is_midnight(moment):
        joined = _joined(header, card, moment, clocks)
        if joined:
            return joined
    if not moment.has_time:
        return [_coarse(card.keyword, moment, part)]
    part = _said(card.comment, part)
    if _LOCAL.search(card.comment) and not moment.zone_known:
        return [_from_local(header, moment, card.keyword, part)]
    return [Stamp(_to_utc(header, moment), part, card.keyword, moment.remark)]


def _joined(header: fits.Header, date: TextCard, day: Moment, clocks: list[TextCard]) -> list[Stamp]:
    """A day with the first time of day of each part of the exposure; after the start comes the next day if need be."""
    found: list[Stamp] = []
    begin = day.when.replace(hour=0, minute=0, second=0, microsecond=0)
    for part in (Part.START, Part.MIDDLE, Part.END):
        if date.part not in (None, part):
            continue
        for card in clocks:
            seconds = _clock(card)
            if card.is_local or seconds is None or _said(card.comment, card.part or Part.START) is not part:
                continue
            when = begin + timedelta(seconds=seconds)
            if found and when < found[0].moment.when:
                when += timedelta(days=1)
            moment = _to_utc(header, Moment(when))
            found.append(Stamp(moment, part, date.keyword, day.remark))
            break
    return found


def _of_whole_clock(header: fits.Header, card: TextCard) -> list[Stamp]:
    """A card for a time of day that holds the date as well."""
    moment = parse_date(card.value) if isinstance(card.value, str) and clock_seconds(card.value) is None else None
    if moment is None or not moment.has_time:
        return []
    return [Stamp(_to_utc(header, moment), _said(card.comment, card.part or Part.START), card.keyword, moment.remark)]


def parse_date(value: str | float) -> Moment | None:
    """A date as text, or as the number YYYYMMDD, a year with decimals, or days."""
    number = plain_number(value)
    if isinstance(value, str) and number is None:
        return parse_moment(value)
    if number is None:
        return None
    if 1_850_01_01 <= number <= 2_100_12_31 and number == int(number) and not 2.3e6 < number < 2.5e6:
        return parse_moment(str(int(number)))
    if 10_000 < number < 100_000 or 2.3e6 < number < 2.5e6:
        when = from_days(number, is_modified=True)
        return None if when is None else Moment(when)
    return parse_moment(str(value).strip()) if isinstance(value, str) else parse_moment(f"{number:.10g}")


def _clock(card: TextCard) -> float | None:
    """Seconds since midnight; a number counts hours up to 24, seconds beyond and in ``TM-START``."""
    if isinstance(card.value, str) and (number := plain_number(card.value)) is None:
        seconds = clock_seconds(card.value)
        if seconds is None and (whole := parse_moment(card.value)) is not None and whole.has_time:
            seconds = (whole.when - whole.when.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds()
        return seconds
    number = plain_number(card.value)
    if number is None or not _NUMBERED.match(card.keyword):
        return None
    seconds = number if card.keyword.startswith("TM") or number > 24 else number * 3600
    return seconds if 0 <= seconds < 86_401 else None


def _coarse(keyword: str, moment: Moment, part: Part) -> Stamp:
    """A date without a time."""
    if moment.err_s < 2 * DAY_S:
        words = "the header gives the day of observation and no time: 0h UTC is used"
        words = f"{moment.remark}; {words}" if moment.remark else words
        return Stamp(moment, part, keyword, words, DAY_ALONE)
    words = f"{keyword} gives no day: the date is known to {moment.err_s / YEAR_S:.2f} years only"
    return Stamp(moment, Part.MIDDLE, keyword, words, NO_DAY)


def _of_days(header: fits.Header, card: DayCard, place: tuple[float, float] | None) -> Stamp | None:
    """A (modified) Julian date; the light-travel time is taken off one that is told as seen from the Sun."""
    when = from_days(card.value, is_modified=card.is_modified, comment=card.comment)
    if when is None:
        return None
    moment, part = _to_utc(header, Moment(when), scale=card.scale), _said(card.comment, card.part)
    if card.seen_from is SeenFrom.EARTH:
        return Stamp(moment, part, card.keyword, is_counted=True)
    if place is None:
        note = f"{card.keyword} is {card.seen_from} and the header gives no place: the time is known to 8 minutes"
        return Stamp(replace(moment, err_s=300.0), part, card.keyword, note, BY_SUN, is_counted=True)
    earlier = moment.when - timedelta(seconds=light_travel_s(to_mjd(moment.when), *place))
    note = f"the date is from the {card.seen_from} {card.keyword}: the light-travel time was taken off"
    return Stamp(replace(moment, when=earlier, err_s=3.0), part, card.keyword, note, BY_SUN, is_counted=True)


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


def _local(header: fits.Header, clocks: list[TextCard]) -> list[Stamp]:
    """Dates in local time, brought to UTC where the header tells its zone."""
    for card in date_cards(header):
        moment = parse_date(card.value) if card.is_local else None
        if moment is None:
            continue
        if not moment.has_time:
            seconds = next((s for clock in clocks if clock.is_local and (s := _clock(clock)) is not None), None)
            if seconds is not None:
                moment = Moment(moment.when + timedelta(seconds=seconds))
        part = _said(card.comment, card.part or Part.START)
        if not moment.has_time:
            return [replace(_coarse(card.keyword, moment, part), doubt=UNKNOWN_ZONE + DAY_ALONE)]
        if moment.zone_known:
            return [Stamp(moment, part, card.keyword)]
        return [_from_local(header, moment, card.keyword, part)]
    return []


def _from_local(header: fits.Header, moment: Moment, keyword: str, part: Part) -> Stamp:
    """Local time as UTC: hours of the zone count towards the east, as in ISO 8601."""
    for zone in ZONES:
        hours = _zone_hours(header.get(zone))
        if hours is not None and abs(hours) <= LARGEST_ZONE_H:
            when = moment.when - timedelta(hours=hours)
            words = f"{keyword} is local time: {zone} = {hours:g} h was taken off"
            return Stamp(replace(moment, when=when), part, keyword, words, BY_ZONE)
    words = f"{keyword} is local time of an unknown zone: the date is sure to half a day"
    return Stamp(replace(moment, err_s=LOCAL_SIGMA_S), part, keyword, words, UNKNOWN_ZONE)


def _zone_hours(value: object) -> float | None:
    """Hours of a zone, from a number (-7, -0700), ``-07:00`` or ``UTC-7``."""
    number = plain_number(value)
    if number is not None:
        return number if abs(number) <= LARGEST_ZONE_H else int(number / 100) + math.fmod(number, 100) / 60
    if not isinstance(value, str):
        return None
    match = re.fullmatch(r"(?:UTC?|GMT)?\s*([+-]?)(\d{1,2})(?::?(\d{2}))?", value.strip(), re.I)
    if match is None:
        return None
    hours = int(match[2]) + int(match[3] or 0) / 60
    return -hours if match[1] == "-" else hours


def _years(header: fits.Header) -> list[Stamp]:
    """The epoch of observation as a year."""
    for keyword in YEARS_ALONE:
        value = plain_number(header.get(keyword))
        moment = None if value is None or not 1850 < value < 2101 else from_year(value, PLATE_EPOCH_SIGMA_S)
        if moment is not None:
            return [Stamp(moment, Part.MIDDLE, keyword, f"the date is that of {keyword}, a year", BY_PLATE)]
    return []


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


def _said(comment: str, default: Part) -> Part:
    """What the words of a comment say of the part of the exposure."""
    said = [
        part
        for part, words in ((Part.START, _AT_START), (Part.MIDDLE, _AT_MIDDLE), (Part.END, _AT_END))
        if words.search(comment)
    ]
    return said[0] if len(said) == 1 else default


def _to_utc(header: fits.Header, moment: Moment, scale: str | None = None) -> Moment:
    """Take a moment that is not UTC by itself out of the time scale of the header."""
    written = str(header.get("TIMESYS", "UTC")).strip().lower()
    scale = scale or _SCALES.get(re.split(r"[^a-z]", written)[0], "utc")
    if moment.zone_known or scale == "utc" or not moment.has_time:
        return moment
    when = moment.when + timedelta(seconds=GPS_BEHIND_TAI_S if written.startswith("gps") else 0.0)
    shifted = Time(when.replace(tzinfo=None), scale=scale).utc.to_datetime()
    return replace(moment, when=datetime.fromisoformat(str(shifted)).replace(tzinfo=UTC))
