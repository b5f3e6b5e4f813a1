"""An exposure as one image: overscan off, trimmed, amplifiers joined, masters applied.

What comes out is again a `RawFrame` in ADU with a header that describes it (gain 1 for a mosaic, whose amplifiers were
brought to electrons by their own gains), so that everything after it is the same for simple files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf, isfinite
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from astro_shared.contracts.settings import InputSettings
from astro_shared.errors import InvalidRequestError
from astro_shared.fits import FitsFile, RawFrame, check_image, open_fits
from astro_shared.fits.detector import DETECTOR_KEYWORDS
from astro_shared.fits.headers import names_of
from astro_shared.fits.keywords import FrameFacts, frame_facts
from astro_shared.fits.stacks import stack_keywords
from astro_shared.fits.units import plain_number
from astro_shared.frame_warnings import FrameWarning, WarningCode
from photometry_service.adapters.master_files import read_master
from photometry_service.algorithms.detector import (
    Amplifier,
    CalibratedImage,
    DetectorSection,
    MasterFrame,
    MasterKind,
    apply_calibration,
    find_saturation,
    join_amplifiers,
    level_saturated,
    parse_section,
    subtract_overscan,
    trim,
)

__all__ = ["Exposure", "read_calibration_frames", "read_exposure"]

SECTIONS = ("BIASSEC", "TRIMSEC", "DATASEC", "DETSEC", "CCDSEC", "AMPSEC")
SKY = ("CTYPE", "CRVAL", "CRPIX", "CUNIT", "CDELT", "CROTA", "CD1_", "CD2_", "PC1_", "PC2_", "PV1_", "PV2_")
ASSUMED_READ_NOISE_E = 10.0
NO_DETSEC = "hdu = all joins amplifiers by their DETSEC, which no image of this file has: name one HDU instead."


@dataclass(frozen=True, eq=False)
class Exposure:
    """
    Attributes
    ----------
    raw : the image in ADU of ``raw.header``
    variance : (ny, nx), ADU^2 of the same unit, from masters and amplifiers; None when there was no calibration
    settings : what of the request's input section still holds
    """

    raw: RawFrame
    variance: NDArray[np.float32] | None
    settings: InputSettings


class MosaicError(InvalidRequestError):
    """The file is not a mosaic of amplifiers."""

    code = "mosaic_invalid"


def read_exposure(path: Path, settings: InputSettings, masters: Mapping[MasterKind, Path] | None = None) -> Exposure:
    """Read the image that ``settings.hdu`` names, or all amplifiers as one.

    Parameters
    ----------
    masters : master frames, untrimmed as the raw image or trimmed as its result

    Raises
    ------
    FitsError, SectionError, CalibrationError, MosaicError
    """
    masters = masters or {}
    with open_fits(path) as file:
        if settings.hdu == "all" and len(file.report.images) > 1:
            return _mosaic(file, settings, masters)
        hdu = settings.hdu if isinstance(settings.hdu, int) else None
        plain = not masters and not settings.overscan
        raw = file.read(hdu, mask_hdu=settings.mask_hdu, mask_bits=settings.mask_bits, check=plain)
    if plain:
        return Exposure(raw, None, settings)
    raw, section = _without_overscan(raw) if settings.overscan else (raw, None)
    if not masters:
        check_image(raw.data, raw.mask)
        return Exposure(raw, None, settings)
    return _calibrated(raw, settings, _read_masters(masters, raw, section))


def read_calibration_frames(path: Path, settings: InputSettings) -> dict[int, RawFrame]:
    """The raw images of a calibration frame, prepared as those of an exposure are before masters are applied.

    Returns
    -------
    By HDU; one image under 0 unless ``settings.hdu`` is ``all``.

    Raises
    ------
    FitsError, SectionError, MosaicError
    """
    with open_fits(path) as file:
        if settings.hdu == "all" and len(file.report.images) > 1:
            raws = {image.index: file.read(image.index, check=False) for image in file.report.images}
            places = {index: parse_section(raw.header.get("DETSEC")) for index, raw in raws.items()}
            if not any(places.values()):
                raise MosaicError(NO_DETSEC, images=len(raws))
            return {index: _without_overscan(raws[index], place)[0] for index, place in places.items() if place}
        hdu = settings.hdu if isinstance(settings.hdu, int) else None
        raw = file.read(hdu, mask_hdu=settings.mask_hdu, mask_bits=settings.mask_bits, check=False)
    return {0: _without_overscan(raw)[0] if settings.overscan else raw}


def _without_overscan(raw: RawFrame, place: DetectorSection | None = None) -> tuple[RawFrame, DetectorSection | None]:
    """The image minus the level of its overscan, cut to its data; and the cut."""
    data = raw.data
    notes = []
    bias = parse_section(raw.header.get("BIASSEC"))
    if bias is not None and bias.inside(raw.shape):
        data, level = subtract_overscan(data, bias)
        told = f"an overscan of {np.median(level):.1f} ADU was taken off"
        notes.append(WarningCode.OVERSCAN_SUBTRACTED(told))
    else:
        notes.append(WarningCode.OVERSCAN_MISSING("there is no usable BIASSEC: no overscan was taken off"))
    section = _data_section(raw, place)
    header = raw.header.copy()
    mask = raw.mask
    if section is not None and section.shape != raw.shape:
        data, mask = (np.asarray(trim(plane, section)) for plane in (data, mask))
        _shift(header, -section.x0, -section.y0)
    for name in SECTIONS:
        header.remove(name, ignore_missing=True)
    header["NAXIS1"], header["NAXIS2"] = data.shape[1], data.shape[0]
    shape = (data.shape[0], data.shape[1])
    trimmed = replace(
        raw, data=np.ascontiguousarray(data, np.float32), mask=mask, header=header, shape=shape,
        warnings=(*raw.warnings, *notes),
    )  # fmt: skip
    return trimmed, section


def _data_section(raw: RawFrame, place: DetectorSection | None) -> DetectorSection | None:
    """TRIMSEC or DATASEC, whichever fits the image (a card inherited from the primary header may not)."""
    for name in ("TRIMSEC", "DATASEC"):
        section = parse_section(raw.header.get(name))
        if section is None or not section.inside(raw.shape):
            continue
        if place is None or all(whole % part == 0 for whole, part in zip(place.shape, section.shape, strict=True)):
            return section
    return None


def _read_masters(
    paths: Mapping[MasterKind, Path], raw: RawFrame, section: DetectorSection | None, hdu: int | None = None
) -> dict[MasterKind, MasterFrame]:
    masters = {}
    for kind, path in paths.items():
        master = read_master(path, kind, hdu=hdu, with_bias=MasterKind.BIAS in paths)
        if section is not None and master.data.shape != raw.shape and section.inside(master.data.shape):
            data, variance, mask = (np.asarray(trim(p, section)) for p in (master.data, master.variance, master.mask))
            master = replace(master, data=data, variance=variance, mask=mask)
        masters[kind] = _normalised(master) if kind is MasterKind.FLAT else master
    return masters


def _normalised(flat: MasterFrame) -> MasterFrame:
    """A flat whose median is 1."""
    if flat.mask.all():
        return flat
    level = float(np.median(flat.data[~flat.mask]))
    if not level > 0:
        raise MosaicError(f"the flat has a median of {level:.3g}: it cannot be divided by")
    return replace(flat, data=flat.data / np.float32(level), variance=flat.variance / np.float32(level**2))


def _calibrated(raw: RawFrame, settings: InputSettings, masters: Mapping[MasterKind, MasterFrame]) -> Exposure:
    facts = frame_facts(raw.header, settings)
    done, notes = _apply(raw, facts, settings, masters)
    gain, level = facts.gain_e_per_adu or 1.0, _saturation_e(done)
    _level(done.data, done.saturated, level)
    data = done.data / np.float32(gain)
    check_image(data, done.mask)
    left = settings.model_copy(update={"saturation_adu": level / gain}) if isfinite(level) else settings
    names = ", ".join(sorted(masters))
    applied = WarningCode.MASTERS_APPLIED(f"calibrated with the master {names}")
    warnings = (*raw.warnings, *notes, *done.warnings, applied)
    variance = (done.variance / np.float32(gain**2)).astype(np.float32)
    calibrated = replace(raw, data=data, mask=done.mask, warnings=warnings, shape=data.shape)
    return Exposure(calibrated, variance, left)


def _apply(
    raw: RawFrame, facts: FrameFacts, settings: InputSettings, masters: Mapping[MasterKind, MasterFrame]
) -> tuple[CalibratedImage, tuple[FrameWarning, ...]]:
    """The calibrated image in electrons, and what there is to say of its saturation, which the raw pixels tell best."""
    found = find_saturation(raw.data, raw.mask, facts.saturation_adu, given=settings.saturation_adu)
    done = apply_calibration(
        level_saturated(raw.data, found), raw.mask, gain_e_per_adu=facts.gain_e_per_adu or 1.0,
        read_noise_e=ASSUMED_READ_NOISE_E if facts.read_noise_e is None else facts.read_noise_e,
        exposure_s=facts.exposure_s, saturation_adu=found.level,
        bias=masters.get(MasterKind.BIAS), dark=masters.get(MasterKind.DARK), flat=masters.get(MasterKind.FLAT),
    )  # fmt: skip
    return done, found.sentences


def _saturation_e(done: CalibratedImage) -> float:
    """The highest value of a saturated pixel: the flat field has bent the level. Without one, where it would be."""
    return float(done.data[done.saturated].max()) if done.saturated.any() else done.saturation_e


def _level(data: NDArray[np.float32], saturated: NDArray[np.bool_], level: float) -> None:
    """Put saturated pixels to one level, in place, so that one number tells them."""
    data[saturated] = np.float32(level)


def _mosaic(file: FitsFile, settings: InputSettings, masters: Mapping[MasterKind, Path]) -> Exposure:
    """Every amplifier to electrons by its own overscan and gain, then side by side."""
    parts, raws, facts, full, levels = [], [], [], [], []
    for image in file.report.images:
        raw = file.read(image.index, check=False)
        place = parse_section(raw.header.get("DETSEC"))
        if place is None:
            continue
        trimmed, section = _without_overscan(raw, place)
        own = _read_masters(masters, trimmed, section, image.index) if masters else {}
        told = frame_facts(trimmed.header, settings)
        done, notes = _apply(trimmed, told, settings, own)
        parts.append(Amplifier(done.data, done.variance, done.mask, place))
        full.append(done.saturated)
        levels.append(_saturation_e(done))
        facts.append(told)
        raws.append(replace(trimmed, warnings=(*trimmed.warnings, *told.warnings, *notes)))
    if not parts:
        raise MosaicError(NO_DETSEC, images=len(file.report.images))
    highest = max((level for level in levels if isfinite(level)), default=inf)
    for part, saturated in zip(parts, full, strict=True):
        _level(part.data, saturated, highest)
    joined = join_amplifiers(parts)
    header = _mosaic_header(raws[0], parts[0], joined)
    gains = [fact.gain_e_per_adu for fact in facts]
    if all(gain is not None for gain in gains):
        header["GAIN"] = 1.0
    if facts[0].exposure_s is not None:
        header["EXPTIME"] = (facts[0].exposure_s, "[s]")
    noises = [fact.read_noise_e for fact in facts if fact.read_noise_e is not None]
    if len(noises) == len(facts):
        header["RDNOISE"] = float(np.sqrt(np.mean(np.square(noises))))
    if isfinite(highest):
        header["SATURATE"] = highest
    check_image(joined.data, joined.mask)
    listed = ", ".join("?" if gain is None else f"{gain:g}" for gain in gains)
    first = raws[0]
    warnings = tuple(dict.fromkeys(note for raw in raws for note in raw.warnings))
    if lost := [name for name in raws[0].header if name.startswith(SKY) and name not in header]:
        told_lost = f"the first amplifier is read backwards: its sky coordinates are left out ({names_of(lost)})"
        warnings += (WarningCode.WCS_CARDS_IGNORED(told_lost),)
    told_joined = f"{len(parts)} amplifiers were joined with gains of {listed} e/ADU"
    raw = RawFrame(
        joined.data, joined.mask, header, (*warnings, WarningCode.AMPLIFIERS_JOINED(told_joined)),
        first.hdu_index, (joined.data.shape[0], joined.data.shape[1]), first.original_header,
    )  # fmt: skip
    # the amplifiers are in electrons now: a gain or a level of the request was used for them
    left = settings.model_copy(
        update={"gain_e_per_adu": 1.0 if settings.gain_e_per_adu else None, "saturation_adu": None}
    )
    return Exposure(raw, joined.variance, left)


def _mosaic_header(raw: RawFrame, amplifier: Amplifier, joined: Amplifier) -> fits.Header:
    """Header of the first amplifier for the whole; its sky coordinates only where it is not read backwards."""
    header = raw.header.copy()
    for name in {*DETECTOR_KEYWORDS, *stack_keywords(header)} & set(header):
        header.remove(name, remove_all=True)
    if amplifier.place.flip_x or amplifier.place.flip_y:
        for card in list(header):
            if card.startswith(SKY):
                header.remove(card, ignore_missing=True)
    else:
        by = amplifier.place.shape[0] // amplifier.data.shape[0]
        bx = amplifier.place.shape[1] // amplifier.data.shape[1]
        _shift(header, (amplifier.place.x0 - joined.place.x0) // bx, (amplifier.place.y0 - joined.place.y0) // by)
    header["NAXIS1"], header["NAXIS2"] = joined.data.shape[1], joined.data.shape[0]
    return header


def _shift(header: fits.Header, dx: float, dy: float) -> None:
    """Move the reference point of the sky coordinates, also one that is written as text."""
    for name, shift in (("CRPIX1", dx), ("CRPIX2", dy)):
        place = plain_number(header.get(name))
        if place is not None:
            header[name] = place + shift
