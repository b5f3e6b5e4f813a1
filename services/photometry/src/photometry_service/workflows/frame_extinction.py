"""Airmass of a frame and of its stars, and what the atmosphere took from each of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astro_shared.contracts.photometry import CalibrateRequest, FrameSummary
from astro_shared.frame_warnings import FrameWarning, WarningCode
from photometry_service.algorithms.calibration import altitude_deg, refraction_deg
from photometry_service.algorithms.calibration.airmass import airmass

Array = NDArray[np.float64]

WIDE_FIELD_DEG = 0.5
LOW_AIRMASS = 2.0


@dataclass(frozen=True)
class FrameExtinction:
    """
    Attributes
    ----------
    kind : how it is treated, ``absorbed`` in the zero point or ``fixed`` outside it
    airmass, airmass_reason : of the centre of the frame, or why it is not known
    center_mag : mag, at the centre; 0 when absorbed
    source_mag : (n,), mag, at each source
    differential : whether the sources have airmasses of their own
    warnings : sentences
    """

    kind: str
    airmass: float | None
    airmass_reason: str | None
    center_mag: float
    source_mag: Array
    differential: bool = False
    warnings: tuple[FrameWarning, ...] = ()


def frame_extinction(request: CalibrateRequest, ra_deg: Array, dec_deg: Array) -> FrameExtinction:
    """Extinction of sources at these positions (n,), ICRS; taken off before the fit, so that the zero point is outside it.

    The classic mode always takes ``extinction_mag`` per airmass; the others as ``extinction`` says.
    """
    settings, frame = request.zero_point, request.measure.frame
    center, reason = center_airmass(request)
    fixed = settings.extinction == "fixed" or settings.mode == "classic"
    warnings: tuple[FrameWarning, ...] = ()
    if settings.extinction == "fit":
        instead = "extinction_mag per airmass is taken" if fixed else "it is absorbed in the zero point"
        warnings = (
            WarningCode.EXTINCTION_NOT_FITTED(
                f"extinction = fit needs five frames or more that span 0.3 in airmass, and this is one: {instead} here; "
                "POST /api/v1/extinction fits it over finished reductions"
            ),
        )
    nothing = np.zeros(len(ra_deg))
    if not fixed:
        return FrameExtinction("absorbed", center, reason, 0.0, nothing, warnings=warnings)
    if center is None:
        told = f"extinction is absorbed in the zero point: the airmass is not known ({reason})"
        warnings = (*warnings, WarningCode.EXTINCTION_UNCORRECTED(told))
        return FrameExtinction("absorbed", None, reason, 0.0, nothing, warnings=warnings)
    k = settings.extinction_mag
    field_deg = max(frame.width_px, frame.height_px) * request.scale_arcsec_px / 3600
    if field_deg > WIDE_FIELD_DEG or center > LOW_AIRMASS:
        own = airmass_at(frame, ra_deg, dec_deg, settings.airmass_formula)
        if own is not None:
            source_mag = k * np.where(np.isfinite(own), own, center)
            return FrameExtinction("fixed", center, None, k * center, source_mag, True, warnings)
        told = "the site or the time is not known: every star is given the extinction of the centre of the field"
        warnings = (*warnings, WarningCode.EXTINCTION_UNCORRECTED(told))
    return FrameExtinction("fixed", center, None, k * center, nothing + k * center, warnings=warnings)


def center_airmass(request: CalibrateRequest) -> tuple[float | None, str | None]:
    """Airmass of the frame's centre at mid-exposure, or why it is not known."""
    frame = request.measure.frame
    apparent = _apparent_altitude(frame, np.array([request.ra_center_deg]), np.array([request.dec_center_deg]))
    if apparent is None:
        missing = frame.latitude_deg is None or frame.longitude_deg is None
        reason = (
            "the site is not known: set input.latitude_deg and longitude_deg"
            if missing
            else "the time of the exposure is not known"
        )
        return frame.airmass_header, None if frame.airmass_header else reason
    value = float(airmass(apparent, request.zero_point.airmass_formula)[0])
    if math.isnan(value):
        return frame.airmass_header, None if frame.airmass_header else (
            f"the field is {apparent[0]:.1f} deg above the horizon for this site and time: check site and date"
        )
    return value, None


def airmass_at(frame: FrameSummary, ra_deg: Array, dec_deg: Array, formula: str) -> Array | None:
    """Airmass (n,) of ICRS positions at mid-exposure, NaN below the horizon; None where site or time are not known."""
    apparent = _apparent_altitude(frame, ra_deg, dec_deg)
    return None if apparent is None else airmass(apparent, formula)


def _apparent_altitude(frame: FrameSummary, ra_deg: Array, dec_deg: Array) -> Array | None:
    if frame.latitude_deg is None or frame.longitude_deg is None or frame.epoch_jyear is None:
        return None
    jd = 2451545.0 + (frame.epoch_jyear - 2000.0) * 365.25
    site = {"latitude_deg": frame.latitude_deg, "longitude_deg": frame.longitude_deg}
    true = altitude_deg(ra_deg, dec_deg, jd, **site)
    return np.asarray(true + refraction_deg(true, frame.elevation_m or 0.0))
