"""astrometry.net's engine through the ``astrometry`` package, in a process of its own with a deadline."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from astrometry_service.adapters import index_engine_child
from astrometry_service.adapters.engine_answers import plane_from_cards, scale_limits_arcsec
from astrometry_service.adapters.index_folders import IndexFile
from astrometry_service.adapters.programs import run_program
from astrometry_service.domain.solving import EngineAnswer, EngineStatus, SolveHints
from astrometry_service.domain.star_lists import StarList

__all__ = ["IndexEngine"]

BRIGHT_STARS = 50
MIN_STARS = 4
INSTALL_PACKAGE = "pip install 'astrometry-service[blind]'"
INSTALL_INDEXES = (
    "apt-get install astrometry-data-tycho2 (fields of 30 arcmin and more), or put index files of astrometry.net into a"
    " folder and name it with: alidade indexes add FOLDER"
)


class IndexEngine:
    """Blind solving with local index files.

    Parameters
    ----------
    indexes : usable index files
    scratch : folder for temporary files; default the system's
    """

    name = "astrometry"
    remote = False

    def __init__(self, indexes: Sequence[IndexFile], *, scratch: Path | None = None) -> None:
        self._indexes, self._scratch = tuple(indexes), scratch

    def status(self) -> EngineStatus:
        """Usable when the package is installed and there is an index file."""
        if importlib.util.find_spec("astrometry") is None:
            return EngineStatus(self.name, False, "the Python package astrometry is not installed", INSTALL_PACKAGE)
        version = importlib.metadata.version("astrometry")
        if not self._indexes:
            return EngineStatus(self.name, False, "no index files were found", INSTALL_INDEXES, {"version": version})
        return EngineStatus(
            self.name, True, f"version {version}, {len(self._indexes)} index files", details={"version": version}
        )

    def solve(self, stars: StarList, shape: tuple[int, int], hints: SolveHints, *, limit_s: float) -> EngineAnswer:
        """Solve with the 50 brightest stars.

        The search ends by itself between two depths after 0.8 of the limit; the process is killed at the limit.
        """
        status = self.status()
        if not status.usable:
            return EngineAnswer(self.name, "unavailable", 0.0, detail=status.reason)
        if len(stars) < MIN_STARS:
            return EngineAnswer(self.name, "no_solution", 0.0, detail=f"{len(stars)} stars, need {MIN_STARS}")
        low, high = scale_limits_arcsec(hints, shape)
        files = self._fitting(shape, low, high)
        if not files:
            fields = f"{low * max(shape) / 60:.0f} to {high * max(shape) / 60:.0f} arcmin"
            return EngineAnswer(self.name, "unavailable", 0.0, detail=f"no index file for fields of {fields}")
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(dir=self._scratch, prefix="index-engine-") as folder:
            result = run_program(
                [sys.executable, "-P", "-s", index_engine_child.__file__], folder=Path(folder), limit_s=limit_s,
                stdin=json.dumps(_request(stars, hints, low, high, files) | {"limit_s": 0.8 * limit_s}).encode(),
                path=os.defpath,
            )  # fmt: skip
        seconds = time.monotonic() - begun
        if result.timed_out:
            return EngineAnswer(self.name, "time_limit", seconds, detail=f"stopped after {limit_s:.0f} s")
        answers = [line for line in result.output.splitlines() if line.startswith(index_engine_child.MARK)]
        if result.returncode != 0 or not answers:
            detail = f"ended with code {result.returncode}: {result.last_line}"
            return EngineAnswer(self.name, "error", seconds, detail=detail)
        return _answer(json.loads(answers[-1][len(index_engine_child.MARK) :]), self.name, seconds, len(files))

    def _fitting(self, shape: tuple[int, int], low: float, high: float) -> list[IndexFile]:
        """Files whose patterns fit a frame of some scale in the range."""
        height, width = (side / 60 for side in shape)
        return [
            file
            for file in self._indexes
            if any(file.serves(width * scale, height * scale) for scale in _steps(low, high))
        ]


def _steps(low: float, high: float) -> list[float]:
    """Scales from low to high, less than a factor 1.5 apart."""
    scales = [low]
    while scales[-1] * 1.5 < high:
        scales.append(scales[-1] * 1.5)
    return [*scales, high]


def _request(
    stars: StarList, hints: SolveHints, low: float, high: float, files: Sequence[IndexFile]
) -> dict[str, object]:
    bright = stars.brightest(BRIGHT_STARS)
    pointing = hints.pointing
    return {
        # the library calls these FITS pixels: the first one is 1
        "stars": [[float(x) + 1.0, float(y) + 1.0] for x, y in zip(bright.x, bright.y, strict=True)],
        "scale_arcsec": [low, high],
        "position": [pointing[0] % 360.0, pointing[1], hints.radius_deg] if pointing else None,
        "indexes": [str(file.path) for file in files],
    }


def _answer(answer: Mapping[str, Any], name: str, seconds: float, files: int) -> EngineAnswer:
    if "cards" not in answer:
        detail = f"nothing in {files} index files with patterns of the {answer['depth']} brightest stars"
        return EngineAnswer(name, "no_solution" if answer["all"] else "time_limit", seconds, detail=detail)
    plane = plane_from_cards(answer["cards"])
    if plane is None:
        return EngineAnswer(name, "error", seconds, detail="the answer holds no usable WCS")
    return EngineAnswer(name, "solved", seconds, plane, float(answer["log_odds"]), str(answer["index"]))
