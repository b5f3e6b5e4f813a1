"""From a file's image and header to a frame in electrons, with everything that had to be assumed said."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from astro_shared.contracts.photometry import FrameSummary
from astro_shared.contracts.settings import InputSettings
from astro_shared.fits import RawFrame
from astro_shared.fits.keywords import CALIBRATION_TYPES, FrameFacts, frame_facts
from astro_shared.fits.stacks import Method
from astro_shared.fits.summary import summarise
from astro_shared.frame_warnings import WarningCode
from photometry_service.algorithms.detector import (
    blend_mosaic,
    check_image,
    find_saturation,
    level_saturated,
    mosaic_pattern,
    noise_ratio,
    sky_of,
    told_apart,
)
from photometry_service.algorithms.quality import difference_words
from photometry_service.domain.frame import Frame, NoiseModel

ASSUMED_GAIN = 1.0
ASSUMED_READ_NOISE_E = 10.0


@dataclass(frozen=True)
class PreparedFrame:
    """``no_sky`` says what the header makes the frame, where that is no plain picture of the sky."""

    frame: Frame
    summary: FrameSummary
    no_sky: str | None = None


def prepare_frame(raw: RawFrame, settings: InputSettings, frame_name: str) -> PreparedFrame:
    """Requests beat the header, the header beats assumptions; a missing gain is never guessed from the pixels.

    Raises
    ------
    ImageUnusableError
        Nothing can be measured on these pixels; says why.
    """
    facts = frame_facts(raw.header, settings)
    if facts.stack_is_assumed:
        facts = _as_noise_shows(raw, settings, facts)
    gain, gain_from = _first(settings.gain_e_per_adu, facts.gain_e_per_adu, ASSUMED_GAIN)
    noise, noise_from = _first(settings.read_noise_e, facts.read_noise_e, ASSUMED_READ_NOISE_E)
    checked = check_image(raw.data, raw.mask, saturation=facts.saturation_adu or inf)
    warnings = [*raw.warnings, *facts.warnings, *checked.warnings]
    if "assumed" in (gain_from, noise_from):
        missing = [name for name, where in (("gain", gain_from), ("read noise", noise_from)) if where == "assumed"]
        warnings.append(
            WarningCode.GAIN_ASSUMED(
                f"the header has no {' and no '.join(missing)}: {gain:g} e/ADU and {noise:g} e are used, "
                "so errors are as good as that assumption (set input.gain_e_per_adu and input.read_noise_e)"
            )
        )
    pixels, mask = checked.data, checked.mask
    found = find_saturation(pixels, mask, facts.saturation_adu, given=settings.saturation_adu)
    warnings += found.sentences
    pixels = level_saturated(pixels, found)
    pattern = mosaic_pattern(raw.header.get("BAYERPAT"), raw.header.get("COLORTYP"), facts.filter)
    if pattern is not None:
        pixels, mask = blend_mosaic(pixels, mask, saturation=found.level)
        warnings.append(
            WarningCode.COLOUR_MOSAIC(
                f"the frame is a colour mosaic ({pattern}): every pixel was made a mean of its surroundings that holds all "
                "colours in equal parts, so magnitudes are those of the colours together"
            )
        )
    model = (
        NoiseModel.ASSUMED
        if "assumed" in (gain_from, noise_from)
        else (NoiseModel.REQUEST if "request" in (gain_from, noise_from) else NoiseModel.HEADER)
    )
    frame = Frame(
        data=np.multiply(pixels, np.float32(gain), dtype=np.float32),
        mask=mask,
        gain_e_per_adu=gain,
        read_noise_e=noise,
        saturation_e=found.level * gain,
        noise_model=model,
        exposure_s=facts.exposure_s,
        filter_name=facts.filter,
        mid_time_mjd=facts.mjd_mid,
        warnings=tuple(dict.fromkeys(warnings)),
    )
    summary = summarise(
        raw, facts, frame_name, gain_e_per_adu=gain, read_noise_e=noise,
        saturation_e=None if found.lowest == inf else found.lowest * gain, noise_model=model.value,
        warnings=frame.warnings,
    )  # fmt: skip
    return PreparedFrame(frame, summary, _no_sky(raw.header, facts))


def _as_noise_shows(raw: RawFrame, settings: InputSettings, facts: FrameFacts) -> FrameFacts:
    """A stack that may be a mean or a sum: what the noise of the sky tells, or the facts as they were."""
    summed = frame_facts(raw.header, settings, stacked_as=(Method.SUM, "the noise of the sky shows it"))
    mean = frame_facts(raw.header, settings, stacked_as=(Method.MEAN, "the noise of the sky shows it"))
    sky, sigma = sky_of(raw.data, raw.mask)
    ratios = [
        noise_ratio(
            sky,
            sigma,
            one.gain_e_per_adu or 0.0,
            ASSUMED_READ_NOISE_E if one.read_noise_e is None else one.read_noise_e,
        )
        for one in (mean, summed)
    ]
    chosen = told_apart(ratios)
    return facts if chosen is None else (mean, summed)[chosen]


def with_variance(prepared: PreparedFrame, variance_adu2: NDArray[np.float32] | None) -> PreparedFrame:
    """The variance that a calibration carried along, in electrons^2."""
    if variance_adu2 is None:
        return prepared
    variance = np.multiply(variance_adu2, np.float32(prepared.frame.gain_e_per_adu**2), dtype=np.float32)
    return replace(prepared, frame=replace(prepared.frame, variance=variance))


def _no_sky(header: fits.Header, facts: FrameFacts) -> str | None:
    if facts.image_type in CALIBRATION_TYPES:
        return f"a {facts.image_type} frame (the header says so)"
    words = difference_words(header, {card.keyword: card.comment for card in header.cards})
    return None if words is None else f"a difference of two images ({words})"


def _first(request: float | None, known: float | None, assumed: float) -> tuple[float, str]:
    if known is None:
        return assumed, "assumed"
    return known, "header" if request is None else "request"
