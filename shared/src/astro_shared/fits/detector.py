"""Gain, read noise and saturation in the units of the pixels: ADU, electrons, rates, stacks of frames."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from astro_shared.fits.aliases import QUANTITIES, CardReader
from astro_shared.fits.headers import clean_text
from astro_shared.fits.stacks import Method, Stack, has_own_value
from astro_shared.fits.units import PixelKind, PixelUnit, pixel_unit
from astro_shared.frame_warnings import WarningCode

CAMERA_SETTING_GAIN = 30.0  # a larger whole number in GAIN is the setting of a CMOS camera, not e/ADU
LARGEST_ADU = 70_000.0  # of one exposure: what a converter of 16 bits gives, and a little
UNIT_KEYWORDS = ("BUNIT", "DATAUNIT", "PIXUNIT", "PIXUNITS", "UNITS", "ZUNITS")
FULL_WELLS = ("FULLWELL", "FULL_WEL", "WELLDEPT")  # electrons
INVERSE_GAINS = ("HIERARCH ESO DET OUT1 GAIN", "ADUPERE", "ADU_E", "DNPERE", "INVGAIN")
#: All that says how pixels become electrons.
DETECTOR_KEYWORDS = frozenset(
    keyword.removeprefix("HIERARCH ")
    for keyword in (
        *(key for name in ("gain_e_per_adu", "read_noise_e", "saturation_adu") for key in QUANTITIES[name].keywords),
        *UNIT_KEYWORDS, *FULL_WELLS, *INVERSE_GAINS,
    )
)  # fmt: skip

_E = r"(?:e-?|e\^-|el|elec(?:tron)?s?|photo-?electrons?)"
_ADU = r"(?:adus?|dns?|counts?|cts?|data ?numbers?)"
_PER = r"\s*(?:/|\bper\b)\s*"
_E_PER_ADU = re.compile(rf"\b{_E}{_PER}{_ADU}\b|from {_ADU}s? to {_E}\b", re.I)
_ADU_PER_E = re.compile(rf"\b{_ADU}{_PER}{_E}(?![\w])|from {_E} to {_ADU}\b|\binverse gain\b", re.I)
_DECIBEL = re.compile(r"\bd\.?b\b|decibel", re.I)
_SETTING = re.compile(r"\bsetting|\bISO\b|\bsensor gain|\bcamera gain|\bunitless|\barbitrary|\bgain index", re.I)
_IN_ELECTRONS = re.compile(rf"[\[(]\s*{_E}(?:\s*/\s*pix(?:el)?)?\s*[\])]|\belectrons?\b|\be-(?!\w)|\bin e\b", re.I)
_IN_ADU = re.compile(rf"[\[(]\s*{_ADU}\b|\b(?:adus?|dns?|counts)\b", re.I)
_PER_SECOND = re.compile(r"/\s*s(?:ec(?:ond)?)?\b|\bper s(?:ec(?:ond)?)?\b|s-1|\bcps\b", re.I)


@dataclass(frozen=True)
class Given:
    """What a request gives in place of the header: of one frame, in e/ADU, electrons, units of the pixels."""

    gain_e_per_adu: float | None = None
    read_noise_e: float | None = None
    saturation_adu: float | None = None


@dataclass(frozen=True)
class DetectorFacts:
    """
    Attributes
    ----------
    gain_e_per_unit
        Electrons of the whole exposure in one unit of the pixels.
    read_noise_e
        Of the whole exposure.
    saturation_units
        In units of the pixels.
    """

    gain_e_per_unit: float | None
    read_noise_e: float | None
    saturation_units: float | None


def unit_of_pixels(reader: CardReader) -> PixelUnit:
    """The unit of the pixels, from BUNIT or a card of the same meaning."""
    for keyword in UNIT_KEYWORDS:
        value = reader.header.get(keyword)
        if isinstance(value, str) and value.strip():
            return _with_comment(pixel_unit(value), reader, keyword)
    return PixelUnit("", PixelKind.UNKNOWN)


def _with_comment(unit: PixelUnit, reader: CardReader, keyword: str) -> PixelUnit:
    """The unit, where its comment says that it is one per second; a unit that is not understood is said."""
    if unit.kind is PixelKind.UNKNOWN:
        name = clean_text(unit.text, limit=20)
        told = f"{keyword} = {name!r} is not understood: the pixels are taken as ADU"
        reader.warnings.append(WarningCode.PIXEL_UNIT_UNKNOWN(told))
    is_total = unit.kind in (PixelKind.COUNTS, PixelKind.ELECTRONS) and not unit.per_seconds
    if is_total and _PER_SECOND.search(reader.comment(keyword)):
        return replace(unit, per_seconds=1.0, text=f"{unit.text} per second")
    return unit


def read_detector(
    reader: CardReader, unit: PixelUnit, stack: Stack | None, exposure_s: float | None, given: Given
) -> DetectorFacts:
    """Gain, read noise and saturation of the whole exposure; what was assumed goes to the warnings of the reader.

    Parameters
    ----------
    exposure_s
        Of all frames together.

    Notes
    -----
    Pixels per second count ``exposure / per_seconds`` times their value. A mean of N frames of gain g has N g electrons
    in one ADU and a read noise of sqrt(N) r; a sum has g and sqrt(N) r.
    """
    of_frame = given.gain_e_per_adu or _gain(reader, unit)
    per_unit = _counts_per_unit(reader, unit, exposure_s)
    stacked = 1.0
    if stack is not None and given.gain_e_per_adu is None and not _is_own(reader, "gain_e_per_adu"):
        # the exposure of a rate is that of all frames
        stacked = stack.gain_factor / (stack.frames if unit.per_seconds and stack.method is not Method.SUM else 1)
    if unit.kind is PixelKind.ELECTRONS:
        reader.sources["gain_e_per_adu"] = "BUNIT"
        gain: float | None = per_unit * stacked
    else:
        gain = None if of_frame is None else of_frame * per_unit * stacked
    noise = given.read_noise_e
    if noise is None:
        noise = _read_noise(reader, of_frame)
        if noise is not None and stack is not None and not _is_own(reader, "read_noise_e"):
            noise *= stack.read_noise_factor
    level = given.saturation_adu or _saturation(reader, unit, stack, of_frame, per_unit)
    if stack is not None and unit.kind is not PixelKind.PHYSICAL:
        told = _stack_words(stack, gain, is_own=given.gain_e_per_adu is not None or stacked == 1.0)
        reader.warnings.append(WarningCode.FRAME_IS_STACK(told))
    return DetectorFacts(gain, noise, level)


def _counts_per_unit(reader: CardReader, unit: PixelUnit, exposure_s: float | None) -> float:
    """ADU (or electrons) of the whole exposure in one unit of the pixels."""
    if not unit.per_seconds or unit.kind not in (PixelKind.COUNTS, PixelKind.ELECTRONS):
        return 1.0
    name = clean_text(unit.text, limit=20)
    if exposure_s is None:
        reader.warnings.append(
            WarningCode.EXPOSURE_UNKNOWN(
                f"the pixels are in {name} and the exposure is not known: they are taken for those of 1 s"
            )
        )
        return 1.0
    told = f"the pixels are in {name}: they were multiplied by the exposure of {exposure_s:g} s"
    reader.warnings.append(WarningCode.PIXELS_PER_SECOND(told))
    return exposure_s / unit.per_seconds


def _gain(reader: CardReader, unit: PixelUnit) -> float | None:
    """Electrons per ADU of one frame, as the header tells it."""
    if unit.kind is PixelKind.PHYSICAL:
        name = clean_text(unit.text, limit=20)
        told = f"the pixels are in {name}: the gain of the header is not used"
        reader.warnings.append(WarningCode.PIXELS_IN_PHYSICAL_UNIT(told))
        return None
    plain, exact = reader.value("GAIN"), reader.value("EGAIN")
    words = reader.comment("GAIN")
    settings = {key for key in QUANTITIES["gain_e_per_adu"].keywords if _is_setting(reader, key)}
    if plain and exact and exact > 0 and plain > 0 and abs(plain / exact - 1) > 0.05:
        inverse = abs(plain * exact - 1) < 0.03 or _ADU_PER_E.search(words)
        if not inverse:
            told = f"GAIN = {plain:g} and EGAIN = {exact:g} e/ADU differ: EGAIN is used"
            reader.warnings.append(WarningCode.GAIN_AMBIGUOUS(told))
        reader.sources["gain_e_per_adu"] = "EGAIN"
        return exact
    for key in settings:
        if key == "GAIN" and exact is None:
            told = f"GAIN = {plain:g} looks like the setting of a camera, not e/ADU: it is not used"
            reader.warnings.append(WarningCode.GAIN_AMBIGUOUS(told))
    keywords = (*QUANTITIES["gain_e_per_adu"].keywords, *INVERSE_GAINS)
    inverted = {key: reader.value(key) for key in keywords if _is_inverse(reader, key)}
    factors = {key: value**-2 for key, value in inverted.items() if value}
    shown = CardReader(reader.header)
    shown.header = reader.header.copy() if settings else reader.header
    for key in settings:
        shown.header.remove(key, remove_all=True)
    gain = shown.number("gain_e_per_adu", factors)
    reader.sources |= shown.sources
    reader.warnings += shown.warnings
    source = reader.sources.get("gain_e_per_adu", "")
    if gain is None:
        for key in INVERSE_GAINS:
            if (value := reader.value(key)) and value > 0:
                reader.sources["gain_e_per_adu"] = key
                return 1.0 / value
    if source in factors:
        told = f"{source} = {inverted[source]:g} is in ADU per electron: the gain is {gain:g} e/ADU"
        reader.warnings.append(WarningCode.GAIN_AMBIGUOUS(told))
    return gain


def _is_inverse(reader: CardReader, keyword: str) -> bool:
    """Whether the comment of a gain says ADU per electron."""
    words = reader.comment(keyword)
    return keyword not in INVERSE_GAINS and bool(_ADU_PER_E.search(words)) and not _E_PER_ADU.search(words)


def _is_setting(reader: CardReader, keyword: str) -> bool:
    """Whether a gain is what the camera was set to, in its own steps."""
    value, words = reader.value(keyword), reader.comment(keyword)
    if value is None or keyword != "GAIN" or _E_PER_ADU.search(words) or _ADU_PER_E.search(words):
        return False
    is_step = value == int(value) and (value > CAMERA_SETTING_GAIN or bool(_SETTING.search(words)))
    return is_step or bool(_DECIBEL.search(words))


def _read_noise(reader: CardReader, gain: float | None) -> float | None:
    """Electrons, of one frame."""
    noise = reader.number("read_noise_e")
    if noise is None or not gain:
        return noise
    words = reader.comment(reader.sources["read_noise_e"])
    if _IN_ADU.search(words) and not _IN_ELECTRONS.search(words) and not _E_PER_ADU.search(words):
        return noise * gain
    return noise


def _saturation(
    reader: CardReader, unit: PixelUnit, stack: Stack | None, gain: float | None, counts_per_unit: float
) -> float | None:
    """In units of the pixels. A card that names no unit is in that of the pixels, unless no converter reaches that far."""
    level = reader.number("saturation_adu")
    source = reader.sources.get("saturation_adu", "")
    if level is None:
        source, level = next(((key, v) for key in FULL_WELLS if (v := reader.value(key)) and v > 0), ("", None))
    if level is None:
        return None
    reader.sources["saturation_adu"] = source
    words = reader.comment(source)
    grown = stack.level_factor if stack is not None else 1.0
    in_electrons = (_IN_ELECTRONS.search(words) or source in FULL_WELLS) and not _IN_ADU.search(words)
    if in_electrons and unit.kind is not PixelKind.ELECTRONS:
        if not gain:
            told = f"{source} = {level:g} is in electrons and the gain is not known: it is not used"
            reader.warnings.append(WarningCode.SATURATION_AMBIGUOUS(told))
            return None
        level /= gain
        return level * grown / counts_per_unit
    if _IN_ADU.search(words) and unit.kind is PixelKind.ELECTRONS and gain:
        level *= gain
        return level / counts_per_unit
    beyond = unit.kind is PixelKind.COUNTS and level * counts_per_unit > LARGEST_ADU * grown
    beyond = beyond or bool(_IN_ADU.search(words))
    if counts_per_unit != 1.0 and beyond and not _PER_SECOND.search(words):
        told = f"{source} = {level:g} is taken as ADU of the exposure: the pixels are per second"
        reader.warnings.append(WarningCode.SATURATION_AMBIGUOUS(told))
        return level * grown / counts_per_unit
    return level * grown if stack is not None and stack.method is Method.SUM and level < LARGEST_ADU else level


def _is_own(reader: CardReader, name: str) -> bool:
    """Whether the header's value is that of the stack itself."""
    source = reader.sources.get(name, "")
    return has_own_value(reader.comment(source)) or "EFF" in source


def _stack_words(stack: Stack, gain: float | None, *, is_own: bool) -> str:
    """What was made of a stack, for people."""
    reason = stack.reason or "assumed: the header does not say how"
    made = f"a {stack.method}" if stack.is_stated else f"a {stack.method} ({reason})"
    of = "" if gain is None else f", with {gain:g} electrons in one unit of the pixels"
    own = (
        " (the gain is taken as that of the stack)"
        if is_own and gain is not None and stack.method is not Method.SUM
        else ""
    )
    return f"{stack.keyword} = {stack.frames}: the image is {made} of so many frames{of}{own}"
