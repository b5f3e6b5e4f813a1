"""From instrumental to calibrated magnitudes: match reference stars, fit the zero point, apply it with its errors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_shared.contracts.photometry import CalibrateRequest, ZeroPointReport
from photometry_service.algorithms.calibrators import Cuts, SkyMatches, crowded, match_mutual, reasons, unit_vectors
from photometry_service.algorithms.reference_magnitudes import ReferenceMagnitudes, choose_magnitudes
from photometry_service.algorithms.zero_point import ZeroPointFit, ZeroPointOptions, fit_zero_point
from photometry_service.domain.flags import SourceFlag
from photometry_service.errors import TooFewCalibratorsError
from photometry_service.workflows.frame_extinction import FrameExtinction, center_airmass, frame_extinction
from photometry_service.workflows.zero_point_terms import as_terms, normalised

Columns = Mapping[str, NDArray[Any]]
Array = NDArray[np.float64]

MAG_PER_RELATIVE_FLUX = 2.5 / math.log(10)
MIN_SNR_FOR_ERROR = 3.0
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
    """

    report: ZeroPointReport
    calibrated: dict[str, NDArray[Any]]
    calibrators: dict[str, NDArray[Any]]
    fit: ZeroPointFit | None


class CalibrateSources:
    def __call__(
        self, request: CalibrateRequest, sources: Columns, positions: Columns, reference: Columns
    ) -> Calibration:
        """Never fails for want of stars: fewer than three calibrators give the status ``uncalibrated`` with the reason."""
        frame, settings = request.measure.frame, request.zero_point
        exposure_s = frame.exposure_s or 1.0
        if (refused := _refusal(request)) is not None:
            return Calibration(ZeroPointReport(status="uncalibrated", reason=refused), _uncalibrated(sources), {}, None)
        warnings = [] if frame.exposure_s else ["the exposure is not known: magnitudes are for 1 s"]
        own = _rows_of(sources, positions)
        air = frame_extinction(request, positions["ra"][own], positions["dec"][own])
        try:
            magnitudes = choose_magnitudes(
                reference, band=settings.band, color=settings.color, filter_name=frame.filter
            )
        except TooFewCalibratorsError as error:
            why_not = ZeroPointReport(
                status="uncalibrated", reason=error.message, airmass=air.airmass, airmass_reason=air.airmass_reason
            )
            return Calibration(why_not, _uncalibrated(sources), {}, None)
        matches, tests = self._candidates(request, sources, positions, reference, magnitudes)
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
        residual = np.full(len(s), np.nan)
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
            report |= {"status": "uncalibrated", "reason": error.message, "warnings": tuple(warnings)}
            nothing = _uncalibrated(sources)
            return Calibration(
                ZeroPointReport(**report),
                nothing,
                _table(sources, reference, magnitudes, matches, m_inst, m_inst_err, residual, good & False, why),
                None,
            )
        why = np.where(good & ~fit.used, REJECTED_BY_CLIP, why)
        star_color = np.full(len(sources["id"]), np.nan)
        star_color[s] = color
        calibrated = _apply(request, sources, fit, star_color, (x, y), exposure_s, air)
        calibrated["flags"] = _flags(sources["flags"], fit, matches, good, star_color, magnitudes.color_range)
        report |= _figures(request, fit, magnitudes, exposure_s, air.center_mag) | {"warnings": (*warnings, *fit.notes)}
        table = _table(sources, reference, magnitudes, matches, m_inst, m_inst_err, fit.residual, fit.used, why)
        return Calibration(ZeroPointReport(**report), calibrated, table, fit)

    def _candidates(
        self,
        request: CalibrateRequest,
        sources: Columns,
        positions: Columns,
        reference: Columns,
        magnitudes: ReferenceMagnitudes,
    ) -> tuple[SkyMatches, dict[str, NDArray[np.bool_]]]:
        """Matched stars, and for each cut which of them fail it."""
        settings = request.zero_point
        cuts = Cuts(min_snr=settings.min_snr, max_ruwe=settings.max_ruwe, color_range=settings.color_range,
                    saturation_fraction=settings.saturation_fraction)  # fmt: skip
        fwhm_arcsec = (request.measure.fwhm_psf_px or request.measure.fwhm_marginal_px or 2.0) * request.scale_arcsec_px
        order = _rows_of(sources, positions)
        own = unit_vectors(positions["ra"][order], positions["dec"][order])
        theirs = unit_vectors(reference.get("ra_obs", reference["ra"]), reference.get("dec_obs", reference["dec"]))
        matches = match_mutual(own, theirs, max(1.0, fwhm_arcsec))
        s, r = matches.source, matches.reference
        bad = (
            SourceFlag.SATURATED
            | SourceFlag.TRUNCATED
            | SourceFlag.BLENDED
            | SourceFlag.COSMIC_RAY_IN_CORE
            | SourceFlag.NOT_CONVERGED
        )
        tests = {
            "no magnitude in the band": ~np.isfinite(magnitudes.value[r]),
            "flagged": (sources["flags"][s] & int(bad)) != 0,
            "low S/N": ~(sources["snr"][s] >= cuts.min_snr),
            "near saturation": _near_saturation(request, sources["peak"][s], cuts.saturation_fraction),
            "crowded": crowded(theirs, magnitudes.value, cuts.neighbour_radius_fwhm * fwhm_arcsec)[r],
        }
        if "ruwe" in reference:
            tests["ruwe"] = reference["ruwe"][r] >= cuts.max_ruwe
        if "phot_variable_flag" in reference:
            tests["variable"] = reference["phot_variable_flag"][r] == "VARIABLE"
        if magnitudes.color_name == "BP-RP":
            low, high = cuts.color_range
            tests["colour out of range"] = (magnitudes.color[r] < low) | (magnitudes.color[r] > high)
        if "phot_g_mean_flux_over_error" in reference:
            tests["uncertain reference"] = reference["phot_g_mean_flux_over_error"][r] < cuts.min_flux_snr
        return matches, tests


