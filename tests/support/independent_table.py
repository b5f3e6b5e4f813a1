"""Alidade, SExtractor with PSFEx and photutils on frames of the second simulator, against the truth.

Alidade gets the file and the list of reference stars and goes through measure, solve and calibrate; its peers get the
pixels in electrons without their pedestal, with the saturation known. What was drawn and what a peer found is kept in
a folder and used again when the folder is.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from independent_judge import Judgement, Measured, judge, judge_ring, robust_sigma
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

    def folder(self, where: Path, seed: int) -> Path:
        """Of one frame."""
        return where / f"{self.kind}-{self.side_px}-{self.n_stars}-{seed}"


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
    "cut off below": Case("cut_off"),
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
    lists : per program, truth and list of each frame
    ended : Alidade's runs
    relative_scatter : per peer and frame, Alidade's scatter over the peer's on the stars that both have
    """

    judged: dict[str, list[Judgement]] = field(default_factory=dict)
    lists: dict[str, list[tuple[Truth, Measured]]] = field(default_factory=dict)
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
    folder : frames and what the peers found are taken from here where they are, and left here where they are not
    first : peers that take only that many of the first frames
    """
    compared = Compared()
    for number, seed in enumerate(seeds):
        asked = [program for program in peers if number < (first or {}).get(program, number + 1)]
        work = case.folder(folder, seed)
        truth = drawn(case, seed, work)
        ended = reduce_frame(work / "frame.fits", work / "reference.csv", work / "out", plots=False)
        compared.ended.append(ended)
        lists = {OWN: own_list(ended)} | {program: peer_list(program, work) for program in asked}
        for program, measured in lists.items():
            compared.judged.setdefault(program, []).append(judge(truth, measured))
            compared.lists.setdefault(program, []).append((truth, measured))
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


def drawn(case: Case, seed: int, work: Path) -> Truth:
    """The truth of a frame whose files are in the folder, as they are now if they were not."""
    kept = work / "truth.pickle"
    if not kept.exists():
        frame = case.draw(seed)
        frame.write(work)
        np.save(work / "clean.npy", frame.data_e)
        np.save(work / "mask.npy", np.zeros(frame.data_e.shape, bool))
        (work / "saturation_e.txt").write_text(str(_saturation(frame.truth)))
        kept.write_bytes(pickle.dumps(frame.truth))
    truth: Truth = pickle.loads(kept.read_bytes())
    return truth


def peer_list(program: str, work: Path) -> Measured:
    """What a peer finds on the frame of a folder, in a process of its own."""
    output = work / f"{program}.npz"
    if not output.exists():
        command = [sys.executable, str(CHAINS), program, str(work), str(output)]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **THREADS}, check=False)
        if done.returncode:
            raise RuntimeError(f"{program} on {work.name}: {done.stderr[-2000:]}")
    with np.load(output) as columns:
        return Measured.of(dict(columns))


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
    Column("frames", lambda compared, program: str(len(compared.judged[program]))),
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


HEADER = ["kind", "program", *(column.label for column in COLUMNS)]


RINGS = ((0.0, 0.08), (0.08, 0.16), (0.16, 0.30))
"""Inner and outer distance from the centre of a cluster, in sides of the frame."""
RING_HEADER = [
    "distance / side", "program", "frames", "stars S/N > 10 per frame", "found", "false, %", "flux / true",
    "its scatter",
]  # fmt: skip


def ring_rows(compared: Compared) -> list[list[str]]:
    """Rows per ring and program for a cluster in the middle of the frame; medians over the frames."""
    rows = []
    for inner, outer in RINGS:
        for program, lists in compared.lists.items():
            rings = [judge_ring(truth, found, inner * truth.shape[1], outer * truth.shape[1]) for truth, found in lists]
            figures = {name: float(np.nanmedian([getattr(ring, name) for ring in rings])) for name in vars(rings[0])}
            rows.append([
                f"{inner:g} to {outer:g}", "Alidade" if program == OWN else PEERS[program], str(len(rings)),
                f"{figures['n']:.0f}", f"{figures['complete']:.3f}", f"{100 * figures['false_share']:.1f}",
                f"{figures['flux_ratio']:.3f}", f"{figures['flux_scatter']:.3f}",
            ])  # fmt: skip
    return rows
