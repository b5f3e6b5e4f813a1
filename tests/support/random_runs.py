"""Random frames, and the folder of real ones, through the whole chain: ``random_runs.py FIRST:LAST|real FOLDER``.

``random_runs.py table LINES...`` makes the section of docs/validation.md of what those printed.

One line of JSON per frame on standard output; tracebacks stay in FOLDER. The exit status is 1 where a frame crashed or
was solved to a wrong place.
"""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import photometry_page
from astro_shared.testing.real_data import MISSING, find_real_data
from independent_sky import Truth, random_frame
from whole_chain import Ended, reduce_frame

WRONG_PX = 1.0
"""A solution whose places are further off in the median is wrong."""
PLOTS_EVERY = 5
"""Plots cost more than all else together: one frame in so many has them."""
VERIFIED = ("valid", "calibrated")


@dataclass(frozen=True)
class Run:
    """One frame and how it ended.

    Attributes
    ----------
    off_px : median distance of the places of a verified solution from the true ones; NaN without either
    """

    name: str
    ended: Ended
    facts: dict[str, Any]
    off_px: float = float("nan")

    @property
    def wrong(self) -> bool:
        """Whether a solution that was called verified is not."""
        return self.off_px > WRONG_PX

    @property
    def line(self) -> dict[str, Any]:
        done = self.ended
        astrometry = done.results.get("solve", {}).get("astrometry", {})
        return {
            "name": self.name, "state": done.state, "stage": done.stage, "refused": done.refused,
            "seconds": round(done.seconds, 1), "sources": len(done.tables.get("sources", {}).get("id", ())),
            "off_px": round(self.off_px, 3), "reason": astrometry.get("reason"), **self.facts,
            "crash": done.crash.strip().splitlines()[-1] if done.crash else "",
        }  # fmt: skip


def random_run(seed: int, folder: Path) -> Run:
    """Draw a frame and reduce it; only tracebacks are kept."""
    frame = random_frame(seed)
    work = folder / f"random-{seed}"
    paths = frame.write(work)
    ended = reduce_frame(*paths, work / "out", plots=seed % PLOTS_EVERY == 0)
    _tidy(work, ended)
    return Run(f"random-{seed}", ended, dict(frame.notes), places_off_px(ended, frame.truth))


def places_off_px(ended: Ended, truth: Truth) -> float:
    """Median distance between the true and the stated places of the measured sources; NaN where none is verified."""
    if ended.state not in VERIFIED or "positions" not in ended.tables:
        return float("nan")
    sources, places = ended.tables["sources"], ended.tables["positions"]
    _, here, there = np.intersect1d(sources["id"], places["id"], return_indices=True)
    x, y = truth.wcs.all_world2pix(places["ra"][there], places["dec"][there], 0)
    off = np.hypot(x - sources["x"][here], y - sources["y"][here])
    return float(np.median(off[np.isfinite(off)])) if np.isfinite(off).any() else float("inf")


def real_runs(folder: Path) -> Iterator[Run]:
    """Every file of the folder of real frames, with a list of its field where there is one."""
    data = find_real_data()
    if data is None:
        raise SystemExit(MISSING)
    lists = {"hatp32": "tycho2_hatp32.csv", "panoptes": "tycho2_panoptes_cygnus.csv", "M67": "tycho2_m67.csv"}
    frames = (path for path in sorted((data / "frames").rglob("*")) if path.is_file() and path.suffix != ".md")
    for path in frames:
        name = str(path.relative_to(data / "frames"))
        list_name = next((file for start, file in lists.items() if name.startswith(start)), "tycho2_m67.csv")
        work = folder / name.replace("/", "_")
        ended = reduce_frame(path, data / "catalogs" / list_name, work / "out")
        _tidy(work, ended)
        yield Run(name, ended, {})


def _tidy(work: Path, ended: Ended) -> None:
    if not ended.crash:
        shutil.rmtree(work)
        return
    shutil.rmtree(work / "out", ignore_errors=True)
    (work / "traceback.txt").write_text(ended.crash)


def table(paths: list[Path]) -> str:
    """How many frames ended in which way, of lines that were printed before."""
    lines = [json.loads(line) for path in paths for line in path.read_text().splitlines() if line.startswith("{")]
    groups = {
        "random": [line for line in lines if line["name"].startswith("random-")],
        "real": [line for line in lines if not line["name"].startswith("random-")],
    }
    labels = {
        "frames": lambda line: True,
        "internal errors": lambda line: line["state"] == "crashed",
        "solved to a wrong place": lambda line: line["off_px"] > WRONG_PX,
        "verified and calibrated": lambda line: line["state"] in VERIFIED and line["stage"] == "calibrate",
        "verified, not calibrated": lambda line: line["state"] in VERIFIED and line["stage"] != "calibrate",
        "not solved, with a reason": lambda line: line["state"] in ("missing", "malformed", "unverified"),
        "refused with a reason": lambda line: line["state"] == "refused",
    }
    rows = [[name, *(str(sum(map(holds, group))) for group in groups.values())] for name, holds in labels.items()]
    off = [line["off_px"] for line in groups["random"] if np.isfinite(line["off_px"])]
    worst = f"The worst verified map is {max(off):.2f} px off in the median over its frame." if off else ""
    return "\n\n".join([
        "## Random frames",
        "`make random-frames`: frames of the second simulator of which everything is random (size, density, optics, "
        "gain, depth of bits, poor and wrong headers, missing and wrong maps), and every file of the folder of real "
        "frames, through measure, solve and calibrate; no blind engines. " + worst,
        photometry_page.table(["", *groups], rows),
    ])  # fmt: skip


def main(which: str, folder: Path) -> int:
    warnings.simplefilter("ignore")
    if which == "real":
        runs = real_runs(folder)
    else:
        first, last = (int(part) for part in which.split(":"))
        runs = (random_run(seed, folder) for seed in range(first, last))
    states: Counter[str] = Counter()
    for run in runs:
        states["wrong" if run.wrong else run.ended.state] += 1
        print(json.dumps(run.line, default=str), flush=True)
    print(dict(states), file=sys.stderr)
    return int(states["crashed"] + states["wrong"] > 0)


if __name__ == "__main__":
    if sys.argv[1] == "table":
        photometry_page.write_section("random-frames", table([Path(path) for path in sys.argv[2:]]))
        sys.exit()
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
