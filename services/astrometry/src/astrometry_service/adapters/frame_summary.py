"""What is known of a frame, or of the image that a list is from, where photometry did not say it."""

from __future__ import annotations

from astro_shared.contracts.photometry import FrameSummary
from astro_shared.contracts.settings import InputSettings
from astro_shared.fits import RawFrame
from astro_shared.fits.keywords import frame_facts
from astro_shared.fits.summary import summarise

__all__ = ["list_summary", "summarise_frame"]

ASSUMED_GAIN, ASSUMED_READ_NOISE_E = 1.0, 10.0


def summarise_frame(raw: RawFrame, given: InputSettings, name: str) -> FrameSummary:
    """From the header and what was given; a gain that is missing is 1, which only scales fluxes."""
    facts = frame_facts(raw.header, given)
    gain = facts.gain_e_per_adu or ASSUMED_GAIN
    return summarise(
        raw, facts, name, gain_e_per_adu=gain,
        read_noise_e=ASSUMED_READ_NOISE_E if facts.read_noise_e is None else facts.read_noise_e,
        saturation_e=None if facts.saturation_adu is None else facts.saturation_adu * gain,
        noise_model="header" if facts.gain_e_per_adu else "assumed", warnings=(*raw.warnings, *facts.warnings),
    )  # fmt: skip


def list_summary(name: str, width_px: int, height_px: int, epoch_jyear: float | None) -> FrameSummary:
    """Of a list there is only the size of its image, and perhaps its epoch."""
    return FrameSummary(
        frame_name=name, hdu=0, width_px=width_px, height_px=height_px, epoch_jyear=epoch_jyear,
        gain_e_per_adu=ASSUMED_GAIN, read_noise_e=ASSUMED_READ_NOISE_E, noise_model="assumed",
    )  # fmt: skip
