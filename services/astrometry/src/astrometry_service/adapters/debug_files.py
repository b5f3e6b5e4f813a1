"""What ``astrometry.debug`` keeps: regions with their affines, clipping rounds, depth-match lists."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from astro_shared.contracts import products
from astro_shared.contracts.tables import TableSchema
from astro_shared.fits.tables import write_columns
from astro_shared.jobs.task import OutputFile

__all__ = ["write_debug_files"]

STEPS = ("rms_clipping", "error_clipping")


def write_debug_files(
    folder: Path, kept: Mapping[str, Any], report: Mapping[str, Any], identifiers: Any, source_id: Any
) -> dict[str, OutputFile]:
    """Write ``debug/``: ``regions.json``, ``clipping.json``, ``depth_match.fits``; nothing where nothing was kept.

    Parameters
    ----------
    kept : `AstrometricSolution.products`
    report : of the solution; its clipping rounds are written
    identifiers : (n,), ids of the sources
    source_id : (m,), of the reference stars
    """
    if not kept:
        return {}
    target = folder / products.DEBUG
    target.mkdir(parents=True, exist_ok=True)
    regions = {"regions": plain(kept["regions"]), "mean_affine": plain(kept["mean_affine"])}
    steps = report.get("steps", {})
    rounds = {name: plain(step) for name, step in steps.items() if name.startswith(STEPS)}
    for name, content in (("regions.json", regions), ("clipping.json", rounds)):
        (target / name).write_text(json.dumps(content, allow_nan=False), encoding="utf-8")
    pairs = kept["depth_match"]
    columns = {
        "id": np.asarray(identifiers)[pairs["source"]],
        "source_id": np.asarray(source_id)[pairs["reference"]],
        "fitted": pairs["fitted"],
        "kept": pairs["kept"],
    }
    write_columns(target / "depth_match.fits", columns, TableSchema("depth_match", ()))
    media = {".json": products.JSON, ".fits": products.FITS}
    return {f"{products.DEBUG}{path.name}": OutputFile(path, media[path.suffix]) for path in sorted(target.iterdir())}


def plain(value: Any) -> Any:
    """JSON of nested dataclasses, mappings and arrays; what is not finite is null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if value is None or isinstance(value, (str, int, bool)) else str(value)
