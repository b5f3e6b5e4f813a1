"""One request from beginning to end: hints, solving, refinement, report."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from astro_shared.contracts.astrometry import AstrometryReport, DistortionPriorUse, SolveAttempt, SolveRequest
from astrometry_service.algorithms.error_terms import ErrorModel
from astrometry_service.algorithms.field_search import frame_outline
from astrometry_service.algorithms.reference_positions import positions_at_epoch
from astrometry_service.algorithms.sip_export import SipExport, sip_export
from astrometry_service.algorithms.tpv import TpvTransform
from astrometry_service.algorithms.wcs_transform import positions_of_transform, sky_derivatives
from astrometry_service.algorithms.wcs_validation import WcsValidation, validate_header
from astrometry_service.domain.plane_affine import PlaneAffine
from astrometry_service.domain.reference import ReferenceStars
from astrometry_service.domain.solution import AstrometricSolution, SkyPositions, SkyTransform
from astrometry_service.domain.solving import SolveHints, SolveOutcome
from astrometry_service.domain.sources import FrameGeometry, SourceList
from astrometry_service.domain.wcs_state import WcsState
from astrometry_service.ports import EarlierDistortions
from astrometry_service.workflows.refine_settings import refine_options
from astrometry_service.workflows.refine_with_prior import RefineWithPrior
from astrometry_service.workflows.solve_frame import SolveFrame

SCALE_KNOWN_TO = 1.02
HINT_RADIUS_DEG = 1.0
BRIGHT_SNR = 100.0
NOT_ON_SKY = frozenset({"flat", "dark", "bias"})


@dataclass(frozen=True)
class Solved:
    """
    Attributes
    ----------
    report : what people and later stages read
    outcome : how the field was found, or not
    solution : None when the field was not found
    wcs_cards : of the solved frame, empty when there is none
    sip_cards : the same as TAN-SIP, empty where the solution is not our own
    wanted : places of the sources that were asked for, where these are others than those that were fitted
    """

    report: AstrometryReport
    outcome: SolveOutcome | None
    solution: AstrometricSolution | None
    wcs_cards: Mapping[str, Any]
    sip_cards: Mapping[str, Any] = field(default_factory=dict)
    wanted: SkyPositions | None = None


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
        if frame.image_type in NOT_ON_SKY:
            return _unsolved(found, None, f"the header says that this is a {frame.image_type} frame", ())
        stars = SourceList.from_columns(sources, bad=bad)
        begin = time.perf_counter()
        outcome = self._solve.run(
            stars, geometry, header=found if request.solve.use_header else None, hints=_hints(request)
        )
        seconds = {"solve": round(time.perf_counter() - begin, 3)}
        if outcome.transform is None or outcome.start is None:
            return _unsolved(found, outcome, outcome.reason, outcome.advice, n_sources=len(stars), seconds=seconds)
        if outcome.reference is None or len(outcome.reference) == 0:
            reason = "the field was found, but there are no reference stars to refine and to calibrate it"
            return _unsolved(found, outcome, reason, outcome.advice, n_sources=len(stars), seconds=seconds)
        begin = time.perf_counter()
        options = refine_options(request.astrometry, fwhm_px=fwhm_px or request.fwhm_px)
        refine = RefineWithPrior(options, self._earlier, self._why_no_prior)
        solution, prior = refine.run(stars, outcome.reference, outcome.transform, geometry)
        seconds["refine"] = round(time.perf_counter() - begin, 3)
        cards = _cards(solution, outcome, found, header)
        sip = _sip(solution, geometry)
        report = _report(found, outcome, solution, geometry, len(stars), seconds, sip).model_copy(
            update={
                "prior": DistortionPriorUse(**asdict(prior)),
                "footprint_deg": tuple(
                    map(tuple, frame_outline(solution.transform, geometry.nx, geometry.ny).tolist())
                ),
            }
        )
        places = _wanted_places(solution, wanted) if wanted is not None else None
        return Solved(report, outcome, solution, cards, sip.cards if sip else {}, places)

    def _header(self, request: SolveRequest, header: fits.Header | None, geometry: FrameGeometry) -> WcsValidation:
        if header is None:
            return WcsValidation(WcsState.MISSING)
        return validate_header(header, geometry.nx, geometry.ny)


def observed_places(
    reference: ReferenceStars, epoch_jyear: float | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Right ascension and declination at the epoch of the exposure."""
    places = positions_at_epoch(reference, epoch_jyear)
    return places.ra, places.dec


