"""What became of one request, and the report of it: solved, not solved, or with the places of an unconfirmed header."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_shared.contracts.astrometry import AstrometryReport, SolveAttempt
from astro_shared.frame_warnings import FrameWarning, WarningCode
from astrometry_service.algorithms.wcs import SipExport, WcsValidation, map_cards
from astrometry_service.algorithms.wcs.frame_place import frame_place
from astrometry_service.domain.header_evidence import HeaderEvidence
from astrometry_service.domain.solution import AstrometricSolution, SkyPositions, SkyTransform
from astrometry_service.domain.solving import SolveOutcome
from astrometry_service.domain.sources import FrameGeometry
from astrometry_service.domain.wcs_state import WcsState

__all__ = ["Solved", "finite", "may_be_accepted", "solved_report", "unsolved", "with_header"]

BRIGHT_SNR = 100.0


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
    unverified : places by the header's WCS of a frame that was not solved, where they are accepted
    """

    report: AstrometryReport
    outcome: SolveOutcome | None
    solution: AstrometricSolution | None
    wcs_cards: Mapping[str, Any]
    sip_cards: Mapping[str, Any] = field(default_factory=dict)
    wanted: SkyPositions | None = None
    unverified: SkyPositions | None = None


def unsolved(
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
        warnings=_warnings(found, outcome),
        seconds=seconds or {},
        **_header_facts(found, outcome),
    )
    return Solved(report, outcome, None, {})


def solved_report(
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
        sip_max_deviation_px=finite(max(sip.forward_max_px, sip.inverse_max_px)) if sip else None,
        degree=chain.get("degree") if solution.improved else None,
        # A figure that rests at its bound is no measurement: its limit is given instead.
        alpha=None if model.get("alpha_upper") is not None else finite(model.get("alpha")),
        alpha_err=finite(model.get("alpha_err")),
        alpha_upper=finite(model.get("alpha_upper")),
        sigma_sys_mas=finite(model.get("sigma_sys_mas") or None),
        sigma_sys_err_mas=finite(model.get("sigma_sys_err_mas")),
        sigma_sys_upper_mas=finite(model.get("upper_limit_mas")),
        chi2_dof=finite((chi.get("kept") or {}).get("reduced")),
        solution_error_mas=finite(error.get("rms_mas")),
        solution_error_corner_mas=finite(error.get("corner_max_mas")),
        log_odds=finite(outcome.start.log_odds) if outcome.start else None,
        epoch_jyear=solution.epoch_jyear,
        reference_name=outcome.reference_name,
        reference_layer=outcome.reference_layer,
        warnings=(*_warnings(found, outcome), *solution.notes),
        report=_plain(chain),
        seconds=seconds,
    )


def may_be_accepted(failed: Solved, evidence: HeaderEvidence | None) -> Solved:
    """What else can be done where the header has a WCS that nothing speaks for."""
    tip = "where the header's WCS is known to be good, set solve.accept_header = true: its positions, marked unverified"
    update = {"advice": (*failed.report.advice, tip), **_counts(evidence)}
    if evidence is not None and evidence.against:
        told = WarningCode.WCS_CONTRADICTED(f"stars speak against the header's WCS: {evidence.words}")
        update["warnings"] = (*failed.report.warnings, told)
    return replace(failed, report=failed.report.model_copy(update=update))


def with_header(
    failed: Solved, transform: SkyTransform, sources: Mapping[str, NDArray[Any]],
    geometry: FrameGeometry, evidence: HeaderEvidence | None,
) -> Solved:  # fmt: skip
    """A frame that was not solved, with the places that its header's WCS gives; how wrong they are nobody knows."""
    ra, dec = transform.pixel_to_sky(np.asarray(sources["x"], float), np.asarray(sources["y"], float))
    unknown = np.full(ra.size, np.nan)
    told = f"right ascension and declination are those of the header's WCS, {_verdict(evidence)}"
    report = failed.report.model_copy(
        update={
            **_place(transform, geometry),
            "epoch_jyear": geometry.epoch_jyear,
            "warnings": (*failed.report.warnings, WarningCode.WCS_UNVERIFIED(told)),
            "header_kept": True,
            **_counts(evidence),
        }
    )
    places = SkyPositions(ra, dec, unknown, unknown, unknown)
    return replace(failed, report=report, wcs_cards=map_cards(transform), unverified=places)


def _verdict(evidence: HeaderEvidence | None) -> str:
    """What the stars say of a header whose places are given all the same."""
    if evidence is None:
        return "which no star has confirmed"
    if evidence.against:
        return f"which stars speak against ({evidence.words}): it was accepted by solve.accept_header"
    return f"which no star has confirmed: {evidence.words}, too few to judge it"


def _counts(evidence: HeaderEvidence | None) -> dict[str, Any]:
    if evidence is None:
        return {}
    return {"n_reference_expected": evidence.expected, "n_reference_seen": evidence.seen}


def _attempts(outcome: SolveOutcome | None) -> tuple[SolveAttempt, ...]:
    if outcome is None:
        return ()
    return tuple(
        SolveAttempt(engine=a.engine, seconds=a.seconds, outcome=a.outcome, detail=a.detail, log_odds=a.log_odds)
        for a in outcome.attempts
    )


def _warnings(found: WcsValidation, outcome: SolveOutcome | None) -> tuple[FrameWarning, ...]:
    """What was mended in the header's WCS, and what solving noticed."""
    repairs = tuple(WarningCode.WCS_REPAIRED(f"WCS of the header: {repair}") for repair in found.repairs)
    return (*repairs, *(outcome.notes if outcome is not None else ()))


def _header_facts(found: WcsValidation, outcome: SolveOutcome | None) -> dict[str, Any]:
    state = WcsState.VALID if outcome is not None and outcome.header_valid else found.state
    reason = "; ".join(found.problems) or (outcome.header_reason if outcome is not None else "")
    return {"header_wcs": str(state), "header_wcs_reason": reason or None}


def _bright_rms(solution: AstrometricSolution) -> float | None:
    """Rms per axis of kept pairs above `BRIGHT_SNR`, mas; None where there are none."""
    pairs = solution.pairs
    bright = pairs.kept & (pairs.snr > BRIGHT_SNR)
    if not bright.any():
        return None
    return float(np.sqrt(np.mean((pairs.dx_mas[bright] ** 2 + pairs.dy_mas[bright] ** 2) / 2)))


def _place(transform: SkyTransform, geometry: FrameGeometry) -> dict[str, Any]:
    """Centre, scale, rotation, parity and extent of a solved frame, as the report names them."""
    place = frame_place(transform, geometry)
    return {
        "ra_center_deg": place.ra_deg, "dec_center_deg": place.dec_deg, "scale_arcsec_px": place.scale_arcsec,
        "rotation_deg": place.rotation_deg, "parity": place.parity, "width_deg": place.width_deg,
        "height_deg": place.height_deg,
    }  # fmt: skip


def finite(value: Any) -> float | None:
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
