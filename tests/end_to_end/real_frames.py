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

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

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
    Case(
        "decam_tpv_N6_r.fits",
        ("calibrated", "uncalibrated"),
        "gaia_decam_N6_r.fits",
        options=("--set", "zero_point.band=G"),
    ),
    Case("kmtnet_tpv_cutout.fits", UNSOLVED),
    Case(
        "ukidss.fits",
        ("uncalibrated",),
        says="no verified solution",
        options=("--set", "solve.blind=false"),
    ),
    Case("spitzer_irac_glon.fits", ("calibrated", "uncalibrated")),
    Case("hst_wfc3_pluto_flc.fits", UNSOLVED),
    Case("vst_kids_r.fits", UNSOLVED),
    Case("vista_viking_Z.fits", UNSOLVED),
    Case("astride_long.fits", ("calibrated", "uncalibrated")),
    Case("panoptes_tiny.fits", ("calibrated", "uncalibrated")),
)


@dataclass(frozen=True)
class ListCase:
    """A source list, how it is solved, and what is known of it.

    Attributes
    ----------
    name, reference : files below ``catalogs/``
    options : of ``alidade solve``
    wcs : a recorded solution below ``catalogs/``
    rms_px : largest rms that is right
    """

    name: str
    reference: str
    options: tuple[str, ...]
    wcs: str = ""
    rms_px: float = 1.0


LISTS = (
    ListCase(
        "responses/astrometry_net__test-source-list.fit", "all_refcat2_ey_uma.ecsv",
        ("--size", "4109,4096", "--epoch", "2018.3", "--hint", "135.55,49.84,0.3", "--scale", "0.5,0.6"),
        wcs="responses/astrometry_net__wcs-sol-from-source-list-index-5200.fit",
    ),
    ListCase(
        "lco_cpt1m_refcat_matched.fits", "lco_cpt1m_refcat_matched.fits",
        ("--size", "4096,4096", "--epoch", "2020.03", "--hint", "99.8,8.74,0.5", "--scale", "0.37,0.41"), rms_px=0.17,
    ),
)  # fmt: skip
LISTS_BEGIN, LISTS_END = "<!-- real lists: begin -->", "<!-- real lists: end -->"
LISTS_HEAD = (
    "| list | state | engine | pairs used | degree | rms (px) | rms (mas) | centre off (px) | scale off (%) |"
    "\n|---|---|---|---|---|---|---|---|---|"
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


def run_cases(
    cases: Sequence[Case], lists: Sequence[ListCase], data: Path, work: Path
) -> tuple[list[Outcome], list[tuple[str, list[str]]]]:
    """Reduce the frames and solve the lists, one after the other, on a platform that is started for the while."""
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
        solved = [run_list(case, data, work, environment) for case in lists]
        for line, wrong in solved:
            print(line, *(f"   OFF: {fault}" for fault in wrong), sep="\n", flush=True)
        return [run_case(case, data, work, environment, truth) for case in cases], solved
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


def run_list(case: ListCase, data: Path, work: Path, environment: Mapping[str, str]) -> tuple[str, list[str]]:
    """The line of one list for the table, and what is wrong with it."""
    folder = data / "catalogs"
    command = [ALIDADE, "solve", str(folder / case.name), "--reference", str(folder / case.reference), "--out",
               str(work / "lists"), "--json", *case.options]  # fmt: skip
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if not ended.stdout.strip():
        raise SystemExit(f"{case.name}: exit code {ended.returncode}: {ended.stderr[-2000:]}")
    said = json.loads(ended.stdout.strip().splitlines()[-1])
    if not said["solved"]:
        return f"| {case.name} | {said['state']} | {short(said['reason'])} |" + " |" * 6, ["it was not solved"]
    rms_px = said["rms_mas"] / said["scale_arcsec_px"] / 1000 if said["rms_mas"] is not None else math.inf
    wrong = [f"an rms of {rms_px:.3f} px"] if rms_px > case.rms_px else []
    centre_px = scale_off = None
    if case.wcs:
        recorded = WCS(fits.getheader(folder / case.wcs))
        width, height = (int(part) for part in case.options[case.options.index("--size") + 1].split(","))
        x, y = recorded.all_world2pix(said["ra_center_deg"], said["dec_center_deg"], 0)
        centre_px = math.hypot(float(x) - (width - 1) / 2, float(y) - (height - 1) / 2)
        scale_off = said["scale_arcsec_px"] / (3600 * math.sqrt(abs(np.linalg.det(recorded.pixel_scale_matrix)))) - 1
        if centre_px > 1 or abs(scale_off) > SCALE_LIMIT:
            wrong.append(f"{centre_px:.2f} px and {100 * scale_off:.2f} % off the recorded solution")
    cells = [
        case.name, said["state"], said["engine"], str(said["n_used"]), number(said["degree"], "d"), f"{rms_px:.3f}",
        number(said["rms_mas"], ".0f"), number(centre_px, ".2f"), "" if scale_off is None else f"{100 * scale_off:+.3f}",
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |", wrong


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


def write_table(path: Path, begin: str, end: str, lines: Sequence[str]) -> None:
    """Put a table between its two marks."""
    text = path.read_text(encoding="utf-8")
    before, after = text.split(begin)[0], text.split(end)[1]
    path.write_text("\n".join([f"{before}{begin}", *lines, f"{end}{after}"]), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="parts of names; default: all frames and lists")
    parser.add_argument("--write", type=Path, help="the page whose table is replaced")
    parser.add_argument("--keep", type=Path, help="work here and leave the results")
    options = parser.parse_args()
    data = find_real_data()
    if data is None:
        raise SystemExit(MISSING)
    if not INDEX.exists():
        raise SystemExit("the index files are not here: apt-get install astrometry-data-tycho2")
    cases = [case for case in CASES if not options.names or any(name in case.frame for name in options.names)]
    lists = [case for case in LISTS if not options.names or any(name in case.name for name in options.names)]
    with tempfile.TemporaryDirectory(prefix="alidade-real-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        work = options.keep or Path(folder)
        work.mkdir(parents=True, exist_ok=True)
        outcomes, solved = run_cases(cases, lists, data, work)
    if options.write is not None:
        write_table(options.write, BEGIN, END, [HEAD, *(outcome.row() for outcome in outcomes)])
        write_table(options.write, LISTS_BEGIN, LISTS_END, [LISTS_HEAD, *(line for line, _ in solved)])
    bad = [outcome.case.frame for outcome in outcomes if outcome.faults()]
    bad += [case.name for case, (_, wrong) in zip(lists, solved, strict=True) if wrong]
    ended = len(outcomes) + len(solved)
    print(f"{ended - len(bad)} of {ended} ended as they should", *bad)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
