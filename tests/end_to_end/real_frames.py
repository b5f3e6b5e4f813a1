"""Real frames through ``alidade process``, held against what is known of them; makes the table of docs/validation.md.

python tests/end_to_end/real_frames.py [--write docs/validation.md] [NAME...]

Needs the folder of real data (ALIDADE_TEST_DATA) and Debian's astrometry-data-tycho2 packages.
"""

from __future__ import annotations

import argparse
import bz2
import csv
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astro_shared.testing.real_data import MISSING, find_real_data

ALIDADE = str(Path(sys.executable).with_name("alidade"))
INDEX = Path("/usr/share/astrometry/index-tycho2-07.littleendian.fits")
CENTRE_LIMIT_ARCMIN = 1.0
SCALE_LIMIT = 0.005
BEGIN, END = "<!-- real frames: begin -->", "<!-- real frames: end -->"


@dataclass(frozen=True)
class Case:
    """A frame and how it shall end.

    Attributes
    ----------
    frame : below ``frames/``
    reference : file below ``catalogs/``, or the list ``tycho2`` made from the index files
    ends : status words that are right
    says : a word that the reason or a warning must hold
    """

    frame: str
    ends: tuple[str, ...]
    reference: str = "tycho2"
    says: str = ""
    options: tuple[str, ...] = ()


HATP, CYGNUS = "tycho2_hatp32.csv", "tycho2_panoptes_cygnus.csv"
HATP_TIMES = (
    "013343", "020012", "022712", "025412", "032112", "034812",
    "041512", "044212", "050912", "053612", "060312", "063012",
)  # fmt: skip
UNSOLVED = ("uncalibrated", "failed")
CASES = (
    *(Case(f"hatp32/HATP-32171220{time}.FITS", ("calibrated",), HATP) for time in HATP_TIMES),
    Case("panoptes_unsolved.fits", ("calibrated",), CYGNUS),
    Case("panoptes_solved.fits.fz", ("calibrated",), CYGNUS),
    Case("nova_thumbnail.fit.gz", ("calibrated", "uncalibrated")),
    Case("sdss_g.fits.bz2", ("calibrated", "uncalibrated")),
    Case("M6707HH.fits", ("calibrated", "uncalibrated"), "tycho2_m67.csv"),
    Case("ntt_emmi_na36.fits", ("uncalibrated",), says="no verified solution"),
    *(Case(f"M13_blue_000{number}.fits", UNSOLVED, says="star") for number in (1, 2, 3)),
    Case("l1448_13co.fits", UNSOLVED, says="star"),
    Case("lco_sinistro_mef_raw.fits", ("uncalibrated",), says="no verified solution"),
    Case("panoptes_pole.fits", UNSOLVED, says="star"),
    Case("panoptes_rotation.fits", UNSOLVED, says="star"),
    Case("tess_difference.fits.fz", UNSOLVED),
    Case("not_alfosc_flat.fits.gz", UNSOLVED),
)


@dataclass(frozen=True)
class Outcome:
    """A frame, its summary and what is wrong with it."""

    case: Case
    summary: Mapping[str, Any]
    seconds: float
    centre_arcmin: float | None
    scale_off: float | None

    def faults(self) -> list[str]:
        """Sentences; none when it ended as it should."""
        said, wrong = self.summary, []
        if said["status"] not in self.case.ends:
            wrong.append(f"ended {said['status']}: {said['reason']}")
        if said["status"] != "calibrated" and not said["reason"]:
            wrong.append("no reason is given")
        if self.case.says and self.case.says not in str(said["reason"]):
            wrong.append(f"the reason does not speak of {self.case.says!r}: {said['reason']}")
        if self.centre_arcmin is not None and self.centre_arcmin > CENTRE_LIMIT_ARCMIN:
            wrong.append(f"the centre is off by {self.centre_arcmin:.2f} arcmin")
        if self.scale_off is not None and abs(self.scale_off) > SCALE_LIMIT:
            wrong.append(f"the scale is off by {100 * self.scale_off:.2f} %")
        if said["status"] == "calibrated" and not said["zero_point"]["error"] > 0:
            wrong.append("the zero point has no error")
        return wrong

    def row(self) -> str:
        """A line of the table."""
        sky, zero = self.summary.get("astrometry") or {}, self.summary.get("zero_point") or {}
        cells = [
            self.case.frame, self.summary["status"], short(self.summary.get("reason")), sky.get("engine") or "",
            "" if self.centre_arcmin is None else f"{60 * self.centre_arcmin:.1f}",
            "" if self.scale_off is None else f"{100 * self.scale_off:+.3f}",
            number(sky.get("rms_mas"), ".0f"), number(sky.get("n_matched"), "d"),
            f"{zero['band']} {zero['value']:.3f} ± {zero['error']:.3f}" if zero.get("value") is not None else "",
            number(self.summary.get("sources"), "d"), f"{self.seconds:.0f}",
        ]  # fmt: skip
        return "| " + " | ".join(cells) + " |"


