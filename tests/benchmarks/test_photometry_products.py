"""What plots, maps, table and archive cost, beside the chain that people write. Writes its section of docs/validation.md."""

from __future__ import annotations

import importlib.util
import json
import pickle
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from astro_shared.contracts.objects import ObjectRef
from astro_shared.contracts.photometry import MeasureRequest
from astro_shared.fits import read_frame
from astro_shared.testing.frames import Camera, simulate_frame
from photometry_service.workflows.measure_sources import MeasureSources
from photometry_service.workflows.prepare_frame import prepare_frame

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]

SUPPORT = Path(__file__).parents[1] / "support"
ROUNDS = 3
MOST_SHARE = 0.1
GOAL_S = {2048: 0.65, 4096: 2.4}
FIELDS = ((2048, 2000), (4096, 10_000))


def chain(name: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, str(SUPPORT / "product_chains.py"), name, str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(ended.stdout.splitlines()[-1]))


def measured(folder: Path, side: int, stars: int) -> None:
    frame = simulate_frame(2024, n_stars=stars, camera=Camera(shape=(side, side)))
    frame.write(folder / "raw.fits")
    request = MeasureRequest(frame=ObjectRef(key="a", sha256="0" * 64, size=1), frame_name="raw.fits")
    prepared = prepare_frame(read_frame(folder / "raw.fits"), request.input, "raw.fits")
    with (folder / "measured.pkl").open("wb") as file:
        pickle.dump((MeasureSources()(prepared, request, lambda *_: None), request), file)


def test_products_cost_a_tenth_of_the_naive_chain(tmp_path: Path) -> None:
    rows, shares = [], {}
    for side, stars in FIELDS:
        folder = tmp_path / str(side)
        folder.mkdir()
        measured(folder, side, stars)
        runs = [(chain("alidade", folder), chain("naive", folder)) for _ in range(ROUNDS)]
        ours, theirs = (statistics.median(run[k]["cpu_s"] for run in runs) for k in (0, 1))
        shares[side] = ours / theirs
        archives = [run["sizes"]["archive.zip"] / 1e6 for run in runs[-1]]
        rows.append((f"{side} x {side}, {stars} stars", ours, f"{GOAL_S[side]:g}", theirs, ours / theirs, *archives))
    page = _page()
    head = (
        "frame", "Alidade, CPU s", "goal, CPU s", "naive, CPU s", "ratio (goal 0.10)", "archive, MB", "naive archive, MB",
    )  # fmt: skip
    words = [
        "Seven plots with their data, three maps, the catalogue as CSV and the archive, against five plots of whole",
        "frames (pyplot), the maps as .fits.gz, CSV and a deflated ZIP (astropy). Medians of",
        f"{ROUNDS} alternated runs, one process each, imports not counted. The CPU seconds are those of this machine under",
        "its load then; the ratio is the figure to look at.",
        "",
    ]
    command = "pytest -m benchmark tests/benchmarks/test_photometry_products.py"
    page.write_section("photometry products", "Plots and archives", [*words, *page.table(head, rows)], command=command)
    assert max(shares.values()) <= MOST_SHARE, shares


def _page() -> Any:
    spec = importlib.util.spec_from_file_location("validation_page", SUPPORT / "validation_page.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
