"""What header and request say of a frame, as the services tell it each other."""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal

from astro_shared.contracts.photometry import FrameSummary, PointingHint
from astro_shared.fits.frame import RawFrame
from astro_shared.fits.keywords import FrameFacts
from astro_shared.frame_warnings import FrameWarning

__all__ = ["summarise"]


def summarise(
    raw: RawFrame, facts: FrameFacts, name: str, *, gain_e_per_adu: float, read_noise_e: float,
    saturation_e: float | None, noise_model: Literal["header", "request", "assumed"], warnings: tuple[FrameWarning, ...],
) -> FrameSummary:  # fmt: skip
    """The detector's constants are as the caller takes them, everything else as header and request say."""
    ny, nx = raw.data.shape
    return FrameSummary(
        frame_name=name,
        hdu=raw.hdu_index,
        width_px=nx,
        height_px=ny,
        date_mid=facts.date_mid,
        mjd_mid=facts.mjd_mid,
        epoch_jyear=facts.epoch_jyear,
        epoch_source=facts.sources.get("date"),
        epoch_err_yr=facts.epoch_err_yr,
        exposure_s=facts.exposure_s,
        filter=facts.filter,
        gain_e_per_adu=gain_e_per_adu,
        read_noise_e=read_noise_e,
        saturation_e=saturation_e,
        noise_model=noise_model,
        ra_pointing_deg=facts.ra_deg,
        dec_pointing_deg=facts.dec_deg,
        pointings=tuple(PointingHint(**asdict(reading)) for reading in facts.pointings),
        pixel_scale_arcsec=facts.pixel_scale_arcsec,
        latitude_deg=facts.latitude_deg,
        longitude_deg=facts.longitude_deg,
        elevation_m=facts.elevation_m,
        airmass_header=facts.airmass,
        image_type=facts.image_type,
        warnings=warnings,
    )
