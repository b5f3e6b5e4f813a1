"""How long an exposure was, in seconds, from headers that name another unit, none, or contradict themselves."""

from __future__ import annotations

import re
from dataclasses import dataclass

from astropy.io import fits

from astro_shared.fits.headers import clean_text
from astro_shared.fits.units import SECONDS_PER, seconds
from astro_shared.frame_warnings import FrameWarning, WarningCode

#: Keywords of the exposure time, the first that holds a believable value wins.
EXPOSURE_KEYWORDS = (
    "EXPTIME", "EXPOSURE", "EXP_TIME", "EXP-TIME", "ITIME", "TEXPTIME", "XPOSURE", "EXPDUR", "ETIMEAVE", "ONTIME", "EXPTIM",
    "EXPOS", "EXPT", "TEXP", "EXP", "INTTIME", "INT_TIME", "INTEG", "EXPOSED", "HIERARCH EXPOSURE_TIME",
    "HIERARCH EXPOSURETIME", "EXPTM", "EXPO", "INTTM", "TEXPOSUR", "SHUTTER", "HIERARCH ESO DET WIN1 DIT1",
    "HIERARCH ESO DET DIT", "HIERARCH ESO DET EXP TIME", "TELAPSE", "ELAPTIME", "ELAPSED",
)  # fmt: skip
#: Keywords that name their own unit, without hyphens and underscores (``EXP_MS``, ``EXPOSURE-TIME-US``, ``INTMSEC``).
_NAMED_UNIT = re.compile(
    r"(?:EXP|EXPO|EXPOS|EXPOSURE|EXPT|EXPTM|EXPTI|EXPTIM|EXPTIME|EXPOSURETIME|ITIME|INT|INTT|INTTIM|INTTIME|"
    r"INTEG|INTEGRATIONTIME|TEXP|SHUTTER)"
    r"(?:(?P<ms>(?<=EXPTIME)M|MS|MSEC|MILLIS|MILLISECONDS)|(?P<us>US|USEC|MICROS|MICROSECONDS)|(?P<ns>NS|NSEC)|(?P<s>S|SEC|SECS|SECONDS)|"
    r"(?P<min>MIN|MINUTES)|(?P<h>HR|HOURS))"
)
#: Keywords that mean the same: a difference between them is worth a word.
SAME = (
    "EXPTIME",
    "EXPOSURE",
    "EXP_TIME",
    "EXP-TIME",
    "XPOSURE",
    "EXP",
    "HIERARCH EXPOSURE_TIME",
    "HIERARCH EXPOSURETIME",
)

SHORTEST_S, LONGEST_S = 1e-6, 1e7
LONGEST_SINGLE_S = 20_000.0  # nobody exposes a single frame for longer; a number beyond without a unit is no second
AGREES = 0.02
FITS_SPAN = (0.2, 1.1)  # share of the time between start and end that an exposure takes
ROUNDING_S = 2.0  # of dates that are written in whole seconds

_TOTAL = re.compile(r"\btotal|\bsum|\bcombined|\bintegrated|\beffective|\ball\b|\bcoadd", re.I)


@dataclass(frozen=True)
class ExposureTime:
    """
    Attributes
    ----------
    seconds
        None where nothing believable is told.
    keyword
        That it is from.
    comment
        Of the card.
    notes
        Sentences for people.
    """

    seconds: float | None
    keyword: str = ""
    comment: str = ""
    notes: tuple[FrameWarning, ...] = ()


@dataclass(frozen=True)
class _Told:
    """One card: seconds as it says; the bare number; the unit named, None where none is."""

    keyword: str
    comment: str
    seconds: float
    number: float
    unit: str | None


def read_exposure_time(header: fits.Header, span_s: float | None = None, *, frames: int = 1) -> ExposureTime:
    """The exposure time of a header.

    Parameters
    ----------
    span_s
        From the start to the end of the exposure, where the header tells both.
    frames
        Number of frames in the image: a total may be long, and differ from that of one frame.

    Notes
    -----
    A unit in the comment or behind the number is obeyed. Without one the number counts seconds, unless another card of
    the header, or the time between start and end, shows that it counts another unit. A number beyond 20,000 without a
    unit or a stack that would explain it is not believed.
    """
    told = _cards(header)
    notes = [
        WarningCode.HEADER_VALUE_REJECTED(f"{card.keyword} = {card.number:g} in the header is not believed")
        for card in told
        if not _is_possible(card)
    ]
    told = [card for card in told if _is_possible(card) and card.number]
    if not told:
        unread = [
            WarningCode.HEADER_VALUE_REJECTED(
                f"{key} = {clean_text(header[key], limit=30)!r} in the header is not understood"
            )
            for key in SAME
            if isinstance(header.get(key), str) and header[key].strip() and seconds(header[key], "")[0] is None
        ]
        return ExposureTime(None, notes=(*notes, *unread))
    first, peers = told[0], told[1:]
    found, why = _by_peers(first, peers, frames) or _by_span(first, span_s) or (first.seconds, "")
    if why:
        notes.append(WarningCode.EXPOSURE_AMBIGUOUS(why))
    elif _is_too_long(first, span_s, frames):
        told_why = (
            f"{first.keyword} = {first.number:g} names no unit and is too long for seconds: it is not believed, magnitudes "
            "are for 1 s (set input.exposure_s)"
        )
        notes.append(WarningCode.EXPOSURE_UNKNOWN(told_why))
        return ExposureTime(None, first.keyword, first.comment, tuple(notes))
    else:
        notes += _differences(first, peers, frames)
    return ExposureTime(found, first.keyword, first.comment, tuple(notes))