HEAD = (
    "| frame | status | reason | engine | centre off (arcsec) | scale off (%) | rms (mas) | pairs | zero point | sources"
    " | seconds |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


def short(text: object) -> str:
    """The first part of a reason, for a table."""
    first = str(text or "")
    return first if len(first) <= 140 else first[:137] + "..."


def number(value: object, form: str) -> str:
    return "" if value is None else format(value, form)


def run_cases(cases: Sequence[Case], data: Path, work: Path) -> list[Outcome]:
    """Reduce the frames one after the other on a platform that is started for the while."""
    truth = read_truth(data / "frames" / "truth.csv")
    environment = os.environ | {"ALIDADE_DATA": str(work / "data")}
    platform = subprocess.Popen([ALIDADE, "up", "--port", "0"], env=environment, stdout=subprocess.DEVNULL)
    try:
        while not (work / "data" / "running.json").exists():
            if platform.poll() is not None:
                raise SystemExit("the platform did not start")
            time.sleep(0.2)
        importing = [ALIDADE, "reference", "import", "--tycho2-index", str(INDEX), "--name", "tycho2"]
        subprocess.run(importing, env=environment, check=True)
        return [run_case(case, data, work, environment, truth) for case in cases]
    finally:
        platform.terminate()
        platform.wait()


def run_case(
    case: Case, data: Path, work: Path, environment: Mapping[str, str], truth: Mapping[str, Mapping[str, str]]
) -> Outcome:
    """One frame."""
    reference = case.reference if case.reference == "tycho2" else str(data / "catalogs" / case.reference)
    frame = unpacked(data / "frames" / case.frame, work)
    command = [ALIDADE, "process", str(frame), "--out", str(work / "out"), "--json", "--reference", reference,
               "--set", "zero_point.band=vt", *case.options]  # fmt: skip
    begin = time.monotonic()
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if not ended.stdout.strip() or "Traceback" in ended.stderr:
        raise SystemExit(f"{case.frame}: exit code {ended.returncode}: {ended.stderr[-2000:]}")
    summary = json.loads(ended.stdout.strip().splitlines()[-1])
    if ended.returncode != (2 if summary["status"] == "failed" else 0):
        raise SystemExit(f"{case.frame}: exit code {ended.returncode} for {summary['status']}")
    centre, scale = against_truth(summary.get("astrometry") or {}, truth.get(case.frame))
    outcome = Outcome(case, summary, time.monotonic() - begin, centre, scale)
    print(outcome.row(), *(f"   OFF: {fault}" for fault in outcome.faults()), sep="\n", flush=True)
    return outcome


def unpacked(path: Path, work: Path) -> Path:
    """The frame; what is packed with bzip2, which is refused, as plain FITS."""
    if path.suffix != ".bz2":
        return path
    plain = work / path.stem
    plain.write_bytes(bz2.decompress(path.read_bytes()))
    return plain


def read_truth(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def against_truth(sky: Mapping[str, Any], truth: Mapping[str, str] | None) -> tuple[float | None, float | None]:
    """Distance of the centres in arcmin, and relative difference of the scales."""
    if truth is None or sky.get("ra_center_deg") is None:
        return None, None
    ra, dec = float(truth["ra_center_deg"]), float(truth["dec_center_deg"])
    along = (sky["ra_center_deg"] - ra) * math.cos(math.radians(dec))
    scale = float(sky["scale_arcsec_px"]) / float(truth["arcsec_per_px"]) - 1
    return 60 * math.hypot(along, sky["dec_center_deg"] - dec), scale


def write_table(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Put the table between its two marks."""
    text = path.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    rows = "\n".join(outcome.row() for outcome in outcomes)
    path.write_text(f"{before}{BEGIN}\n{HEAD}\n{rows}\n{END}{after}", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="parts of names; default: all frames")
    parser.add_argument("--write", type=Path, help="the page whose table is replaced")
    parser.add_argument("--keep", type=Path, help="work here and leave the results")
    options = parser.parse_args()
    data = find_real_data()
    if data is None:
        raise SystemExit(MISSING)
    if not INDEX.exists():
        raise SystemExit("the index files are not here: apt-get install astrometry-data-tycho2")
    cases = [case for case in CASES if not options.names or any(name in case.frame for name in options.names)]
    with tempfile.TemporaryDirectory(prefix="alidade-real-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        work = options.keep or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        outcomes = run_cases(cases, data, work)
    if options.write is not None:
        write_table(options.write, outcomes)
    bad = [outcome.case.frame for outcome in outcomes if outcome.faults()]
    print(f"{len(outcomes) - len(bad)} of {len(outcomes)} frames ended as they should", *bad)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
