"""Units as people write them: behind a number, in the comment of a card, or as the unit of the pixels."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum

from astro_shared.fits.pointing import sexagesimal

SECONDS_PER: dict[str, float] = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "cs": 1e-2, "ds": 0.1, "s": 1.0, "min": 60.0,
                                 "h": 3600.0, "d": 86400.0}  # fmt: skip

_TIME_WORDS = {
    "ns": r"ns(?:ec)?s?|nano-?\s?sec(?:ond)?s?",
    "us": r"(?:[uµμ]|\?{1,2})s(?:ec)?s?|micro-?\s?sec(?:ond)?s?",
    "ms": r"ms(?:ec)?s?|milli-?\s?sec(?:ond)?s?|1/1000\s*(?:s|sec(?:ond)?s?)?|thousandths?(?:\s+of\s+a\s+second)?",
    "cs": r"cs(?:ec)?|centi-?\s?sec(?:ond)?s?|1/100\s*(?:s|sec(?:ond)?s?)|hundredths?(?:\s+of\s+a\s+second)?",
    "ds": r"ds(?:ec)?|deci-?\s?sec(?:ond)?s?|1/10\s*(?:s|sec(?:ond)?s?)|tenths?(?:\s+of\s+a\s+second)?",
    "s": r"s|secs?|seconds?",
    "min": r"m|mins?|minutes?",
    "h": r"h|hrs?|hours?",
    "d": r"d|days?",
}
_ANY_TIME = "|".join(f"(?P<{unit}>{words})" for unit, words in _TIME_WORDS.items())
_LONG_TIME = "|".join(
    f"(?P<{unit}>{words})" for unit, words in {
        **_TIME_WORDS, "us": r"usecs?|micro-?\s?sec(?:ond)?s?", "ns": r"nsecs?|nano-?\s?sec(?:ond)?s?",
        "ms": r"ms|msecs?|milli-?\s?sec(?:ond)?s?|1/1000\s*s(?:ec(?:ond)?s?)?|thousandths\s+of\s+a\s+second",
        "cs": r"csecs?|centi-?\s?sec(?:ond)?s?|1/100\s*s(?:ec(?:ond)?s?)?|hundredths\s+of\s+a\s+second",
        "ds": r"dsecs?|deci-?\s?sec(?:ond)?s?|1/10\s*s(?:ec(?:ond)?s?)?|tenths\s+of\s+a\s+second",
        "s": r"secs?|seconds?", "min": r"mins|minutes?", "h": r"hrs|hours?", "d": r"days",
    }.items()
)  # fmt: skip
#: Where the unit of a time stands in a comment, the surest place first.
_TIME_PLACES = (
    re.compile(rf"[\[(]\s*(?:in\s+|units?[:=]?\s*)?(?:{_ANY_TIME})\.?\s*[\])]", re.I),
    re.compile(rf"(?:\bin|\bunits?\s*(?:is|are|[:=])?|[,;:=])\s+(?:{_ANY_TIME})\.?(?=$|[\s,;)])", re.I),
    re.compile(rf"(?<![A-Za-z0-9/])(?:{_LONG_TIME})\b", re.I),
    re.compile(rf"^\s*(?:{_ANY_TIME})\.?\s*$", re.I),
)
_NUMBER_UNIT = re.compile(rf"\s*([+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eEdD][+-]?\d+)?)\s*(?:{_ANY_TIME})\.?\s*", re.I)
_FRACTION = re.compile(r"\s*(\d+(?:\.\d*)?)\s*/\s*(\d+(?:\.\d*)?)\s*(?:s|sec(?:ond)?s?)?\s*", re.I)
_FORTRAN = re.compile(r"\s*([+-]?(?:\d+[.,]?\d*|[.,]\d+))(?:[eEdD]([+-]?\d+))?\s*")


def plain_number(value: object) -> float | None:
    """A finite number from a card: a number, or a text that holds one and nothing else (comma, Fortran's ``D``)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str):
        match = _FORTRAN.fullmatch(value)
        if match is None:
            return None
        value = f"{match[1].replace(',', '.')}e{match[2] or 0}"
    number = float(value)
    return number if math.isfinite(number) else None


def time_unit(comment: str) -> str | None:
    """The unit of time that a comment names (a key of `SECONDS_PER`), or None.

    Notes
    -----
    Brackets go before ``in ms``, that before words anywhere; of several words the first counts. Single letters count
    in brackets, behind ``in`` or a comma, and alone.
    """
    for place in _TIME_PLACES:
        match = place.search(comment)
        if match is not None:
            return match.lastgroup
    return None


def seconds(value: object, comment: str) -> tuple[float | None, str | None]:
    """A duration in seconds, and the unit that card or value name; None for the unit where they name none."""
    if isinstance(value, str):
        if match := _NUMBER_UNIT.fullmatch(value):
            number, behind = plain_number(match[1]), match.lastgroup or "s"
            return (None if number is None else number * SECONDS_PER[behind]), behind
        if (match := _FRACTION.fullmatch(value)) and float(match[2]) > 0:
            return float(match[1]) / float(match[2]), "s"
        if value.count(":") == 2 and (hours := sexagesimal(value)) is not None:
            return hours * 3600.0, "h:m:s"
    number, unit = plain_number(value), time_unit(comment)
    return (None if number is None else number * SECONDS_PER[unit or "s"]), unit


class PixelKind(StrEnum):
    """What the pixels count."""

    COUNTS = "counts"
    ELECTRONS = "electrons"
    PHYSICAL = "physical"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class PixelUnit:
    """The unit of the pixels.

    Attributes
    ----------
    text
        As the header writes it, without quotes and blanks around it.
    per_seconds
        Seconds of its denominator: 1 for ADU/s; 0 where it is no rate.
    """

    text: str
    kind: PixelKind
    per_seconds: float = 0.0


_COUNT = r"adus?|a\.?d\.?u\.?|dns?|counts?|cnts?|cts?|data\s*numbers?|digital\s*numbers?|digital\s*units?"
_ELECTRON = r"e-?|e\^-|el|electrons?|photo-?\s?electrons?|e-\(?count\)?|photons?|ph"
_TIME = r"(?:(?P<s>s|secs?|seconds?)|(?P<ms>ms|msecs?)|(?P<min>mins?|minutes?)|(?P<h>h|hrs?|hours?))"
_RATE = re.compile(
    rf"(?:(?P<count>{_COUNT})|(?P<electron>{_ELECTRON}))"
    rf"(?:\s*(?:/|\bper\b)\s*(?:pix(?:el)?s?)(?=\W|$))?"
    rf"(?:\s*(?:/|\bper\b)\s*{_TIME}|[\s.*]*{_TIME.replace('P<', 'P<i')}\s*\(?\s*(?:\*\*|\^)?\s*\(?-1\)?)?"
    rf"(?:\s*(?:/|\bper\b)\s*(?:pix(?:el)?s?)|[\s.*]*pix(?:el)?s?\s*(?:\*\*|\^)?-1)?",
    re.I,
)
_BRACKETED = re.compile(r"\(\s*([\w-]+)\s*\)(?!\s*-?\d)")  # (ADU)/(s)
_RATE_NAMES = re.compile(
    r"(?P<count>cps|counts?\s*rate|c/s|du/s|1?\s*/\s*s(?:ec)?|s(?:\*\*|\^)?-1|hz)|(?P<electron>eps|electrons?\s*rate)",
    re.I,
)
_PHYSICAL = re.compile(
    r"jy|magg(?:y|ies)|erg|flam|fnu|\bw\b|w/m|watt|mag\b|\bk\b|\bkelvin|rayleigh|\br\b|arcsec|/\s*sr|ergs?|surface",
    re.I,
)


def pixel_unit(text: str) -> PixelUnit:
    """What a text such as ``ADU/s``, ``DN s-1``, ``e-/sec``, ``cps`` or ``MJy/sr`` says of the pixels."""
    plain = text.strip().strip("'\"[]").replace("{", "(").replace("}", ")").strip()
    if plain.startswith("(") and plain.endswith(")") and plain.count("(") == 1:
        plain = plain[1:-1].strip()
    match = _RATE.fullmatch(_BRACKETED.sub(r"\1", plain))
    if match is not None:
        kind = PixelKind.COUNTS if match["count"] else PixelKind.ELECTRONS
        unit = next((u for u in ("s", "ms", "min", "h") if match[u] or match[f"i{u}"]), None)
        return PixelUnit(plain, kind, SECONDS_PER[unit] if unit else 0.0)
    match = _RATE_NAMES.fullmatch(plain)
    if match is not None:
        return PixelUnit(plain, PixelKind.COUNTS if match["count"] else PixelKind.ELECTRONS, 1.0)
    return PixelUnit(plain, PixelKind.PHYSICAL if _PHYSICAL.search(plain) else PixelKind.UNKNOWN)
