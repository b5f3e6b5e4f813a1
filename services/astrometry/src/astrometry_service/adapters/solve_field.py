"""astrometry.net's program ``solve-field``, given a star list in a scratch folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from astropy.io import fits

from astro_shared.fits.errors import READER_ERRORS
from astrometry_service.adapters.engine_answers import plane_from_cards, scale_limits_arcsec, write_star_table
from astrometry_service.adapters.index_folders import IndexFile
from astrometry_service.adapters.programs import ProgramResult, run_program
from astrometry_service.domain.solving import EngineAnswer, EngineStatus, SolveHints
from astrometry_service.domain.star_lists import StarList

__all__ = ["SolveFieldEngine"]

MAX_STARS = 1000
MIN_STARS = 4


class SolveFieldEngine:
    """Blind solving by ``solve-field``.

    Parameters
    ----------
    indexes : usable index files
    program : name or path
    scratch : folder for temporary files; default the system's
    """

    name = "solve-field"
    remote = False

    def __init__(
        self, indexes: Sequence[IndexFile], *, program: str = "solve-field", scratch: Path | None = None
    ) -> None:
        self._indexes, self._program, self._scratch = tuple(indexes), program, scratch

    def status(self) -> EngineStatus:
        """Usable when the program is found and there is an index file."""
        found = shutil.which(self._program)
        if found is None:
            return EngineStatus(self.name, False, f"{self._program} was not found", "apt-get install astrometry.net")
        if not self._indexes:
            install = "apt-get install astrometry-data-tycho2, or: alidade indexes add FOLDER"
            return EngineStatus(self.name, False, "no index files were found", install, {"program": found})
        reason = f"{found}, {len(self._indexes)} index files"
        return EngineStatus(self.name, True, reason, details={"program": found})

    def solve(self, stars: StarList, shape: tuple[int, int], hints: SolveHints, *, limit_s: float) -> EngineAnswer:
        """Run the program on the brightest stars."""
        status = self.status()
        if not status.usable:
            return EngineAnswer(self.name, "unavailable", 0.0, detail=status.reason)
        if len(stars) < MIN_STARS:
            return EngineAnswer(self.name, "no_solution", 0.0, detail=f"{len(stars)} stars, need {MIN_STARS}")
        with tempfile.TemporaryDirectory(dir=self._scratch, prefix="solve-field-") as name:
            folder = Path(name)
            write_star_table(stars.brightest(MAX_STARS), folder / "stars.xyls")
            (folder / "engine.cfg").write_text(self._config(limit_s))
            arguments = [status.details["program"], *solve_field_arguments(shape, hints, folder, limit_s)]
            result = run_program(arguments, folder=folder, limit_s=limit_s + 1.0)
            return _answer(folder / "stars.wcs", result, limit_s)

    def _config(self, limit_s: float) -> str:
        """The engine's configuration: our index files and no other."""
        lines = [f"cpulimit {max(1, round(limit_s))}", "inparallel"]
        return "\n".join(lines + [f"index {file.path}" for file in self._indexes]) + "\n"


def solve_field_arguments(shape: tuple[int, int], hints: SolveHints, folder: Path, limit_s: float) -> list[str]:
    """Arguments for a star list ``stars.xyls`` in a folder."""
    low, high = scale_limits_arcsec(hints, shape)
    arguments = [
        "--no-plots", "--overwrite", "--no-tweak", "--no-remove-lines", "--temp-axy",
        "--backend-config", str(folder / "engine.cfg"), "--dir", str(folder), "--temp-dir", str(folder),
        "--x-column", "X", "--y-column", "Y", "--sort-column", "FLUX",
        "--width", str(shape[1]), "--height", str(shape[0]),
        "--scale-units", "arcsecperpix", "--scale-low", f"{low:.8g}", "--scale-high", f"{high:.8g}",
        "--cpulimit", str(max(1, round(limit_s))),
        "--new-fits", "none", "--index-xyls", "none", "--match", "none", "--rdls", "none", "--corr", "none",
        "--solved", "none", "--wcs", str(folder / "stars.wcs"),
    ]  # fmt: skip
    if hints.pointing is not None:
        ra, dec = hints.pointing
        arguments += ["--ra", f"{ra:.8f}", "--dec", f"{dec:.8f}", "--radius", f"{hints.radius_deg:.6g}"]
    return [*arguments, str(folder / "stars.xyls")]


def _answer(wcs: Path, result: ProgramResult, limit_s: float) -> EngineAnswer:
    """Read the WCS that the program left, or say why there is none."""
    name = SolveFieldEngine.name
    if wcs.is_file():
        try:
            plane = plane_from_cards(fits.getheader(wcs))
        except READER_ERRORS as error:
            return EngineAnswer(name, "error", result.seconds, detail=f"its WCS file cannot be read: {error}")
        if plane is not None:
            return EngineAnswer(name, "solved", result.seconds, plane, _log_odds(result.output), result.last_line)
    if result.timed_out:
        return EngineAnswer(name, "time_limit", result.seconds, detail=f"stopped after {limit_s:.0f} s")
    if result.returncode != 0:
        detail = f"ended with code {result.returncode}: {result.last_line}"
        return EngineAnswer(name, "error", result.seconds, detail=detail)
    return EngineAnswer(name, "no_solution", result.seconds, detail="did not solve")


def _log_odds(output: str) -> float | None:
    """The number of ``log-odds ratio 94.3 (...)`` in the program's text."""
    for line in output.splitlines():
        _, found, rest = line.partition("log-odds ratio ")
        if found:
            try:
                return float(rest.split()[0])
            except (ValueError, IndexError):
                return None
    return None