FIELD_CELLS = 90
"""Cells along the longer side of the map of the zero point."""


def zero_point_field(fit: ZeroPointFit, shape: tuple[int, int]) -> Array:
    """Zero point over a frame of ``shape`` (ny, nx) minus its value, mag, on a coarse grid; for the reference colour."""
    scale = FIELD_CELLS / max(shape)
    return _zero_points(fit, (max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale)))) - fit.value


def _zero_points(fit: ZeroPointFit, cells: tuple[int, int]) -> Array:
    """Zero point at the middles of a grid of cells over the frame."""
    my, mx = cells
    y, x = (2 * np.arange(my) + 1)[:, None] / my - 1, (2 * np.arange(mx) + 1)[None, :] / mx - 1
    color = np.full(my * mx, fit.color_zero if fit.has_color else np.nan)
    zero, _ = fit.at(np.broadcast_to(x, (my, mx)).ravel(), np.broadcast_to(y, (my, mx)).ravel(), color)
    return zero.reshape(my, mx)


def limiting_magnitudes(request: CalibrateRequest, fit: ZeroPointFit, depth_e: Array) -> Array:
    """(my, mx), magnitude of a point source whose flux is ``depth_e`` (my, mx), for stars of the reference colour."""
    my, mx = depth_e.shape
    extinction = 0.0
    if request.zero_point.extinction == "fixed":
        extinction = request.zero_point.extinction_mag * (center_airmass(request)[0] or 0.0)
    exposure_s = request.measure.frame.exposure_s or 1.0
    return _zero_points(fit, (my, mx)) - extinction - 2.5 * np.log10(depth_e / exposure_s)


def _rows_of(sources: Columns, positions: Columns) -> NDArray[np.intp]:
    """Row in the table of positions of each source."""
    order = np.argsort(positions["id"], kind="stable")
    return np.asarray(order[np.searchsorted(positions["id"][order], sources["id"])])


def _refusal(request: CalibrateRequest) -> str | None:
    """Why this frame is not calibrated at all, whatever the reference stars."""
    if request.measure.difference_image is not None:
        return (
            f"this is a difference image ({request.measure.difference_image}): its fluxes are changes, not magnitudes"
        )
    return None


def instrumental(sources: Columns, flux_kind: str, aperture: int, exposure_s: float) -> tuple[Array, Array]:
    """``-2.5 log10(flux / exposure)`` and its error; NaN where the flux is not positive."""
    name = "psf" if flux_kind == "psf" else f"aper_{aperture}"
    error = f"flux_{name.replace('aper_', 'aper_err_')}" if flux_kind != "psf" else "flux_psf_err"
    return to_magnitude(sources[f"flux_{name}"], sources[error], exposure_s)


def to_magnitude(flux_e: Array, flux_err_e: Array, exposure_s: float) -> tuple[Array, Array]:
    """Magnitude of a count rate and its error; the error is NaN below a S/N of 3, where it would not be symmetric."""
    with np.errstate(invalid="ignore", divide="ignore"):
        magnitude = np.where(flux_e > 0, -2.5 * np.log10(flux_e / exposure_s), np.nan)
        snr = flux_e / flux_err_e
        error = np.where(snr >= MIN_SNR_FOR_ERROR, MAG_PER_RELATIVE_FLUX / snr, np.nan)
    return magnitude, error


def _options(settings: Any) -> ZeroPointOptions:
    order = None if settings.spatial_order == "auto" else settings.spatial_order
    return ZeroPointOptions(
        mode=settings.mode,
        color_term=settings.color_term == "auto",
        spatial_order=order,
        clip_sigma=settings.clip_sigma,
    )


