"""Reference stars on the frame, and which of them can carry a zero point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_shared.contracts.photometry import CalibrateRequest
from photometry_service.algorithms.calibration import (
    Cuts,
    ReferenceMagnitudes,
    SkyMatches,
    crowded,
    match_mutual,
    unit_vectors,
)
from photometry_service.domain.flags import SourceFlag

Array = NDArray[np.float64]
Columns = Mapping[str, NDArray[Any]]


def find_candidates(
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
    order = rows_of(sources, positions)
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


def rows_of(sources: Columns, positions: Columns) -> NDArray[np.intp]:
    """Row in the table of positions of each source."""
    order = np.argsort(positions["id"], kind="stable")
    return np.asarray(order[np.searchsorted(positions["id"][order], sources["id"])])


def _near_saturation(request: CalibrateRequest, peak: Array, fraction: float) -> NDArray[np.bool_]:
    level = request.measure.frame.saturation_e
    if level is None:
        return np.zeros(len(peak), bool)
    return peak + request.measure.background_e > fraction * level
