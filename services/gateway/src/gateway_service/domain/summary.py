"""``summary.json``: what a person or program wants to know of a frame at one look.

What is not known is null, with the reason beside it under the same name and ``_reason``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from astro_shared.contracts.gateway import CollectStage, ReductionStatus, StageName, StageState
from astro_shared.contracts.warned import coded_warnings
from astro_shared.frame_warnings import FrameWarning
from gateway_service.domain.frame_time import BarycentricDate, frame_time

_ASTROMETRY = (
    "state", "engine", "ra_center_deg", "dec_center_deg", "scale_arcsec_px", "rotation_deg", "parity", "n_matched",
    "n_used", "rms_mas", "degree", "alpha", "alpha_err", "alpha_upper", "sigma_sys_mas", "sigma_sys_err_mas",
    "sigma_sys_upper_mas", "chi2_dof", "solution_error_mas", "epoch_jyear", "epoch_assumed", "epoch_err_yr", "reference_name",
    "prior",
)  # fmt: skip
# Of a frame that was not solved: how many stars there were, what was tried for how long, and what to try.
_FAILURE = (
    "n_sources", "header_wcs", "header_wcs_reason", "header_kept", "n_reference_expected", "n_reference_seen", "attempts",
    "advice",
)  # fmt: skip

_ZERO_POINT = (
    "band", "value", "error", "error_total", "color", "color_term", "color_zero", "n_used", "rms", "extinction",
)  # fmt: skip

_QUALITY = (
    "saturated", "ellipticity", "background_e", "background_rms_e", "rms_ratio", "cosmic_ray_pixels", "psf_kind", "psf_stars",
    "psf_misfit", "chi2_median", "core_residual_over_noise", "position_error_over_bound", "aperture_correction_mag",
    "aperture_correction_err_mag", "noise_flux_e",
)  # fmt: skip


def outcome(stages: Mapping[StageName, CollectStage]) -> tuple[ReductionStatus, str | None]:
    """Status of the reduction and, unless it is calibrated, the reason in words."""
    measured, solved, calibrated = (stages[name] for name in (StageName.MEASURE, StageName.SOLVE, StageName.CALIBRATE))
    if measured.state is not StageState.DONE:
        return "failed", measured.reason or "the frame could not be measured"
    if not _solved(solved):
        return "uncalibrated", _astrometry_reason(solved)
    report = (calibrated.result or {}).get("zero_point", {})
    if calibrated.state is not StageState.DONE or report.get("status") != "calibrated":
        return "uncalibrated", report.get("reason") or calibrated.reason or "there is no zero point"
    if _without_stars(solved):
        return "uncalibrated", f"no star calibrates the positions: {_astrometry_reason(solved)}"
    return "calibrated", None


def summary(
    frame_name: str,
    settings_hash: str,
    software: str,
    stages: Mapping[StageName, CollectStage],
    own: Sequence[Mapping[str, Any]],
    barycentric: BarycentricDate,
) -> dict[str, Any]:
    """The document; ``own`` are the lines of the stage that writes it."""
    status, reason = outcome(stages)
    measured = stages[StageName.MEASURE].result or {}
    airmass, airmass_reason = _airmass(stages)
    warnings = _warnings(stages)
    document: dict[str, Any] = {
        "frame": frame_name,
        "status": status,
        "reason": reason,
        "software": software,
        "settings_hash": settings_hash,
        "sources": measured.get("sources"),
        "fwhm_psf_px": measured.get("fwhm_psf_px"),
        "fwhm_marginal_px": measured.get("fwhm_marginal_px"),
        "astrometry": _astrometry(stages[StageName.SOLVE]),
        "zero_point": _zero_point(stages),
        "limiting_mag_5sigma": _report(stages).get("limiting_mag_5sigma"),
        "quality": _quality(stages),
        "airmass": airmass,
        "time": frame_time(stages, airmass, barycentric),
        "identification": _identification(stages[StageName.IDENTIFY]),
        "warnings": [str(warning) for warning in warnings],
        "warning_codes": [str(warning.code) for warning in warnings],
        "stages": [*(_stage(stage) for stage in stages.values()), *own],
    }
    for name in ("sources", "fwhm_psf_px", "fwhm_marginal_px"):
        if document[name] is None:
            document[f"{name}_reason"] = stages[StageName.MEASURE].reason or "it could not be measured on this frame"
    if document["limiting_mag_5sigma"] is None:
        document["limiting_mag_5sigma_reason"] = reason or "the noise of a point source is not known"
    if document["time"]["date_mid"] is None:
        document["time"]["date_mid_reason"] = "the header gives no date of observation"
    if airmass is None:
        document["airmass_reason"] = airmass_reason
    return document


def _quality(stages: Mapping[StageName, CollectStage]) -> dict[str, Any]:
    """Figures that tell how far the frame can be trusted; ``seconds`` are those of the steps of ``measure``."""
    measured, report = stages[StageName.MEASURE].result or {}, _report(stages)
    return (
        {name: measured.get(name) for name in _QUALITY}
        | {
            "completeness_50_mag": report.get("completeness_50_mag"),
            "completeness_90_mag": report.get("completeness_90_mag"),
        }
        | {"steps_seconds": measured.get("seconds") or {}}
    )


def _solved(stage: CollectStage) -> bool:
    return stage.state is StageState.DONE and bool((stage.result or {}).get("astrometry", {}).get("solved"))


def _without_stars(stage: CollectStage) -> bool:
    """Whether the positions are those of a start that no pair of a source and a reference star carries."""
    return (stage.result or {}).get("astrometry", {}).get("n_matched") == 0


def _astrometry_reason(stage: CollectStage) -> str:
    return (
        (stage.result or {}).get("astrometry", {}).get("reason") or stage.reason or "no astrometric solution was found"
    )


def _astrometry(stage: CollectStage) -> dict[str, Any]:
    report = (stage.result or {}).get("astrometry", {})
    section = {name: report.get(name) for name in _ASTROMETRY}
    section["state"] = section["state"] or "missing"
    if not _solved(stage):
        section["reason"] = _astrometry_reason(stage)
        section |= {name: report[name] for name in _FAILURE if name in report}
    elif report.get("reason"):
        section["reason"] = report["reason"]
    return section


def _report(stages: Mapping[StageName, CollectStage]) -> dict[str, Any]:
    return dict((stages[StageName.CALIBRATE].result or {}).get("zero_point", {}))


def _zero_point(stages: Mapping[StageName, CollectStage]) -> dict[str, Any]:
    report = _report(stages)
    section = {name: report.get(name) for name in _ZERO_POINT}
    if section["value"] is None:
        section["value_reason"] = outcome(stages)[1]
    return section


def known_airmass(stages: Mapping[StageName, CollectStage]) -> float | None:
    """Of the centre of the frame, from its solution or the header."""
    return _airmass(stages)[0]


def _airmass(stages: Mapping[StageName, CollectStage]) -> tuple[float | None, str | None]:
    report = _report(stages)
    if report.get("airmass") is not None:
        return report["airmass"], None
    frame = (stages[StageName.MEASURE].result or {}).get("frame", {})
    if frame.get("airmass_header") is not None:
        return frame["airmass_header"], None
    return None, report.get("airmass_reason") or "there is no solution to compute it from, and the header has none"


def _identification(stage: CollectStage) -> dict[str, dict[str, Any]]:
    found = (stage.result or {}).get("catalogues", ())
    return {
        entry["catalogue"]: {
            "status": entry["status"],
            "matches": entry["matches"],
            **({"cause": entry["cause"], "message": entry.get("message")} if entry.get("cause") else {}),
        }
        for entry in found
    }


def _warnings(stages: Mapping[StageName, CollectStage]) -> list[FrameWarning]:
    measured, solved = stages[StageName.MEASURE].result or {}, stages[StageName.SOLVE].result or {}
    sources = (measured.get("frame", {}), solved.get("astrometry", {}), _report(stages))
    return [warning for source in sources for warning in coded_warnings(source)]


def _stage(stage: CollectStage) -> dict[str, Any]:
    line: dict[str, Any] = {"name": str(stage.name), "state": str(stage.state)}
    line |= {name: getattr(stage, name) for name in ("seconds", "cpu_seconds", "peak_mb")}
    if stage.reason:
        line["reason"] = stage.reason
    return line