def _near_saturation(request: CalibrateRequest, peak: Array, fraction: float) -> NDArray[np.bool_]:
    level = request.measure.frame.saturation_e
    if level is None:
        return np.zeros(len(peak), bool)
    return peak + request.measure.background_e > fraction * level


def _apply(
    request: CalibrateRequest, sources: Columns, fit: ZeroPointFit, color: Array, place: tuple[Array, Array],
    exposure_s: float, air: FrameExtinction,
) -> dict[str, NDArray[Any]]:  # fmt: skip
    zero, zero_err = fit.at(*place, color)
    if request.zero_point.mode == "classic":
        zero = zero - request.zero_point.extinction_mag * (air.airmass or 0.0)
    measure = request.measure
    correction = measure.aperture_correction_mag or 0.0
    correction_err = measure.aperture_correction_err_mag or 0.0
    columns: dict[str, NDArray[Any]] = {"id": sources["id"]}
    # What is calibrated directly carries no aperture correction; the other quantity is tied to it by the correction.
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


def _uncalibrated(sources: Columns) -> dict[str, NDArray[Any]]:
    nothing = np.full(len(sources["id"]), np.nan)
    names = [f"mag_cal_{kind}{part}" for kind in ("psf", "aper") for part in ("", "_err_stat", "_err_total")]
    return {"id": sources["id"], **dict.fromkeys(names, nothing), "flags": sources["flags"]}


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


def _figures(
    request: CalibrateRequest, fit: ZeroPointFit, magnitudes: ReferenceMagnitudes, exposure_s: float, extinction: float
) -> dict[str, Any]:
    noise, shares = request.measure.noise_flux_e, request.measure.completeness

    def magnitude(flux_e: float | None) -> float | None:
        return fit.value - 2.5 * math.log10(flux_e / exposure_s) - extinction if flux_e else None

    return {
        "status": "calibrated",
        "value": fit.value,
        "error": fit.error,
        "error_total": math.hypot(fit.error, _flux_scale_error(request)),
        "color": magnitudes.color_name if fit.has_color else None,
        "color_term": fit.color_term,
        "color_term_err": fit.color_term_err,
        "color_zero": fit.color_zero,
        "spatial_order": fit.spatial_order,
        "terms": as_terms(fit),
        "n_used": int(fit.used.sum()),
        "rms": fit.rms,
        "mad": 1.4826 * float(np.median(np.abs(fit.residual[fit.used] - np.median(fit.residual[fit.used])))),
        "sigma_int": fit.sigma_int,
        "chi2_red": None if math.isnan(fit.chi2_red) else fit.chi2_red,
        "limiting_mag_5sigma": magnitude(5 * noise if noise else None),
        "completeness_50_mag": magnitude(shares.flux_50_e if shares else None),
        "completeness_90_mag": magnitude(shares.flux_90_e if shares else None),
    }


def _flux_scale_error(request: CalibrateRequest) -> float:
    """Error of the profile's norm, mag: it is as well known as the ratio of profile to aperture fluxes of bright stars."""
    measure = request.measure
    return (measure.aperture_correction_err_mag or 0.0) if measure.flux_kind == "psf" else 0.0


def _table(
    sources: Columns, reference: Columns, magnitudes: ReferenceMagnitudes, matches: SkyMatches, m_inst: Array,
    m_inst_err: Array, residual: Array, used: NDArray[np.bool_], why: NDArray[np.str_],
) -> dict[str, NDArray[Any]]:  # fmt: skip
    """Every reference star in the frame: matched ones with their fate, then those without a source."""
    s, r = matches.source, matches.reference
    rest = np.setdiff1d(np.arange(len(magnitudes.value)), r)
    nothing = np.full(len(rest), np.nan)
    every = np.concatenate([r, rest])
    identifier = (
        reference["source_id"].astype(str) if "source_id" in reference else np.arange(len(magnitudes.value)).astype(str)
    )

    def of_source(values: Array) -> Array:
        return np.concatenate([values, nothing])

    return {
        "source_id": identifier[every],
        "id": np.concatenate([sources["id"][s], np.zeros(len(rest), np.int64)]),
        "ra": reference.get("ra_obs", reference["ra"])[every],
        "dec": reference.get("dec_obs", reference["dec"])[every],
        "x": of_source(sources["x"][s]),
        "y": of_source(sources["y"][s]),
        "sep_arcsec": of_source(matches.separation_arcsec),
        "mag_ref": magnitudes.value[every],
        "mag_ref_err": magnitudes.error[every],
        "color_ref": magnitudes.color[every],
        "mag_inst": of_source(m_inst[s]),
        "mag_inst_err": of_source(m_inst_err[s]),
        "residual_mag": of_source(residual),
        "used": np.concatenate([used, np.zeros(len(rest), bool)]),
        "reason": np.concatenate([why, np.full(len(rest), "no source here")]),
    }