def _hints(request: SolveRequest) -> list[SolveHints]:
    """The request's hint first, then the pointing of the header."""
    solve, frame = request.solve, request.summary
    low, high = solve.scale_low_arcsec, solve.scale_high_arcsec
    if (low is None or high is None) and frame.pixel_scale_arcsec is not None and solve.use_header:
        low = low or frame.pixel_scale_arcsec / SCALE_KNOWN_TO
        high = high or frame.pixel_scale_arcsec * SCALE_KNOWN_TO
    hints = []
    if solve.ra_deg is not None or solve.scale_low_arcsec is not None:
        radius = solve.radius_deg or HINT_RADIUS_DEG
        hints.append(SolveHints(solve.ra_deg, solve.dec_deg, radius, low, high, frame.epoch_jyear, "request"))
    if solve.use_header and frame.ra_pointing_deg is not None and frame.dec_pointing_deg is not None:
        hints.append(
            SolveHints(
                frame.ra_pointing_deg, frame.dec_pointing_deg, solve.pointing_error_deg, low, high, frame.epoch_jyear,
                "header pointing",
            )
        )  # fmt: skip
    return hints


def _attempts(outcome: SolveOutcome | None) -> tuple[SolveAttempt, ...]:
    if outcome is None:
        return ()
    return tuple(
        SolveAttempt(engine=a.engine, seconds=a.seconds, outcome=a.outcome, detail=a.detail, log_odds=a.log_odds)
        for a in outcome.attempts
    )


def _header_facts(found: WcsValidation, outcome: SolveOutcome | None) -> dict[str, Any]:
    state = WcsState.VALID if outcome is not None and outcome.header_valid else found.state
    reason = "; ".join(found.problems) or (outcome.header_reason if outcome is not None else "")
    return {"header_wcs": str(state), "header_wcs_reason": reason or None}


def _unsolved(
    found: WcsValidation, outcome: SolveOutcome | None, reason: str, advice: tuple[str, ...], *, n_sources: int = 0,
    seconds: dict[str, float] | None = None,
) -> Solved:  # fmt: skip
    report = AstrometryReport(
        state=str(found.state),
        solved=False,
        reason=reason,
        advice=advice,
        attempts=_attempts(outcome),
        n_sources=n_sources,
        warnings=tuple(outcome.notes) if outcome is not None else (),
        seconds=seconds or {},
        **_header_facts(found, outcome),
    )
    return Solved(report, outcome, None, {})


def _report(
    found: WcsValidation, outcome: SolveOutcome, solution: AstrometricSolution, geometry: FrameGeometry, n_sources: int,
    seconds: dict[str, float], sip: SipExport | None,
) -> AstrometryReport:  # fmt: skip
    chain: dict[str, Any] = dict(solution.report)
    model, error = chain.get("error_model") or {}, chain.get("solution_error") or {}
    chi = chain.get("steps", {}).get("final_chi_square", {})
    rms = [chain[name] for name in ("rms_x_mas", "rms_y_mas") if name in chain]
    return AstrometryReport(
        state=str(solution.state),
        solved=True,
        reason="; ".join(solution.reasons) or None,
        engine=outcome.engine,
        attempts=_attempts(outcome),
        **_header_facts(found, outcome),
        **_place(solution.transform, geometry),
        n_sources=n_sources,
        n_reference=len(outcome.reference) if outcome.reference is not None else 0,
        n_matched=chain.get("pairs", 0),
        n_used=chain.get("kept", 0),
        rms_mas=math.sqrt(sum(value**2 for value in rms) / len(rms)) if rms else None,
        rms_bright_mas=_bright_rms(solution),
        sip_max_deviation_px=_finite(max(sip.forward_max_px, sip.inverse_max_px)) if sip else None,
        degree=chain.get("degree") if solution.improved else None,
        alpha=_finite(model.get("alpha")),
        alpha_err=_finite(model.get("alpha_err")),
        sigma_sys_mas=_finite(model.get("sigma_sys_mas")),
        sigma_sys_err_mas=_finite(model.get("sigma_sys_err_mas")),
        sigma_sys_upper_mas=_finite(model.get("sigma_sys_upper_mas")),
        chi2_dof=_finite((chi.get("kept") or {}).get("reduced")),
        solution_error_mas=_finite(error.get("rms_mas")),
        solution_error_corner_mas=_finite(error.get("corner_max_mas")),
        log_odds=_finite(outcome.start.log_odds) if outcome.start else None,
        epoch_jyear=solution.epoch_jyear,
        reference_name=outcome.reference_name,
        reference_layer=outcome.reference_layer,
        warnings=tuple(outcome.notes),
        report=_plain(chain),
        seconds=seconds,
    )


