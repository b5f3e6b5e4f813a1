"""Figures of a zero point, and the table of the stars that made it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_shared.contracts.photometry import CalibrateRequest
from astro_shared.science.robust_statistics import mad_std
from photometry_service.algorithms.calibration import ReferenceMagnitudes, SkyMatches, ZeroPointFit
from photometry_service.workflows.zero_point_terms import as_terms

Array = NDArray[np.float64]
Columns = Mapping[str, NDArray[Any]]


def figures_of(
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
        "mad": float(mad_std(fit.residual[fit.used])),
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


def calibrator_table(
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
