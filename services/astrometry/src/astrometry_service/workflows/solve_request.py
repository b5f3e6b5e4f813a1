"""One request from beginning to end: hints, solving, refinement, report."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from astro_shared.contracts.astrometry import DistortionPriorUse, SolveRequest
from astro_shared.fits.keywords import CALIBRATION_TYPES
from astro_shared.frame_warnings import WarningCode
from astrometry_service.algorithms.error_model import ErrorModel
from astrometry_service.algorithms.field_search import frame_outline
from astrometry_service.algorithms.reference_positions import positions_at_epoch
from astrometry_service.algorithms.sky_positions import positions_of_transform
from astrometry_service.algorithms.wcs import (
    SipExport,
    TpvTransform,
    WcsValidation,
    map_cards,
    sip_export,
    validate_header,
    writable,
)
from astrometry_service.domain.reference import ReferenceStars
from astrometry_service.domain.solution import AstrometricSolution, SkyPositions
from astrometry_service.domain.sources import FrameGeometry, SourceList
from astrometry_service.domain.wcs_state import WcsState
from astrometry_service.ports import EarlierDistortions
from astrometry_service.workflows.refine_at_epoch import RefineAtEpoch
from astrometry_service.workflows.refine_settings import refine_options
from astrometry_service.workflows.solve_frame import SolveFrame
from astrometry_service.workflows.solve_hints import reading_note, solve_hints
from astrometry_service.workflows.solve_report import (
    Solved,
    finite,
    may_be_accepted,
    solved_report,
    unsolved,
    with_header,
)


class SolveRequestWorkflow:
    """
    Parameters
    ----------
    solve : finds the field
    earlier : distortions of earlier frames of the same camera and filter; None where they are not to be used
    why_no_prior : why not
    """

    def __init__(self, solve: SolveFrame, earlier: EarlierDistortions | None = None, why_no_prior: str = "") -> None:
        self._solve, self._earlier, self._why_no_prior = solve, earlier, why_no_prior

    def __call__(
        self,
        request: SolveRequest,
        sources: Mapping[str, NDArray[Any]],
        header: fits.Header | None,
        *,
        bad: NDArray[np.bool_] | None = None,
        wanted: Mapping[str, NDArray[Any]] | None = None,
        fwhm_px: float | None = None,
    ) -> Solved:
        """A frame that cannot be solved gives a report with the reason, not an error.

        Parameters
        ----------
        request : settings and summary of the frame
        sources : columns of what is matched and fitted
        header : of the frame
        bad : (n,), sources that must stay out of the fit
        wanted : columns of sources whose places are wanted, where these are others
        fwhm_px : pixel, of the stars, where better known than by the request
        """
        frame = request.summary
        geometry = FrameGeometry(frame.width_px, frame.height_px, frame.epoch_jyear)
        found = self._header(request, header, geometry)
        if frame.image_type in CALIBRATION_TYPES:
            return unsolved(found, None, f"the header says that this is a {frame.image_type} frame", ())
        stars = SourceList.from_columns(sources, bad=bad)
        begin = time.perf_counter()
        outcome = self._solve.run(
            stars, geometry, header=found if request.solve.use_header else None, hints=solve_hints(request)
        )
        seconds = {"solve": round(time.perf_counter() - begin, 3)}
        reason = outcome.reason
        if outcome.transform is not None and (outcome.reference is None or len(outcome.reference) == 0):
            reason = "the field was found, but there are no reference stars to refine and to calibrate it"
        if reason or outcome.transform is None or outcome.reference is None:
            failed = unsolved(found, outcome, reason, outcome.advice, n_sources=len(stars), seconds=seconds)
            if header is None or found.transform is None:
                return failed
            evidence = outcome.evidence
            kept = evidence is not None and not evidence.against
            if not kept and not request.solve.accept_header:
                return may_be_accepted(failed, evidence)
            return with_header(failed, found.transform, wanted or sources, geometry, evidence)
        begin = time.perf_counter()
        options = refine_options(request.astrometry, fwhm_px=fwhm_px or request.fwhm_px)
        refined = RefineAtEpoch(options, self._earlier, self._why_no_prior).run(
            stars, outcome.reference, outcome.transform, geometry, frame.epoch_err_yr
        )
        solution = refined.solution
        seconds["refine"] = round(time.perf_counter() - begin, 3)
        cards = map_cards(solution.transform)
        sip = _sip(solution, geometry)
        report = solved_report(found, outcome, solution, geometry, len(stars), seconds, sip)
        reading = reading_note(request, found, report.ra_center_deg or 0.0, report.dec_center_deg or 0.0)
        notes = (WarningCode.EPOCH_ASSUMED(refined.note), WarningCode.POINTING_INTERPRETED(reading))
        report = report.model_copy(
            update={
                "prior": DistortionPriorUse(**asdict(refined.prior)),
                "epoch_assumed": refined.epoch_assumed,
                "epoch_err_yr": refined.epoch_err_yr,
                "warnings": (*report.warnings, *(note for note in notes if note)),
                "footprint_deg": tuple(
                    map(tuple, frame_outline(solution.transform, geometry.nx, geometry.ny).tolist())
                ),
            }
        )
        places = refined.held(_wanted_places(solution, wanted)) if wanted is not None else None
        return Solved(report, outcome, solution, cards, sip.cards if sip else {}, places)

    def _header(self, request: SolveRequest, header: fits.Header | None, geometry: FrameGeometry) -> WcsValidation:
        if header is None:
            return WcsValidation(WcsState.MISSING)
        found = validate_header(header, geometry.nx, geometry.ny)
        if found.transform is None:
            return found
        return replace(found, transform=writable(found.transform, geometry.nx, geometry.ny))


def observed_places(
    reference: ReferenceStars, epoch_jyear: float | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Right ascension and declination at the epoch of the exposure."""
    places = positions_at_epoch(reference, epoch_jyear)
    return places.ra, places.dec


def _sip(solution: AstrometricSolution, geometry: FrameGeometry) -> SipExport | None:
    """The solution as TAN-SIP; None where it is no polynomial."""
    if not isinstance(solution.transform, TpvTransform):
        return None
    return sip_export(solution.transform, geometry.nx, geometry.ny)


def _wanted_places(solution: AstrometricSolution, columns: Mapping[str, NDArray[Any]]) -> SkyPositions:
    """Places of sources that did not take part: their own errors, the map's and the systematic scatter."""
    model = solution.report.get("error_model") or {"sigma_sys_mas": solution.report.get("start_scatter_mas")}
    error = (solution.report.get("solution_error") or {}).get("rms_mas") or 0.0
    sigma = math.hypot(finite(model.get("sigma_sys_mas")) or 0.0, error)
    # alpha belongs to the centroids that were fitted, not to these
    return positions_of_transform(
        solution.transform, SourceList.from_columns(columns), ErrorModel(alpha=1.0, sigma_sys_mas=sigma)
    )


__all__ = ["SolveRequestWorkflow", "Solved", "observed_places"]
