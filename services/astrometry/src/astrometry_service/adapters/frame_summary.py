"""What is known of a frame, or of the image that a list is from, where photometry did not say it."""

from __future__ import annotations

from astro_shared.contracts.photometry import FrameSummary
from astro_shared.contracts.settings import InputSettings
from astro_shared.fits import RawFrame
from astro_shared.fits.keywords import frame_facts

__all__ = ["list_summary", "summarise_frame"]

ASSUMED_GAIN, ASSUMED_READ_NOISE_E = 1.0, 10.0


def summarise_frame(raw: RawFrame, given: InputSettings, name: str) -> FrameSummary:
    """From the header and what was given; a gain that is missing is 1, which only scales fluxes."""
    facts = frame_facts(raw.header)
    date, epoch = (facts.date_mid, facts.epoch_jyear) if given.date_mid is None else facts.mid_of(given.date_mid)
    gain = given.gain_e_per_adu or facts.gain_e_per_adu or ASSUMED_GAIN
    saturation_adu = given.saturation_adu or facts.saturation_adu
    ny, nx = raw.shape
    return FrameSummary(
        frame_name=name,
        hdu=raw.hdu_index,
        width_px=nx,
        height_px=ny,
        date_mid=date,
        epoch_jyear=epoch,
        filter=given.filter or facts.filter,
        gain_e_per_adu=gain,
        read_noise_e=given.read_noise_e or facts.read_noise_e or ASSUMED_READ_NOISE_E,
        saturation_e=None if saturation_adu is None else saturation_adu * gain,
        noise_model="header" if facts.gain_e_per_adu else "assumed",
        ra_pointing_deg=facts.ra_deg,
        dec_pointing_deg=facts.dec_deg,
        pixel_scale_arcsec=facts.pixel_scale_arcsec,
        image_type=facts.image_type,
        warnings=(*raw.warnings, *facts.warnings),
    )


def list_summary(name: str, width_px: int, height_px: int, epoch_jyear: float | None) -> FrameSummary:
    """Of a list there is only the size of its image, and perhaps its epoch."""
    return FrameSummary(
        frame_name=name, hdu=0, width_px=width_px, height_px=height_px, epoch_jyear=epoch_jyear,
        gain_e_per_adu=ASSUMED_GAIN, read_noise_e=ASSUMED_READ_NOISE_E, noise_model="assumed",
    )  # fmt: skip
