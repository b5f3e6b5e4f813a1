"""What header and request say of a frame, as the services tell it each other."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

from astro_shared.contracts.photometry import FrameSummary, PointingHint
from astro_shared.contracts.settings import InputSettings
from astro_shared.fits.frame import RawFrame
from astro_shared.fits.keywords import FrameFacts

__all__ = ["summarise"]


def summarise(
    raw: RawFrame, facts: FrameFacts, given: InputSettings, name: str, *, gain_e_per_adu: float, read_noise_e: float,
    saturation_e: float | None, noise_model: Literal["header", "request", "assumed"], warnings: tuple[str, ...],
) -> FrameSummary:  # fmt: skip
    """What was given goes before the header; the detector's constants are as the caller takes them."""
    date, epoch = (facts.date_mid, facts.epoch_jyear) if given.date_mid is None else facts.mid_of(given.date_mid)
    ny, nx = raw.data.shape
    return FrameSummary(
        frame_name=name,
        hdu=raw.hdu_index,
        width_px=nx,
        height_px=ny,
        date_mid=date,
        epoch_jyear=epoch,
        epoch_source=None if epoch is None else "header" if given.date_mid is None else "request",
        epoch_err_yr=None if epoch is None else 0.0,
        exposure_s=given.exposure_s or facts.exposure_s,
        filter=given.filter or facts.filter,
        gain_e_per_adu=gain_e_per_adu,
        read_noise_e=read_noise_e,
        saturation_e=saturation_e,
        noise_model=noise_model,
        ra_pointing_deg=facts.ra_deg,
        dec_pointing_deg=facts.dec_deg,
        pointings=tuple(PointingHint(**asdict(reading)) for reading in facts.pointings),
        pixel_scale_arcsec=facts.pixel_scale_arcsec,
        latitude_deg=facts.latitude_deg if given.latitude_deg is None else given.latitude_deg,
        longitude_deg=facts.longitude_deg if given.longitude_deg is None else given.longitude_deg,
        elevation_m=facts.elevation_m if given.elevation_m is None else given.elevation_m,
        airmass_header=facts.airmass,
        image_type=facts.image_type,
        warnings=warnings,
    )
