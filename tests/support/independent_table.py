"""Alidade, SExtractor with PSFEx and photutils on frames of the second simulator, against the truth.

Alidade gets the file and the list of reference stars and goes through measure, solve and calibrate; its peers get the
pixels in electrons without their pedestal, with the saturation known. What was drawn and what a peer found is kept in
a folder and used again when the folder is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from independent_judge import Judgement, Measured, judge, robust_sigma
from independent_sky import Frame, Truth, draw_kind
from whole_chain import Ended, reduce_frame

CHAINS = Path(__file__).parent / "photometry_chains.py"
PEERS = {"sextractor_psf": "SExtractor + PSFEx", "photutils_iterative": "photutils, iterative"}
OWN = "alidade"
THREADS = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}


@dataclass(frozen=True)
class Case:
    """Frames of a kind of `independent_sky.KINDS`, of a size and with a number of stars."""

    kind: str
    n_stars: int = 500
    side_px: int = 640

    def draw(self, seed: int) -> Frame:
        return draw_kind(self.kind, seed, side_px=self.side_px, n_stars=self.n_stars)


CASES = {
    "plain": Case("moffat"),
    "pedestal": Case("pedestal"),
    "kolmogorov": Case("kolmogorov"),
    "ellipticity to 0.4": Case("field_curvature"),
    "coma to a quarter wave": Case("coma"),
    "obscured Airy": Case("obscured_airy"),
    "galaxies": Case("galaxies"),
    "steep sky": Case("steep_sky"),
    "vignetted to 50 %": Case("vignetted"),
    "resampled": Case("resampled"),
    "crowded": Case("moffat", n_stars=1800),
}
GLOBULAR = Case("globular")


@dataclass
class Compared:
    """All programs on the frames of one case.

    Attributes
    ----------
    judged : per program, one judgement per frame
    ended : Alidade's runs
    relative_scatter : per peer and frame, Alidade's scatter over the peer's on the stars that both have
    """

    judged: dict[str, list[Judgement]] = field(default_factory=dict)
    ended: list[Ended] = field(default_factory=list)
    relative_scatter: dict[str, list[float]] = field(default_factory=dict)

    @property
    def crashes(self) -> list[str]:
        return [run.crash for run in self.ended if run.crash]

    def values(self, program: str, name: str) -> NDArray[np.float64]:
        """(n,): one figure of all frames."""
        return np.array([getattr(judgement, name) for judgement in self.judged[program]], float)

    def middle(self, program: str, name: str) -> float:
        """Median over the frames."""
        return float(np.nanmedian(self.values(program, name)))


def compare(
    case: Case, seeds: Iterable[int], folder: Path, peers: Sequence[str] = tuple(PEERS), *,
    first: Mapping[str, int] | None = None,
) -> Compared:  # fmt: skip
    """Draw, reduce and judge.

    Parameters
    ----------
    folder : what the peers found is taken from here where it is, and left here where it is not
    first : peers that take only that many of the first frames
    """
    compared = Compared()
    for number, seed in enumerate(seeds):
        asked = [program for program in peers if number < (first or {}).get(program, number + 1)]
        frame = case.draw(seed)
        work = folder / f"{case.kind}-{case.side_px}-{case.n_stars}-{seed}"
        lists = {program: peer_list(program, frame, work) for program in asked}
        ended = reduce_frame(*frame.write(work), work / "out", plots=False)
        compared.ended.append(ended)
        lists = {OWN: own_list(ended)} | lists
        for program, measured in lists.items():
            compared.judged.setdefault(program, []).append(judge(frame.truth, measured))
        own = compared.judged[OWN][-1].residual
        for program in asked:
            ratio = _relative(own, compared.judged[program][-1].residual)
            compared.relative_scatter.setdefault(program, []).append(ratio)
    return compared


def own_list(ended: Ended) -> Measured:
    """Fluxes in electrons of the measure stage with calibrated magnitudes where there are some."""
    if "sources" not in ended.tables:
        return Measured.of({"x": np.zeros(0), "y": np.zeros(0)})
    sources = ended.tables["sources"]
    mag = np.full(len(sources["x"]), np.nan)
    if "calibrated" in ended.tables:
        calibrated = ended.tables["calibrated"]
        _, here, there = np.intersect1d(sources["id"], calibrated["id"], return_indices=True)
        mag[here] = calibrated["mag_cal_psf"][there]
    return Measured.of({
        "x": sources["x"], "y": sources["y"], "flux": sources["flux_psf"], "flux_err": sources["flux_psf_err"],
        "x_err": np.sqrt(sources["x_var"]), "y_err": np.sqrt(sources["y_var"]), "flags": sources["flags"], "mag": mag,
    })  # fmt: skip


def peer_list(program: str, frame: Frame, work: Path) -> Measured:
    """What a peer finds, in a process of its own."""
    output = work / f"{program}.npz"
    if not output.exists():
        _write_for_peers(frame, work)
        command = [sys.executable, str(CHAINS), program, str(work), str(output)]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **THREADS}, check=False)
        if done.returncode:
            raise RuntimeError(f"{program} on {work.name}: {done.stderr[-2000:]}")
        (work / f"{program}.json").write_text(json.dumps(json.loads(done.stdout.splitlines()[-1])))
    with np.load(output) as columns:
        return Measured.of(dict(columns))


def _write_for_peers(frame: Frame, work: Path) -> None:
    work.mkdir(parents=True, exist_ok=True)
    np.save(work / "clean.npy", frame.data_e)
    np.save(work / "mask.npy", np.zeros(frame.data_e.shape, bool))
    (work / "saturation_e.txt").write_text(str(_saturation(frame.truth)))


def _saturation(truth: Truth) -> float:
    return truth.saturation_e if np.isfinite(truth.saturation_e) else 1e12


def _relative(own: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    both = np.isfinite(own) & np.isfinite(other)
    return robust_sigma(own[both]) / robust_sigma(other[both]) if both.sum() >= 5 else float("nan")


@dataclass(frozen=True)
class Column:
    """A column of the table: a figure of a judgement and how it is written."""

    label: str
    write: Callable[[Compared, str], str]


def _plain(name: str, digits: int, factor: float = 1.0) -> Callable[[Compared, str], str]:
    def write(compared: Compared, program: str) -> str:
        value = factor * compared.middle(program, name)
        return f"{value:.{digits}f}" if np.isfinite(value) else "-"

    return write


def _false(compared: Compared, program: str) -> str:
    values = 100 * compared.values(program, "false_share")
    return f"{np.nanmedian(values):.1f} ({np.nanmax(values):.1f})"


def _against(compared: Compared, program: str) -> str:
    if program == OWN:
        return "1"
    return f"{np.nanmedian(compared.relative_scatter[program]):.3f}"


COLUMNS = (
    Column("false (worst), %", _false),
    Column("complete S/N > 10", _plain("complete", 3)),
    Column("S/N 5 to 10", _plain("complete_faint", 3)),
    Column("flux / true", _plain("flux_ratio", 4)),
    Column("calibrated - true, mmag", _plain("mag_offset", 1, 1000.0)),
    Column("scatter / bound", _plain("scatter", 2)),
    Column("Alidade's scatter over its", _against),
    Column("pull of flux", _plain("pull_sigma", 2)),
    Column("after flux / true", _plain("pull_sigma_scaled", 2)),
    Column("pull of place", _plain("place_pull_sigma", 2)),
)


def table_rows(compared: dict[str, Compared]) -> list[list[str]]:
    """Rows per case and program."""
    rows = []
    for name, every in compared.items():
        for program in every.judged:
            label = "Alidade" if program == OWN else PEERS[program]
            rows.append([name, label, *(column.write(every, program) for column in COLUMNS)])
    return rows


HEADER = ["frames", "program", *(column.label for column in COLUMNS)]