def _sip(solution: AstrometricSolution, geometry: FrameGeometry) -> SipExport | None:
    """Our own solution as TAN-SIP; None where the start was kept, whose header stays as it was."""
    if not isinstance(solution.transform, TpvTransform) or not solution.wcs_cards:
        return None
    return sip_export(solution.transform, geometry.nx, geometry.ny)


def _wanted_places(solution: AstrometricSolution, columns: Mapping[str, NDArray[Any]]) -> SkyPositions:
    """Places of sources that did not take part: their own errors, the map's and the systematic scatter."""
    model = solution.report.get("error_model") or {}
    error = (solution.report.get("solution_error") or {}).get("rms_mas") or 0.0
    sigma = math.hypot(_finite(model.get("sigma_sys_mas")) or 0.0, error)
    # alpha belongs to the centroids that were fitted, not to these
    return positions_of_transform(
        solution.transform, SourceList.from_columns(columns), ErrorModel(alpha=1.0, sigma_sys_mas=sigma)
    )


def _bright_rms(solution: AstrometricSolution) -> float | None:
    """Rms per axis of kept pairs above `BRIGHT_SNR`, mas; None where there are none."""
    pairs = solution.pairs
    bright = pairs.kept & (pairs.snr > BRIGHT_SNR)
    if not bright.any():
        return None
    return float(np.sqrt(np.mean((pairs.dx_mas[bright] ** 2 + pairs.dy_mas[bright] ** 2) / 2)))


def _place(transform: SkyTransform, geometry: FrameGeometry) -> dict[str, Any]:
    """Centre, scale, rotation, parity and extent of a solved frame."""
    x, y = (np.array([value]) for value in geometry.centre_px)
    ra, dec = transform.pixel_to_sky(x, y)
    per_px = sky_derivatives(transform, x, y)[0] / 3.6e6
    determinant = float(np.linalg.det(per_px))
    scale = math.sqrt(abs(determinant))
    return {
        "ra_center_deg": float(ra[0]) % 360.0,
        "dec_center_deg": float(dec[0]),
        "scale_arcsec_px": scale * 3600.0,
        "rotation_deg": math.degrees(math.atan2(per_px[0, 1], per_px[1, 1])),
        "parity": 1 if determinant > 0 else -1,
        "width_deg": scale * geometry.nx,
        "height_deg": scale * geometry.ny,
    }


def _cards(
    solution: AstrometricSolution, outcome: SolveOutcome, found: WcsValidation, header: fits.Header | None
) -> Mapping[str, Any]:
    """The refined solution; where the start was kept, the start's own cards."""
    if solution.wcs_cards:
        return solution.wcs_cards
    if isinstance(outcome.transform, PlaneAffine):
        return plane_cards(outcome.transform)
    if header is not None and outcome.header_valid:
        from astrometry_service.algorithms.wcs_header import is_wcs_keyword

        return {card.keyword: card.value for card in header.cards if is_wcs_keyword(card.keyword)}
    return {}


def plane_cards(plane: PlaneAffine) -> dict[str, Any]:
    """A linear solution as TAN cards."""
    offset = np.linalg.solve(plane.linear, -plane.matrix[:, 2])
    cd = plane.linear
    return {
        "WCSAXES": 2, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CUNIT1": "deg", "CUNIT2": "deg",
        "CRVAL1": plane.ra0_deg, "CRVAL2": plane.dec0_deg, "CRPIX1": offset[0] + 1, "CRPIX2": offset[1] + 1,
        "CD1_1": cd[0, 0], "CD1_2": cd[0, 1], "CD2_1": cd[1, 0], "CD2_2": cd[1, 1], "RADESYS": "ICRS",
    }  # fmt: skip


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _plain(value: Any) -> Any:
    """JSON: arrays as lists, what is not finite as null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


__all__ = ["SolveRequestWorkflow", "Solved", "observed_places", "plane_cards"]
