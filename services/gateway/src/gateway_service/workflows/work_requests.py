"""What the photometry service is asked besides the stages of a reduction, made from finished reductions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from astro_shared.contracts import products
from astro_shared.contracts.gateway import StageName, StageState
from astro_shared.contracts.photometry import ForcedPosition
from astro_shared.contracts.work import ExtinctionCreate
from gateway_service.domain.reductions import Reduction, Stage
from gateway_service.errors import ReductionNotFinishedError, ReductionUnfitError

_FORCED_SECTIONS = ("input", "cosmic_rays", "background", "psf_photometry")


def forced_request(reduction: Reduction, positions: Sequence[ForcedPosition]) -> dict[str, Any]:
    """JSON of a `ForcedRequest`: the same pixels, prepared with the same settings, and the PSF that was found.

    Raises
    ------
    ReductionNotFinishedError
    ReductionUnfitError
        There is no PSF, or no solution for positions on the sky.
    """
    measured = measured_stage(reduction)
    if products.PSF not in measured.files:
        raise ReductionUnfitError(
            f"The reduction {reduction.id} has no PSF (too few stars): fluxes at given positions need one."
        )
    solved = reduction.stage(StageName.SOLVE)
    wcs = solved.files.get(products.WCS) if solved.state is StageState.DONE else None
    on_sky = sum(position.ra_deg is not None for position in positions)
    if on_sky and wcs is None:
        raise ReductionUnfitError(
            f"{on_sky} positions are on the sky, and the reduction {reduction.id} has no astrometric solution: "
            "give x and y in pixels."
        )
    return {
        "frame": reduction.frame_reference,
        **reduction.masters,
        "frame_name": reduction.frame_name,
        "psf": measured.files[products.PSF],
        "sources": measured.files.get(products.SOURCES),
        "wcs": wcs,
        "positions": [position.model_dump(mode="json") for position in positions],
        **zero_point_of_frame(reduction),
        **{name: reduction.settings[name] for name in _FORCED_SECTIONS},
    }


def measured_stage(reduction: Reduction) -> Stage:
    """The stage ``measure`` of a finished reduction.

    Raises
    ------
    ReductionNotFinishedError, ReductionUnfitError
    """
    if not reduction.final:
        raise ReductionNotFinishedError(f"The reduction {reduction.id} is {reduction.phase}: wait until it has ended.")
    measured = reduction.stage(StageName.MEASURE)
    if measured.state is not StageState.DONE:
        raise ReductionUnfitError(
            f"The frame of the reduction {reduction.id} could not be measured: {measured.reason or 'it was stopped'}."
        )
    return measured


def zero_point_of_frame(reduction: Reduction) -> dict[str, Any]:
    """The zero point over the frame, and what the atmosphere took that it does not hold; nothing where there is none."""
    report: Mapping[str, Any] = (reduction.stage(StageName.CALIBRATE).result or {}).get("zero_point", {})
    if report.get("terms") is None:
        return {}
    settings = reduction.settings["zero_point"]
    per_airmass = settings["extinction_mag"]
    outside = per_airmass * (report.get("airmass") or 0.0) if report.get("extinction") == "fixed" else 0.0
    request = {"zero_point": report["terms"], "extinction_mag": outside}
    if report.get("differential_extinction"):
        own = {"extinction_per_airmass_mag": per_airmass, "airmass": report.get("airmass")}
        request |= own | {"airmass_formula": settings["airmass_formula"]}
    return request


def extinction_request(reductions: Sequence[Reduction], asked: ExtinctionCreate) -> dict[str, Any]:
    """JSON of an `ExtinctionRequest` over calibrated reductions.

    Raises
    ------
    ReductionNotFinishedError, ReductionUnfitError
    """
    return {"frames": [_series_frame(reduction) for reduction in reductions], "airmass_formula": asked.airmass_formula}


def _series_frame(reduction: Reduction) -> dict[str, Any]:
    measured, calibrated = measured_stage(reduction), reduction.stage(StageName.CALIBRATE)
    report = (calibrated.result or {}).get("zero_point", {})
    if report.get("status") != "calibrated" or products.CALIBRATORS not in calibrated.files:
        reason = report.get("reason") or calibrated.reason or "there is no zero point"
        raise ReductionUnfitError(f"The reduction {reduction.id} ({reduction.frame_name}) is not calibrated: {reason}.")
    return {
        "name": reduction.frame_name,
        "calibrators": calibrated.files[products.CALIBRATORS],
        "frame": (measured.result or {})["frame"],
        "zero_point": report,
    }
