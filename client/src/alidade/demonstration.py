"""A simulated sky through the whole platform, compared with its truth: what ``make demo`` shows."""

from __future__ import annotations

import csv
import json
import math
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from alidade.client import AlidadeClient
from alidade.processing import fetch_results, use_reference
from astro_shared.contracts.gateway import ReductionView, StageState
from astro_shared.testing.frames import SimulatedFrame, simulate_frame
from astro_shared.testing.truth import completeness, match_to_truth, solution_error, solution_floor

SEED = 2024
STARS = 2000
MAX_ZERO_POINT_SIGMA = 3.0
MIN_ZERO_POINT_TOLERANCE_MAG = 0.01
MAX_SOLUTION_OVER_FLOOR = 2.0
MIN_COMPLETENESS = 0.95
MAX_FALSE_FRACTION = 0.03

Say = Callable[[str], None]


@dataclass(frozen=True)
class Check:
    """One figure beside its truth or its limit."""

    name: str
    text: str
    good: bool


def run_demo(url: str, out: Path, say: Say) -> list[Check]:
    """Simulate, register, log in, send, wait, compare.

    Returns
    -------
    What was compared; all good when the demo succeeded.
    """
    begin = time.monotonic()
    frame = simulate_frame(SEED, n_stars=STARS)
    out.mkdir(parents=True, exist_ok=True)
    path, reference = out / "demo_frame.fits", out / "demo_reference.fits"
    frame.write(path)
    frame.write_reference(reference)
    ny, nx = frame.data.shape
    say(f"Simulated {nx} x {ny} px with {len(frame.truth)} stars and {len(frame.reference)} reference stars "
        f"({time.monotonic() - begin:.1f} s)")  # fmt: skip
    user, password = f"demo-{secrets.token_hex(4)}", secrets.token_urlsafe(16)
    with AlidadeClient(url) as client:
        client.register(user, password)
        client.login(user, password)
        say(f"Registered and logged in as {user}")
        name = use_reference(client, str(reference), say=say)
        upload = client.upload(path)
        settings = {"reference": {"name": name}}
        started = client.reduce(upload.id, settings=settings)
        final = _watch(client, started, say)
        summary = fetch_results(client, final, out / "demo_frame")
    return compare(frame, out / "demo_frame", summary)


def _watch(client: AlidadeClient, reduction: ReductionView, say: Say) -> ReductionView:
    told: set[str] = set()
    for view in client.watch(reduction.id, every_s=0.2):
        for stage in view.stages:
            if stage.state not in (StageState.WAITING, StageState.RUNNING) and stage.name not in told:
                told.add(stage.name)
                seconds = f"{stage.seconds:6.2f} s" if stage.seconds is not None else " " * 8
                say(f"  {stage.name:<10} {stage.state:<8} {seconds}  {stage.reason or ''}".rstrip())
        reduction = view
    return reduction


def compare(frame: SimulatedFrame, folder: Path, summary: Mapping[str, Any]) -> list[Check]:
    """Every figure of the result beside its truth."""
    if summary["status"] != "calibrated":
        return [Check("status", f"{summary['status']}: {summary['reason']}", False)]
    catalog = read_numbers(folder / "catalog.csv", ("x", "y"))
    return [
        Check("sources", f"{summary['sources']} found", summary["sources"] > 0),
        _width(frame, summary),
        _zero_point(frame, summary["zero_point"]),
        *_astrometry(frame, folder, summary["astrometry"]),
        *_detection(frame, catalog),
    ]


def read_numbers(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Some columns of a CSV file as floats; empty cells are NaN."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in names}


def _width(frame: SimulatedFrame, summary: Mapping[str, Any]) -> Check:
    truth = float(np.median(frame.truth["fwhm"]))
    value = summary["fwhm_psf_px"]
    good = value is not None and abs(value / truth - 1) < 0.05
    return Check("FWHM", f"{value:.3f} px   truth {truth:.3f} px" if value else "not measured", good)


def _zero_point(frame: SimulatedFrame, zero: Mapping[str, Any]) -> Check:
    truth = frame.zero_point_at(zero["color_zero"])
    off = zero["value"] - truth
    limit = max(MAX_ZERO_POINT_SIGMA * zero["error"], MIN_ZERO_POINT_TOLERANCE_MAG)
    text = f"{zero['value']:.4f} ± {zero['error']:.4f} mag ({zero['band']}, {zero['n_used']} stars)   truth {truth:.4f}"
    return Check("zero point", f"{text}   off by {off:+.4f}, limit {limit:.4f}", abs(off) <= limit)


def _astrometry(frame: SimulatedFrame, folder: Path, report: Mapping[str, Any]) -> list[Check]:
    with fits.open(folder / "wcs.fits") as hdus:
        header = hdus[0].header
        header["NAXIS"] = 2
        solved = WCS(header)
    error = solution_error(solved, frame.wcs, frame.data.shape)
    floor = solution_floor(frame.truth, frame.camera, report["degree"])
    ratio = error.rms_axis_mas / floor
    matched = f"{report['n_matched']} stars, rms {report['rms_mas']:.1f} mas per axis, degree {report['degree']}"
    text = (
        f"{error.rms_axis_mas:.2f} mas   floor {floor:.2f} mas   ratio {ratio:.2f}, limit {MAX_SOLUTION_OVER_FLOOR:.1f}"
    )
    return [Check("astrometry", matched, True), Check("solution error", text, ratio <= MAX_SOLUTION_OVER_FLOOR)]


def _detection(frame: SimulatedFrame, catalog: Mapping[str, np.ndarray]) -> list[Check]:
    match = match_to_truth(frame.truth, catalog["x"], catalog["y"], shape=frame.data.shape)
    share = completeness(frame.truth, match, 10.0)
    false = len(match.false) / max(1, int(match.measured_inside.sum()))
    return [
        Check("completeness", f"{share:.4f} at S/N > 10, limit {MIN_COMPLETENESS}", share >= MIN_COMPLETENESS),
        Check("false sources", f"{false:.4f}, limit {MAX_FALSE_FRACTION}", false <= MAX_FALSE_FRACTION),
    ]


def as_json(checks: Sequence[Check]) -> str:
    """For programs."""
    return json.dumps([{"name": check.name, "text": check.text, "good": check.good} for check in checks], indent=2)


def seconds_since(begin: float) -> str:
    return f"{math.ceil(10 * (time.monotonic() - begin)) / 10:.1f} s"