def _cards(header: fits.Header) -> list[_Told]:
    """The cards that hold a duration, in the order of the table."""
    found = []
    named = {
        key: match.lastgroup for key in header if (match := _NAMED_UNIT.fullmatch(re.sub("[-_ ]", "", key.upper())))
    }
    for keyword in (*EXPOSURE_KEYWORDS, *(key for key in named if key not in EXPOSURE_KEYWORDS)):
        if keyword not in header:
            continue
        comment = str(header.comments[keyword])
        duration, unit = seconds(header[keyword], comment)
        if duration is None:
            continue
        number = duration / SECONDS_PER.get(unit or "s", 1.0)
        if unit is None and keyword not in EXPOSURE_KEYWORDS and (unit := named[keyword]) is not None:
            duration = number * SECONDS_PER[unit]
        found.append(_Told(keyword, comment, duration, number, unit))
    return found


def _is_possible(card: _Told) -> bool:
    """Whether a card can be an exposure time, in some unit if it names none; 0 is none, and no fault."""
    return card.number == 0 or SHORTEST_S <= card.seconds <= (LONGEST_S if card.unit else LONGEST_S / SECONDS_PER["us"])


def _by_peers(first: _Told, peers: list[_Told], frames: int) -> tuple[float, str] | None:
    """The unit of the first card as others show it: by their unit, or by a ratio that only a unit explains."""
    for peer in peers:
        if first.unit is None and peer.unit is not None:
            for unit, factor in SECONDS_PER.items():
                if _near(first.number * factor, peer.seconds):
                    return first.number * factor, "" if unit == "s" else _taken(first, unit, f"{peer.keyword} shows it")
    for peer in peers:
        ratio = first.seconds / peer.seconds
        if (
            peer.keyword not in SAME
            or first.keyword not in SAME
            or (frames > 1 and _near(max(ratio, 1 / ratio), frames))
        ):
            continue
        for unit in ("ms", "us", "min", "h", "d"):
            factor = SECONDS_PER[unit]
            if _near(first.seconds * factor, peer.seconds) and (first.unit is None or first.seconds > LONGEST_SINGLE_S):
                return peer.seconds, _taken(first, unit, f"{peer.keyword} = {peer.number:g} shows it")
            if _near(peer.seconds * factor, first.seconds) and first.unit is None and peer.unit is None:
                return first.seconds, (
                    f"{first.keyword} = {first.number:g} and {peer.keyword} = {peer.number:g} differ as s and {unit} do: "
                    f"{first.seconds:g} s are used"
                )
    return None


def _by_span(first: _Told, span_s: float | None) -> tuple[float, str] | None:
    """The unit of the first card as the time between start and end shows it."""
    if span_s is None or span_s <= 0:
        return None
    reason = f"start and end of the exposure are {span_s:g} s apart"
    if first.seconds > FITS_SPAN[1] * span_s + ROUNDING_S:
        for unit in ("ms", "us"):
            shorter = first.seconds * SECONDS_PER[unit]
            if FITS_SPAN[0] * span_s <= shorter <= FITS_SPAN[1] * span_s + ROUNDING_S:
                return shorter, _taken(first, unit, reason)
        return first.seconds, f"{first.keyword} = {first.seconds:g} s is used, although {reason}"
    if first.unit is None and span_s > 3 * ROUNDING_S:
        for unit in ("min", "h"):
            if abs(first.seconds * SECONDS_PER[unit] / span_s - 1) < AGREES:
                return first.seconds * SECONDS_PER[unit], _taken(first, unit, reason)
    return None


def _is_too_long(first: _Told, span_s: float | None, frames: int) -> bool:
    """Whether a number without a unit cannot be seconds of a frame."""
    if first.seconds > LONGEST_S:
        return True
    explained = frames > 1 or _TOTAL.search(first.comment) or (span_s is not None and span_s > 0.9 * first.seconds)
    return first.unit is None and first.seconds > LONGEST_SINGLE_S and not explained


def _differences(first: _Told, peers: list[_Told], frames: int) -> list[FrameWarning]:
    """Words where cards of the same meaning differ."""
    return [
        WarningCode.EXPOSURE_AMBIGUOUS(
            f"{first.keyword} = {first.seconds:g} s and {peer.keyword} = {peer.seconds:g} s differ: {first.keyword} is used"
        )
        for peer in peers
        if first.keyword in SAME and peer.keyword in SAME and abs(first.seconds / peer.seconds - 1) > 0.05
        and not (frames > 1 and _near(max(first.seconds, peer.seconds) / min(first.seconds, peer.seconds), frames))
    ]  # fmt: skip


def _taken(card: _Told, unit: str, reason: str) -> str:
    found = f"{card.number * SECONDS_PER[unit]:g} s"
    return f"{card.keyword} = {card.number:g} is taken as {unit} ({found}): {reason}"


def _near(value: float, other: float) -> bool:
    return abs(value / other - 1) < AGREES
