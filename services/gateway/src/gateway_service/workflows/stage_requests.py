"""What each stage is asked, made from the settings of the reduction and the results before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from astro_shared.contracts import products
from astro_shared.contracts.gateway import StageName
from gateway_service.domain.reductions import Reduction, Stage


def stage_request(reduction: Reduction, name: StageName) -> dict[str, Any]:
    """JSON of the request model of the stage's job; each service gets its full sections."""
    return _REQUESTS[name](reduction)


def _sections(settings: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: settings[name] for name in names}


def _measure(reduction: Reduction) -> dict[str, Any]:
    return {
        "frame": reduction.frame_reference,
        **reduction.masters,
        "frame_name": reduction.frame_name,
        **_sections(
            reduction.settings,
            "input",
            "cosmic_rays",
            "background",
            "detection",
            "psf",
            "psf_photometry",
            "aperture",
            "products",
        ),
    }


def _solve(reduction: Reduction) -> dict[str, Any]:
    measured = reduction.stage(StageName.MEASURE)
    result = measured.result or {}
    from_pixels = reduction.settings["astrometry"]["detector"] == "sep"
    return {
        "sources": measured.files[products.SOURCES],
        "frame": reduction.frame_reference if from_pixels else None,
        "header": measured.files.get(products.CARDS),
        "summary": result["frame"],
        "fwhm_px": result.get("fwhm_psf_px") or result.get("fwhm_marginal_px"),
        **_sections(reduction.settings, "solve", "astrometry", "reference", "products"),
    }


def _calibrate(reduction: Reduction) -> dict[str, Any]:
    measured, solved = reduction.stage(StageName.MEASURE), reduction.stage(StageName.SOLVE)
    report = (solved.result or {})["astrometry"]
    return {
        "sources": measured.files[products.SOURCES],
        "positions": solved.files[products.POSITIONS],
        "reference": solved.files[products.REFERENCE],
        "measure": measured.result,
        "depth": measured.files.get(products.DEPTH),
        "ra_center_deg": report["ra_center_deg"],
        "dec_center_deg": report["dec_center_deg"],
        "scale_arcsec_px": report["scale_arcsec_px"],
        **_sections(reduction.settings, "zero_point", "input", "products"),
    }


def _identify(reduction: Reduction) -> dict[str, Any]:
    measured, solved = reduction.stage(StageName.MEASURE), reduction.stage(StageName.SOLVE)
    frame, report = (measured.result or {})["frame"], (solved.result or {})["astrometry"]
    return {
        "positions": solved.files[products.POSITIONS],
        "epoch_jyear": report.get("epoch_jyear") or frame.get("epoch_jyear"),
        "date_mid": frame.get("date_mid"),
        "observatory": reduction.settings["input"]["observatory_code"] or "500",
        "release": reduction.settings["reference"]["release"],
        "identification": reduction.settings["identification"],
        "earlier": _earlier(reduction.stage(StageName.IDENTIFY)),
    }


def _earlier(stage: Stage) -> dict[str, Any] | None:
    """What a former round of ``identify`` found."""
    if not stage.round or stage.result is None:
        return None
    return {
        "matches": stage.files[products.MATCHES],
        "identifications": stage.files[products.IDENTIFICATIONS],
        "catalogues": stage.result["catalogues"],
    }


def _collect(reduction: Reduction) -> dict[str, Any]:
    return {
        "reduction_id": reduction.id,
        "frame_name": reduction.frame_name,
        "settings": dict(reduction.settings),
        "settings_hash": reduction.settings_hash,
        "stages": [
            {
                "name": stage.name,
                "state": stage.state,
                "reason": stage.reason,
                "code": stage.code,
                **{key: (stage.usage or {}).get(key) for key in ("seconds", "cpu_seconds", "peak_mb")},
                "result": stage.result,
                "files": dict(stage.files),
            }
            for stage in reduction.stages
            if stage.name is not StageName.COLLECT
        ],
    }


_REQUESTS: dict[StageName, Callable[[Reduction], dict[str, Any]]] = {
    StageName.MEASURE: _measure,
    StageName.SOLVE: _solve,
    StageName.CALIBRATE: _calibrate,
    StageName.IDENTIFY: _identify,
    StageName.COLLECT: _collect,
}
