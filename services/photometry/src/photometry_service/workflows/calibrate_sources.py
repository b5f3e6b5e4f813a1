"""From instrumental to calibrated magnitudes: match reference stars, fit the zero point, apply it with its errors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_shared.contracts.photometry import CalibrateRequest, ZeroPointReport
from astro_shared.frame_warnings import WarningCode
from photometry_service.algorithms.calibration import (
    SkyMatches,
    ZeroPointFit,
    ZeroPointOptions,
    choose_magnitudes,
    fit_zero_point,
    reasons,
    to_magnitude,
)
from photometry_service.domain.flags import SourceFlag
from photometry_service.errors import TooFewCalibratorsError
from photometry_service.workflows.find_calibrators import find_candidates, rows_of
from photometry_service.workflows.frame_extinction import FrameExtinction, frame_extinction
from photometry_service.workflows.report_zero_point import calibrator_table, figures_of
from photometry_service.workflows.zero_point_terms import normalised

Columns = Mapping[str, NDArray[Any]]
Array = NDArray[np.float64]

REJECTED_BY_CLIP = "clipped in the fit"


@dataclass(frozen=True)
class Calibration:
    """
    Attributes
    ----------
    report : figures for the summary
    calibrated : columns of `CALIBRATED`, one row per source
    calibrators : columns of `CALIBRATORS`, one row per reference star considered
    fit : None when there is no zero point
    extinction : of the frame and its sources; None when the frame is refused
    """

    report: ZeroPointReport
    calibrated: dict[str, NDArray[Any]]
    calibrators: dict[str, NDArray[Any]]
    fit: ZeroPointFit | None
    extinction: FrameExtinction | None = None


class CalibrateSources:
    def __call__(
        self, request: CalibrateRequest, sources: Columns, positions: Columns, reference: Columns
    ) -> Calibration:
        """Never fails for want of stars: fewer than three calibrators give the status ``uncalibrated`` with the reason."""
        frame, settings = request.measure.frame, request.zero_point
        exposure_s = frame.exposure_s or 1.0
        if (refused := _refusal(request)) is not None:
            return _uncalibrated(sources, refused)
        unknown = WarningCode.EXPOSURE_UNKNOWN("the exposure is not known: magnitudes are for 1 s")
        warnings = [] if frame.exposure_s else [unknown]
        own = rows_of(sources, positions)
        air = frame_extinction(request, positions["ra"][own], positions["dec"][own])
        try:
            magnitudes = choose_magnitudes(
                reference, band=settings.band, color=settings.color, filter_name=frame.filter
            )
        except TooFewCalibratorsError as error:
            return _uncalibrated(sources, error.message, airmass=air.airmass, airmass_reason=air.airmass_reason)
        matches, tests = find_candidates(request, sources, positions, reference, magnitudes)
        m_inst, m_inst_err = instrumental(
            sources, request.measure.flux_kind, request.measure.aperture_number, exposure_s
        )
        warnings += air.warnings
        x, y = normalised(sources["x"], sources["y"], frame.width_px, frame.height_px)
        why = reasons(tests, len(matches.source))
        s, r = matches.source, matches.reference
        good = why == ""
        color = magnitudes.color[r]
        report: dict[str, Any] = {
            "band": magnitudes.band,
            "system": magnitudes.system,
            "n_considered": len(s),
            "extinction": air.kind,
            "differential_extinction": air.differential,
            "airmass": air.airmass,
            "airmass_reason": air.airmass_reason,
        }
        try:
            fit = fit_zero_point(
                np.where(good, magnitudes.value[r], np.nan),
                magnitudes.error[r],
                m_inst[s] - air.source_mag[s],
                m_inst_err[s],
                x=x[s],
                y=y[s],
                color=color,
                options=_options(settings),
            )
        except TooFewCalibratorsError as error:
            nothing, none = np.full(len(s), np.nan), np.zeros(len(s), bool)
            table = calibrator_table(sources, reference, magnitudes, matches, m_inst, m_inst_err, nothing, none, why)
            return _uncalibrated(sources, error.message, table, **report, warnings=tuple(warnings))
        why = np.where(good & ~fit.used, REJECTED_BY_CLIP, why)
        star_color = np.full(len(sources["id"]), np.nan)
        star_color[s] = color
        calibrated = _apply(request, sources, fit, star_color, (x, y), exposure_s, air)
        calibrated["flags"] = _flags(sources["flags"], fit, matches, good, star_color, magnitudes.color_range)
        report |= figures_of(request, fit, magnitudes, exposure_s, air.center_mag) | {
            "warnings": (*warnings, *fit.notes)
        }
        table = calibrator_table(
            sources, reference, magnitudes, matches, m_inst, m_inst_err, fit.residual, fit.used, why
        )
        return Calibration(ZeroPointReport(**report), calibrated, table, fit, air)


def _refusal(request: CalibrateRequest) -> str | None:
    """Why this frame is not calibrated at all, whatever the reference stars."""
    if request.measure.no_sky is not None:
        return f"the frame is taken for {request.measure.no_sky}: what its fluxes are has no magnitude"
    return None


def instrumental(sources: Columns, flux_kind: str, aperture: int, exposure_s: float) -> tuple[Array, Array]:
    """``-2.5 log10(flux / exposure)`` and its error; NaN where the flux is not positive."""
    name = "psf" if flux_kind == "psf" else f"aper_{aperture}"
    error = f"flux_{name.replace('aper_', 'aper_err_')}" if flux_kind != "psf" else "flux_psf_err"
    return to_magnitude(sources[f"flux_{name}"], sources[error], exposure_s)


def _options(settings: Any) -> ZeroPointOptions:
    order = None if settings.spatial_order == "auto" else settings.spatial_order
    return ZeroPointOptions(
        mode=settings.mode,
        color_term=settings.color_term == "auto",
        spatial_order=order,
        clip_sigma=settings.clip_sigma,
    )


def _apply(
    request: CalibrateRequest, sources: Columns, fit: ZeroPointFit, color: Array, place: tuple[Array, Array],
    exposure_s: float, air: FrameExtinction,
) -> dict[str, NDArray[Any]]:  # fmt: skip
    zero, zero_err = fit.at(*place, color)
    measure = request.measure
    correction, correction_err = (
        math.nan if value is None else value
        for value in (measure.aperture_correction_mag, measure.aperture_correction_err_mag)
    )
    columns: dict[str, NDArray[Any]] = {"id": sources["id"]}
    # What is calibrated directly carries no aperture correction; the other quantity is tied to it by the correction,
    # and has no magnitude where that is not known.
    kinds = {"psf": measure.flux_kind == "psf", "aper": measure.flux_kind == "aperture"}
    for kind, direct in kinds.items():
        m, err = instrumental(sources, "psf" if kind == "psf" else "aperture", measure.aperture_number, exposure_s)
        tie, tie_err = (0.0, 0.0) if direct else (correction, correction_err)
        if kind == "psf" and not direct:
            m = np.full(len(m), np.nan)
        columns[f"mag_cal_{kind}"] = m - air.source_mag + tie + zero
        columns[f"mag_cal_{kind}_err_stat"] = err
        columns[f"mag_cal_{kind}_err_total"] = np.sqrt(err**2 + zero_err**2 + tie_err**2 + fit.sigma_int**2)
    return columns


def _uncalibrated(
    sources: Columns, reason: str, calibrators: dict[str, NDArray[Any]] | None = None, **figures: Any
) -> Calibration:
    """No zero point, for this reason."""
    nothing = np.full(len(sources["id"]), np.nan)
    names = [f"mag_cal_{kind}{part}" for kind in ("psf", "aper") for part in ("", "_err_stat", "_err_total")]
    columns = {"id": sources["id"], **dict.fromkeys(names, nothing), "flags": sources["flags"]}
    return Calibration(
        ZeroPointReport(status="uncalibrated", reason=reason, **figures), columns, calibrators or {}, None
    )


def _flags(
    flags: NDArray[np.int32], fit: ZeroPointFit, matches: SkyMatches, good: NDArray[np.bool_], color: Array,
    color_range: tuple[float, float] | None,
) -> NDArray[np.int32]:  # fmt: skip
    flags = flags.copy()
    flags[matches.source[fit.used]] |= int(SourceFlag.USED_FOR_ZERO_POINT)
    flags[matches.source[good & ~fit.used]] |= int(SourceFlag.CLIPPED_FROM_ZERO_POINT)
    if fit.has_color:
        flags[~np.isfinite(color)] |= int(SourceFlag.COLOUR_UNKNOWN)
    if color_range is not None:
        # also of stars without a colour: the relation cannot be known to hold for them
        flags[~((color >= color_range[0]) & (color <= color_range[1]))] |= int(SourceFlag.COLOUR_UNKNOWN)
    return flags
