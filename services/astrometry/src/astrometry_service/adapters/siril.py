"""Siril's command line as a solver: the star list is drawn as an image, Siril's ``platesolve`` finds where it is.

Scripted solving came with Siril 1.2. Siril needs a scale; with its own star catalogues also a pointing, with
astrometry.net's ``solve-field`` behind it not. Debian's ``siril-cli`` wants a display although it shows nothing: it is
started under ``xvfb-run`` where that is installed.
"""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import tempfile
from functools import cached_property
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from astro_shared.fits.errors import READER_ERRORS
from astrometry_service.adapters.engine_answers import plane_from_cards
from astrometry_service.adapters.programs import ProgramResult, run_program
from astrometry_service.domain.plane_affine import PlaneAffine
from astrometry_service.domain.solving import EngineAnswer, EngineStatus, SolveHints
from astrometry_service.domain.star_lists import StarList

__all__ = ["SirilEngine", "draw_stars", "siril_script"]

FIRST_VERSION = (1, 2)
MAX_STARS = 400
LARGEST_SIDE = 3000
PIXEL_MICRON = 5.0
# The widest ratio of the scale hint that one try is made for: Siril takes one value and allows it some per cent.
WIDEST_SCALE_RATIO = 1.3
INSTALL = "install Siril 1.2 or newer (Debian 13 and newer have it): apt-get install siril"


class SirilEngine:
    """Solving by ``siril-cli``.

    Parameters
    ----------
    program : name or path
    local_solver : let Siril use a local ``solve-field`` instead of its own catalogues
    scratch : folder for temporary files; default the system's
    """

    name = "siril"
    remote = False

    def __init__(self, *, program: str = "siril-cli", local_solver: bool = True, scratch: Path | None = None) -> None:
        self._program, self._local_solver, self._scratch = program, local_solver, scratch

    @cached_property
    def _version(self) -> tuple[int, ...] | None:
        """Version of the program, asked once; None when it does not say one."""
        found = shutil.which(self._program)
        if found is None:
            return None
        try:
            said = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        match = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", said.stdout + said.stderr)
        return tuple(int(part) for part in match.groups() if part) if match else None

    def status(self) -> EngineStatus:
        """Usable from version 1.2 on."""
        if shutil.which(self._program) is None:
            return EngineStatus(self.name, False, f"{self._program} was not found", INSTALL)
        if self._version is None:
            return EngineStatus(self.name, False, f"{self._program} does not say its version", INSTALL)
        version = ".".join(map(str, self._version))
        if self._version < FIRST_VERSION:
            reason = f"version {version}: solving from a script came with 1.2"
            return EngineStatus(self.name, False, reason, INSTALL, {"version": version})
        return EngineStatus(self.name, True, f"version {version}", details={"version": version})

    def solve(self, stars: StarList, shape: tuple[int, int], hints: SolveHints, *, limit_s: float) -> EngineAnswer:
        """Draw the stars, run the script, read the header that Siril wrote."""
        status = self.status()
        if not status.usable:
            return EngineAnswer(self.name, "unavailable", 0.0, detail=status.reason)
        missing = self._missing(hints)
        if missing:
            return EngineAnswer(self.name, "unavailable", 0.0, detail=missing)
        low, high = hints.scale_range_arcsec or (0.0, 0.0)
        shrink = max(1, math.ceil(max(shape) / LARGEST_SIDE))
        with tempfile.TemporaryDirectory(dir=self._scratch, prefix="siril-") as name:
            folder = Path(name)
            fits.writeto(folder / "stars.fit", draw_stars(stars.brightest(MAX_STARS), shape, shrink))
            scale = math.sqrt(low * high) * shrink
            script = siril_script(scale, hints.pointing, local_solver=self._local_solver)
            (folder / "solve.ssf").write_text(script)
            program = shutil.which(self._program) or self._program
            display = shutil.which("xvfb-run")
            arguments = [program, "-d", str(folder), "-s", str(folder / "solve.ssf")]
            result = run_program([display, "-a", *arguments] if display else arguments, folder=folder, limit_s=limit_s)
            return _answer(folder / "solved.fit", result, shrink, limit_s)

    def _missing(self, hints: SolveHints) -> str:
        """What must be known before Siril can be asked."""
        scale = hints.scale_range_arcsec
        if scale is None or scale[1] / scale[0] > WIDEST_SCALE_RATIO:
            return f"needs the scale within {100 * (WIDEST_SCALE_RATIO - 1):.0f} %"
        if hints.pointing is None and not self._local_solver:
            return "needs a pointing"
        return ""


