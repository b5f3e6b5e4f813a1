"""The middle of an exposure, in UTC, from the many ways in which headers give a date."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from astropy.io import fits

from astro_shared.fits.date_cards import Part, date_cards
from astro_shared.fits.date_forms import DAY_S, to_mjd
from astro_shared.fits.date_stamps import Stamp, parse_date, stamps_of
from astro_shared.fits.headers import clean_text
from astro_shared.frame_warnings import FrameWarning, WarningCode

__all__ = ["MidExposure", "exposure_span_s", "mid_exposure", "to_julian_year", "to_mjd", "to_text"]


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
    notes: tuple[FrameWarning, ...] = ()


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
    stamps = stamps_of(header, place)
    chosen = next(iter(stamps), None)
    if chosen is None:
        told = f"the header gives no date of observation{_unread(header)}"
        return MidExposure(None, notes=(WarningCode.DATE_UNKNOWN(told),))
    notes = (WarningCode.DATE_INTERPRETED(chosen.note),) if chosen.note else ()
    when, part, err = chosen.moment.when, chosen.part, chosen.moment.err_s
    if part is not Part.MIDDLE and is_stack and (span := _span(stamps)) is not None:
        return MidExposure(span[0] + (span[1] - span[0]) / 2, chosen.keyword, err, notes)
    if part is Part.MIDDLE:
        return MidExposure(when, chosen.keyword, err, notes)
    if exposure_s is None:
        words = WarningCode.EXPOSURE_UNKNOWN(f"the header gives no exposure time: the date is that of the {part.value}")
        return MidExposure(when, chosen.keyword, err, (*notes, words))
    half = timedelta(seconds=exposure_s / 2)
    return MidExposure(when + half if part is Part.START else when - half, chosen.keyword, err, notes)


def _unread(header: fits.Header) -> str:
    """What looks like a date and is none, in brackets."""
    cards = [
        f"{card.keyword} = {clean_text(str(card.value), limit=30)!r} is not understood"
        for card in date_cards(header)
        if str(card.value).strip() and parse_date(card.value) is None
    ]
    if header.get("DATE"):
        cards.append("DATE, when the file was written, does not count")
    return f" ({'; '.join(cards[:3])})" if cards else ""


def exposure_span_s(header: fits.Header) -> float | None:
    """Seconds from the start to the end of the exposure where the header tells both with their times; else None."""
    span = _span(stamps_of(header, None))
    seconds = None if span is None else (span[1] - span[0]).total_seconds()
    return seconds if seconds is not None and 0 < seconds < 30 * DAY_S else None


def to_julian_year(moment: datetime) -> float:
    """Julian year of a UTC moment (the minute between UTC and TDB is ignored)."""
    return 2000.0 + (to_mjd(moment) - 51544.5) / 365.25


def to_text(moment: datetime) -> str:
    """ISO 8601 with milliseconds and Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _span(stamps: list[Stamp]) -> tuple[datetime, datetime] | None:
    """Start and end of the exposure, of the same kind of card where there are several."""
    for is_counted in (False, True):
        ends = [
            next(
                (s.moment.when for s in stamps if s.part is part and s.moment.has_time and s.is_counted is is_counted),
                None,
            )
            for part in (Part.START, Part.END)
        ]
        if ends[0] is not None and ends[1] is not None and ends[1] > ends[0]:
            return ends[0], ends[1]
    return None
