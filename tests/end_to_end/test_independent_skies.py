"""Frames of the second simulator through measure, solve and calibrate, against their truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from independent_judge import robust_sigma
from independent_sky import draw_kind
from independent_table import CASES, OWN, Case, Compared, compare
from random_runs import random_run
from whole_chain import Ended, reduce_frame

FAST = {"plain": Case("moffat", 260, 448), "galaxies": Case("galaxies", 260, 448), "turned": Case("turned", 260, 448)}
SEEDS = (721, 722, 723)
RANDOM = range(10, 310)
HOLDING = ("plain", "pedestal", "kolmogorov", "ellipticity to 0.4", "galaxies", "crowded")
"""Kinds that reach every goal; `make bench` has all."""


@pytest.mark.parametrize("name", FAST)
def test_one_small_frame_of_a_kind_is_right(name: str, tmp_path: Path) -> None:
    compared = compare(FAST[name], [1], tmp_path, peers=())
    assert_sound(compared)
    figures = compared.judged[OWN][0]
    assert figures.false_share <= 0.015
    # of a hundred stars, close pairs and neighbours of galaxies included
    assert figures.complete >= 0.95
    assert figures.flux_ratio == pytest.approx(1.0, abs=0.005)
    assert abs(figures.mag_offset) <= 0.005
    # a robust sigma of some sixty stars is known to 15 %
    assert 0.8 <= figures.pull_sigma <= 1.3
    assert 0.8 <= figures.place_pull_sigma <= 1.3


def assert_sound(compared: Compared) -> None:
    """Solved, calibrated, and nothing that should not happen."""
    assert compared.crashes == []
    assert {ended.state for ended in compared.ended} <= {"valid", "calibrated"}
    assert all("calibrate" in ended.results for ended in compared.ended)


@pytest.mark.parametrize("seed", [13, 27, 147])
def test_a_random_frame_ends_with_a_result_or_a_reason(seed: int, tmp_path: Path) -> None:
    run = random_run(seed, tmp_path)
    assert not run.ended.crash
    assert not run.wrong


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("first", RANDOM[::20])
def test_no_random_frame_crashes_or_is_solved_to_a_wrong_place(first: int, tmp_path: Path) -> None:
    runs = [random_run(seed, tmp_path) for seed in range(first, first + 20)]
    assert [(run.name, run.ended.crash) for run in runs if run.ended.crash] == []
    assert [(run.name, run.off_px) for run in runs if run.wrong] == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", HOLDING)
def test_a_kind_reaches_its_goals(name: str, tmp_path: Path) -> None:
    compared = compare(CASES[name], SEEDS, tmp_path, peers=())
    assert_sound(compared)
    assert np.nanmedian(compared.values(OWN, "false_share")) <= 0.015
    assert compared.middle(OWN, "complete") >= (0.95 if name == "crowded" else 0.98)
    assert compared.middle(OWN, "flux_ratio") == pytest.approx(1.0, abs=0.005)
    assert abs(compared.middle(OWN, "mag_offset")) <= 0.003
    assert 0.85 <= compared.middle(OWN, "pull_sigma") <= 1.25
    assert 0.85 <= compared.middle(OWN, "place_pull_sigma") <= 1.25


def test_the_same_sky_in_other_units_gives_the_same_electrons(tmp_path: Path) -> None:
    """Pixels per second hold as many electrons, and their errors, as pixels of the whole exposure."""
    frame = draw_kind("per_second", 3, side_px=320, n_stars=130)
    ended = reduce_frame(*frame.write(tmp_path), tmp_path / "out", plots=False)
    truth, sources = frame.truth.stars, ended.tables["sources"]
    ratios, pulls = fluxes_against(truth, sources)
    assert np.median(ratios) == pytest.approx(1.0, abs=0.01)
    assert 0.75 <= robust_sigma(pulls) <= 1.35


def fluxes_against(stars, sources: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Measured over true flux and pull of isolated stars above S/N 20."""
    good = np.flatnonzero(stars.isolated & ~stars.saturated & (stars.snr > 20))
    distance = np.hypot(sources["x"] - stars.x[good, None], sources["y"] - stars.y[good, None])
    near, found = distance.argmin(axis=1), distance.min(axis=1) < 1.0
    flux, error, true = (
        sources["flux_psf"][near[found]],
        sources["flux_psf_err"][near[found]],
        stars.flux_e[good[found]],
    )
    return flux / true, (flux - true) / error


def test_a_run_that_fails_is_told_and_not_raised(tmp_path: Path) -> None:
    (tmp_path / "frame.fits").write_bytes(b"no FITS file")
    ended: Ended = reduce_frame(tmp_path / "frame.fits", None, tmp_path / "out")
    assert ended.state == "refused"
    assert "fits" in ended.refused