def siril_script(scale_arcsec: float, pointing: tuple[float, float] | None, *, local_solver: bool) -> str:
    """A script for ``siril-cli -s``: load, solve, save."""
    solve = ["platesolve"]
    if pointing is not None:
        solve.append(f"{pointing[0]:.6f},{pointing[1]:+.6f}")
    focal = 206.264806 * PIXEL_MICRON / scale_arcsec
    solve += [f"-focal={focal:.3f}", f"-pixelsize={PIXEL_MICRON:.3f}", "-noflip"]
    if local_solver:
        solve.append("-localasnet")
    return "\n".join(["requires 1.2.0", "setext fit", "load stars", " ".join(solve), "save solved", "close", ""])


def draw_stars(stars: StarList, shape: tuple[int, int], shrink: int) -> NDArray[np.uint16]:
    """An image with a round profile at each star: what a solver that wants pixels can detect.

    Brightness is compressed, so that faint stars of the list are found and bright ones do not saturate.
    """
    height, width = (math.ceil(side / shrink) for side in shape)
    image = np.random.default_rng(20).normal(1000.0, 8.0, (height, width))
    peak = 30000.0 * (np.arange(len(stars), 0, -1) / max(len(stars), 1)) ** 1.5 + 600.0
    span = np.arange(-6, 7)
    for x, y, high in zip((stars.x + 0.5) / shrink - 0.5, (stars.y + 0.5) / shrink - 0.5, peak, strict=True):
        column, row = round(x), round(y)
        if not (6 <= column < width - 6 and 6 <= row < height - 6):
            continue
        across, down = np.exp(-0.5 * ((span + column - x) / 1.4) ** 2), np.exp(-0.5 * ((span + row - y) / 1.4) ** 2)
        image[row - 6 : row + 7, column - 6 : column + 7] += high * np.outer(down, across)
    return np.clip(np.rint(image), 0, 65535).astype(np.uint16)


def _answer(solved: Path, result: ProgramResult, shrink: int, limit_s: float) -> EngineAnswer:
    """Read the WCS of the saved image, or say why there is none."""
    name = SirilEngine.name
    if solved.is_file():
        try:
            plane = plane_from_cards(_with_cd(fits.getheader(solved)))
        except READER_ERRORS as error:
            return EngineAnswer(name, "error", result.seconds, detail=f"its image cannot be read: {error}")
        if plane is not None:
            return EngineAnswer(name, "solved", result.seconds, _enlarged(plane, shrink), None, result.last_line)
    if result.timed_out:
        return EngineAnswer(name, "time_limit", result.seconds, detail=f"stopped after {limit_s:.0f} s")
    if "cannot open display" in result.output:
        detail = "it wants a display although it shows nothing: apt-get install xvfb"
        return EngineAnswer(name, "unavailable", result.seconds, detail=detail)
    said = [line for line in result.output.splitlines() if "olve" in line or "rror" in line or "ailed" in line]
    return EngineAnswer(name, "no_solution", result.seconds, detail=" / ".join(said[-3:])[:400] or result.last_line)


def _with_cd(header: fits.Header) -> fits.Header:
    """CD from PC and CDELT where only those are written."""
    if "CD1_1" not in header and "PC1_1" in header:
        for i in (1, 2):
            for j in (1, 2):
                header[f"CD{i}_{j}"] = header[f"PC{i}_{j}"] * header[f"CDELT{i}"]
    return header


def _enlarged(plane: PlaneAffine, shrink: int) -> PlaneAffine:
    """From the pixels of the drawn image to those of the frame: small = (large + 0.5) / shrink - 0.5."""
    linear = plane.linear / shrink
    offset = plane.matrix[:, 2] + plane.linear @ np.full(2, 0.5 / shrink - 0.5)
    return PlaneAffine(np.column_stack([linear, offset]), plane.ra0_deg, plane.dec0_deg)
