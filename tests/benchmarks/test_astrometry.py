"""Accuracy and time of astrometry on simulated frames, against the Fisher floor and SExtractor + SCAMP of this machine.

``pytest -m benchmark tests/benchmarks/test_astrometry.py``; ``ALIDADE_BENCH_SEEDS`` sets the number of seeds (default 3).
The figures go to the section "Astrometry on simulated frames" of docs/validation.md, misses included. Times are processor
time with one thread each, since the machine may be doing other things.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from astro_shared.fits import read_frame
from astro_shared.science.source_extraction import extract_sources
from astro_shared.testing.frames import Camera, Distortion, Exposure, SimulatedFrame, simulate_frame
from astro_shared.testing.source_lists import simulate_source_list
from astro_shared.testing.truth import solution_error, solution_floor, star_errors
from astrometry_service.algorithms.reference_positions import positions_at_epoch
from astrometry_service.domain.plane_affine import PlaneAffine
from astrometry_service.domain.reference import ReferenceStars
from astrometry_service.domain.solution import AstrometricSolution
from astrometry_service.domain.solving import SolveHints
from astrometry_service.domain.sources import FrameGeometry, SourceList
from astrometry_service.ports import ReferenceCone
from astrometry_service.workflows.refine_solution import RefineSolution
from astrometry_service.workflows.solve_frame import SolveFrame

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

SEEDS = int(os.environ.get("ALIDADE_BENCH_SEEDS", "3"))
COMMAND = "pytest -m benchmark tests/benchmarks/test_astrometry.py"
POINTING_ERROR_DEG = 0.01
LOST_MAS = 1000.0
FIRST_SEED = 5300
"""No option of ours or of SCAMP was chosen on frames of these seeds."""


@dataclass(frozen=True)
class Case:
    name: str
    n_stars: int
    camera: Camera
    seeds: int = SEEDS


CASES = (
    Case("2048 x 2048", 2000, Camera()),
    Case("3000 x 3000, distorted by 70 px", 4000,
         Camera(shape=(3000, 3000), distortion=Distortion(cubic_px=60.0, quintic_px=10.0, tilt_px=4.0))),
    Case("4096 x 4096", 8000, Camera(shape=(4096, 4096))),
    Case("9576 x 6388, distorted by 25 px", 30000,
         Camera(shape=(6388, 9576), distortion=Distortion(cubic_px=20.0, quintic_px=4.0, tilt_px=2.0)), seeds=1),
)  # fmt: skip


def _load(name: str) -> ModuleType:
    path = Path(__file__).parents[1] / "support" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


page, peer = _load("validation_page"), _load("scamp_peer")


@dataclass
class Report:
    """Lines of the section, written when all tests of this file have run."""

    parts: dict[str, list[str]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def report() -> Iterator[Report]:
    made = Report()
    yield made
    lines = [line for part in made.parts.values() for line in (*part, "")]
    if lines:
        page.write_section("astrometry", "Astrometry on simulated frames", lines[:-1], command=COMMAND)


class OneList:
    """A catalogue that has one list of stars, whatever is asked."""

    def __init__(self, stars: ReferenceStars) -> None:
        self._stars = stars

    def cone(self, ra_deg: float, dec_deg: float, radius_deg: float, **_: object) -> ReferenceCone:
        return ReferenceCone(self._stars, "simulated", "list")


@dataclass(frozen=True)
class Ours:
    solution: AstrometricSolution
    x: np.ndarray
    y: np.ndarray
    detect_s: float
    match_s: float
    refine_s: float

    @property
    def seconds(self) -> float:
        return self.detect_s + self.match_s + self.refine_s

    @property
    def wcs(self) -> WCS:
        return WCS(fits.Header(dict(self.solution.wcs_cards)))


def ours(sim: SimulatedFrame, path: Path, stars: ReferenceStars) -> Ours:
    """From pixels on disk to the refined WCS, as the service does it with ``astrometry.detector = sep``."""
    camera, (ny, nx) = sim.camera, sim.camera.shape
    geometry = FrameGeometry(nx, ny, sim.exposure.epoch)
    begun = time.process_time()
    raw = read_frame(path)
    image = np.multiply(raw.data, np.float32(camera.gain_e_per_adu), out=raw.data)
    found = extract_sources(
        image, mask=raw.mask, overwrite_image=True, saturation_e=0.98 * camera.saturation_adu * camera.gain_e_per_adu
    )
    detected = time.process_time()
    cov = found.covariance
    columns = {
        "x": found.x, "y": found.y, "x_var": cov[:, 0, 0], "y_var": cov[:, 1, 1], "xy_cov": cov[:, 0, 1],
        "flux": found.flux, "flux_err": found.flux_err,
    }  # fmt: skip
    sources = SourceList.from_columns(columns, bad=~found.usable, position_kind=found.position_kind)
    hint = SolveHints(
        sim.sky.ra_deg + POINTING_ERROR_DEG, sim.sky.dec_deg - POINTING_ERROR_DEG, 0.5, 0.98 * camera.scale_arcsec,
        1.02 * camera.scale_arcsec, geometry.epoch_jyear,
    )  # fmt: skip
    outcome = SolveFrame(OneList(stars)).run(sources, geometry, hints=[hint])
    matched = time.process_time()
    assert outcome.transform is not None and outcome.reference is not None
    solution = RefineSolution().run(sources, outcome.reference, outcome.transform, geometry)
    ended = time.process_time()
    return Ours(solution, found.x, found.y, detected - begun, matched - detected, ended - matched)


def theirs(sim: SimulatedFrame, case: Case, folder: Path, stars: ReferenceStars, degree: int, *, quick: bool = True):
    """SExtractor + SCAMP on the same pixels and reference stars; None where they are missing."""
    if peer.missing():
        return None
    header, true = sim.header.copy(), sim.wcs_header
    header["CTYPE1"], header["CTYPE2"], header["CUNIT1"], header["CUNIT2"] = "RA---TAN", "DEC--TAN", "deg", "deg"
    header["CRVAL1"], header["CRVAL2"] = sim.sky.ra_deg + POINTING_ERROR_DEG, sim.sky.dec_deg - POINTING_ERROR_DEG
    for name in ("CRPIX1", "CRPIX2", "CD1_1", "CD1_2", "CD2_1", "CD2_2"):
        header[name] = true[name]
    fits.writeto(folder / "peer.fits", sim.data, header, overwrite=True)
    places = positions_at_epoch(stars, sim.exposure.epoch)
    peer.write_ldac(folder / "reference.cat", places.ra, places.dec, stars.mag, sim.exposure.epoch)
    return peer.solve(
        folder, folder / "peer.fits", folder / "reference.cat", gain=sim.camera.gain_e_per_adu,
        saturation=0.98 * sim.camera.saturation_adu, degree=max(degree, 3), quick=quick,
    )  # fmt: skip


def best_of_theirs(sim: SimulatedFrame, case: Case, folder: Path, stars: ReferenceStars, degree: int):
    """Tuned for speed or, where that has not found the frame, as SCAMP comes; with its error in mas."""
    for quick in (True, False):
        other = theirs(sim, case, folder, stars, degree, quick=quick)
        error = solution_error(other.wcs, sim.wcs, case.camera.shape).rms_axis_mas if other else np.nan
        if not error > LOST_MAS:
            break
    return other, error


def test_solution_error_star_error_and_time_against_floor_and_scamp(report: Report, tmp_path: Path) -> None:
    rows, bins, times, ratios_all = [], {}, [], []
    below_peer = 0
    for case in CASES:
        figures, seconds, below, slow = [], [], [], None
        for seed in range(case.seeds):
            sim = simulate_frame(FIRST_SEED + seed, n_stars=case.n_stars, camera=case.camera, exposure=Exposure())
            stars = ReferenceStars.from_columns({c: np.asarray(sim.reference[c]) for c in sim.reference.colnames})
            path = sim.write(tmp_path / "frame.fits")
            ours(sim, path, stars)  # a worker has its memory; the first frame of a process pays the kernel for it
            mine = ours(sim, path, stars)
            degree = mine.solution.report["degree"]
            error = solution_error(mine.wcs, sim.wcs, case.camera.shape).rms_axis_mas
            floor = solution_floor(sim.truth, case.camera, degree)
            other, peer_error = best_of_theirs(sim, case, tmp_path, stars, degree)
            if other is not None and seed == 0:
                slow = theirs(sim, case, tmp_path, stars, degree, quick=False)
            below.append(bool(error <= peer_error))
            figures.append((degree, mine.solution.report["kept"], error, floor, error / floor, peer_error))
            seconds.append(
                (mine.detect_s, mine.match_s, mine.refine_s, mine.seconds, other.seconds if other else np.nan)
            )
            for name, star in star_errors(mine.wcs, mine.x, mine.y, sim.truth, case.camera).items():
                bins.setdefault(name, []).append((star.n, star.mad_over_floor))
        middle = np.median(np.array(figures, float), axis=0)
        ratios_all += [f[4] for f in figures]
        below_peer += sum(below)
        rows.append(
            (case.name, f"{middle[0]:.0f}", f"{middle[1]:.0f}", *map(float, middle[2:6]), max(f[4] for f in figures),
             f"{sum(below)} of {case.seeds}")
        )  # fmt: skip
        spent = np.median(np.array(seconds), axis=0)
        default = (slow.seconds, float(spent[3] / slow.seconds)) if slow else (np.nan, np.nan)
        times.append((case.name, *map(float, spent), float(spent[3] / spent[4]), *default))
    frames = sum(case.seeds for case in CASES)
    report.parts["solution"] = [
        f"Solution error: rms per axis of solved minus true WCS over the frame, medians of {SEEDS} seeds (one of the largest "
        "frame), mas. SCAMP: same degree, same reference stars at the epoch; its options, chosen among fifteen sets on ten "
        "frames of other seeds, are in `tests/support/scamp_peer.py`. The floor takes all unsaturated stars at their bound; "
        "slightly saturated ones carry our fit as well, so that it can get below.", "",
        *page.table(("frame", "degree", "pairs", "ours", "floor", "ours / floor", "SCAMP", "worst seed / floor",
                     "not above SCAMP"), rows), "",
        f"Median of all ratios {np.median(ratios_all):.2f} (goal 1.25); not above SCAMP on {below_peer} of {frames} frames "
        "(goal: all).",
    ]  # fmt: skip
    report.parts["stars"] = [
        "Star error (MAD) over the Cramer-Rao bound, stars carried to the sky by the solution (goals: 1.10 for S/N 10 to "
        "100, 1.15 above 300):", "",
        *page.table(("S/N", "stars", "error / bound"),
                    [(k, sum(n for n, _ in v), float(np.average([r for _, r in v], weights=[n for n, _ in v])))
                     for k, v in bins.items()]),
    ]  # fmt: skip
    report.parts["time"] = [
        "Processor seconds from pixels on disk to the refined WCS, one thread each; SCAMP with a MATCH_RESOL tuned for "
        "these frames, and with its default (first seed). Goal: 0.4.", "",
        *page.table(("frame", "detect", "match", "refine", "ours", "SExtractor + SCAMP, tuned", "ratio", "by default",
                     "ratio"), times),
    ]  # fmt: skip
    assert np.median(ratios_all) <= 1.25


@pytest.mark.parametrize("injected_mas", [0.0, 5.0, 20.0])
def test_alpha_and_sigma_sys_are_recovered(injected_mas: float, report: Report) -> None:
    n = max(20, 5 * SEEDS)
    inside_alpha = inside_sigma = chi_inside = ks_inside = 0
    found = []
    for seed in range(n):
        sim = simulate_source_list(
            700 + seed, n_stars=1200, camera=Camera(shape=(1500, 1500)), exposure=Exposure(sigma_sys_mas=injected_mas)
        )
        geometry = FrameGeometry(1500, 1500, sim.exposure.epoch)
        start = PlaneAffine(sim.start_matrix(), sim.sky.ra_deg, sim.sky.dec_deg)
        sources = SourceList.from_columns(sim.columns, position_kind="psf")
        solution = RefineSolution().run(sources, ReferenceStars.from_columns(sim.reference_columns), start, geometry)
        model, step = solution.report["error_model"], solution.report["steps"]["final_chi_square"]
        chi, tests = step["kept"], step["tests"]
        inside_alpha += model["alpha_fixed"] or abs(model["alpha"] - 1) <= 3 * model["alpha_err"]
        error, limit = model["sigma_sys_err_mas"], model["upper_limit_mas"]
        inside_sigma += (
            injected_mas <= limit if limit is not None and injected_mas < limit
            else error is not None and abs(model["sigma_sys_mas"] - injected_mas) <= 3 * error
        )  # fmt: skip
        chi_inside += abs(chi["reduced"] - chi["expected"]) <= 3 * chi["standard_error"]
        ks_inside += min(tests["ks_normal_p"], tests["ks_square_p"]) > 0.01
        found.append((model["alpha"], model["sigma_sys_mas"]))
    alpha, sigma = np.median(found, axis=0)
    rows = report.parts.setdefault("model", [
        f"Error model on source lists with true centroid errors, {n} seeds each; within 3 quoted errors (goal 95 %); "
        "chi-square per degree of freedom within 3 errors of its expectation; both Kolmogorov-Smirnov tests above 1 %:", "",
        *page.table(("injected, mas", "alpha", "alpha within", "sigma_sys, mas", "sigma_sys within", "chi2 within", "KS"), []),
    ])  # fmt: skip
    rows.append(
        f"| {injected_mas:g} | {alpha:.3f} | {inside_alpha} of {n} | {sigma:.2f} | {inside_sigma} of {n} "
        f"| {chi_inside} of {n} | {ks_inside} of {n} |"
    )
    assert inside_alpha >= 0.95 * n - 1 and inside_sigma >= 0.95 * n - 1 and chi_inside >= 0.95 * n - 1
