"""Photometry on skies of the second simulator, beside SExtractor with PSFEx and photutils.

``ALIDADE_BENCH_FRAMES`` says how many frames of each kind Alidade, SExtractor and photutils (which takes longest) get,
default 10,10,5; ``ALIDADE_BENCH_FOLDER`` keeps frames and what the peers found for the next run. The table goes to
docs/validation.md.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from independent_table import CASES, GLOBULAR, HEADER, OWN, PEERS, RING_HEADER, Compared, compare, ring_rows, table_rows

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3500 * 4)]

FRAMES = [int(number) for number in os.environ.get("ALIDADE_BENCH_FRAMES", "10,10,5").split(",")]
SEEDS = range(701, 701 + FRAMES[0])
PHOTUTILS = "photutils_iterative"
FIRST = {"sextractor_psf": FRAMES[1], PHOTUTILS: FRAMES[2]}
ALL = CASES | {"globular cluster": GLOBULAR}


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "support" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


page = _load("photometry_page")


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Compared]:
    folder = Path(os.environ.get("ALIDADE_BENCH_FOLDER") or tmp_path_factory.mktemp("independent"))
    peers = list(PEERS) if shutil.which("source-extractor") and shutil.which("psfex") else [PHOTUTILS]
    result = {}
    for name, case in ALL.items():
        result[name] = compare(case, SEEDS, folder, peers, first=FIRST)
        print("\n".join(" | ".join(row) for row in table_rows({name: result[name]})), file=sys.stderr, flush=True)
    page.write_section("photometry-independent", _text(result))
    return result


@pytest.mark.parametrize("name", ALL)
def test_nothing_crashes(compared: dict[str, Compared], name: str) -> None:
    assert compared[name].crashes == []


@pytest.mark.parametrize("name", CASES)
def test_false_sources(compared: dict[str, Compared], name: str) -> None:
    ours = compared[name].values(OWN, "false_share")
    assert np.nanmedian(ours) <= 0.015
    if "sextractor_psf" in compared[name].judged:
        assert np.nanmedian(ours) <= compared[name].middle("sextractor_psf", "false_share") + 0.01


@pytest.mark.parametrize("name", CASES)
def test_fluxes_and_magnitudes(compared: dict[str, Compared], name: str) -> None:
    assert compared[name].middle(OWN, "flux_ratio") == pytest.approx(1.0, abs=0.005)
    assert abs(compared[name].middle(OWN, "mag_offset")) <= 0.003


@pytest.mark.parametrize("name", CASES)
def test_errors(compared: dict[str, Compared], name: str) -> None:
    assert 0.9 <= compared[name].middle(OWN, "pull_sigma") <= 1.2
    assert 0.9 <= compared[name].middle(OWN, "place_pull_sigma") <= 1.2


@pytest.mark.parametrize("name", CASES)
def test_scatter_is_never_above_that_of_sextractor(compared: dict[str, Compared], name: str) -> None:
    if "sextractor_psf" not in compared[name].relative_scatter:
        pytest.skip("SExtractor and PSFEx are not installed")
    # the median of ten ratios of robust sigmas of a hundred stars is known to 3 %
    assert np.nanmedian(compared[name].relative_scatter["sextractor_psf"]) <= 1.03


def test_a_cluster_is_not_less_complete_than_iterations_of_photutils(compared: dict[str, Compared]) -> None:
    cluster, both = compared["globular cluster"], slice(0, FIRST[PHOTUTILS])

    def middle(program: str, name: str) -> float:
        return float(np.nanmedian(cluster.values(program, name)[both]))

    assert middle(OWN, "complete") >= middle(PHOTUTILS, "complete")
    assert middle(OWN, "false_share") <= middle(PHOTUTILS, "false_share")


def _text(result: dict[str, Compared]) -> str:
    return "\n\n".join([
        "## Photometry on independent skies",
        f"`make bench` ({platform.machine()}), frames of the [second simulator](algorithms/simulated_frames.md): galsim "
        f"draws the stars, astropy the map. Frames of fresh seeds, "
        "640 x 640, 500 stars (crowded 1,800; the cluster 3,000). Medians over the frames. Alidade runs from the file to "
        "calibrated magnitudes; the others get electrons, the pedestal taken off and the saturation known. "
        "Completeness is of all stars, close pairs included. Other figures are of isolated stars above S/N 10, the ratio "
        "of fluxes above S/N 30. SExtractor's flux is by design that of the aperture of 6.4 px that PSFEx was given, so "
        "its pulls are read after the common ratio. Scatters are compared on the stars that both programs have.",
        page.table(HEADER, table_rows(result)),
        "The cluster by distance from its centre, all unsaturated stars above S/N 10, crowded ones included; the light "
        "of stars that nothing could tell apart is in the fluxes of those found:",
        page.table(RING_HEADER, ring_rows(result["globular cluster"])),
        "Goals: false <= 1.5 % and at most one percent above SExtractor; completeness >= 0.98; flux / true within "
        "0.5 %; magnitudes within 3 mmag; pulls 0.9 to 1.2; Alidade's scatter over SExtractor's <= 1. "
        + _missed(result),
    ])  # fmt: skip


def _missed(result: dict[str, Compared]) -> str:
    """Which goals a kind missed, in words."""
    missed = []
    for name, every in result.items():
        limits = {
            "false": np.nanmedian(every.values(OWN, "false_share")) <= 0.015,
            "completeness": every.middle(OWN, "complete") >= 0.98,
            "flux": abs(every.middle(OWN, "flux_ratio") - 1) <= 0.005,
            "magnitude": abs(every.middle(OWN, "mag_offset")) <= 0.003,
            "pull of flux": 0.9 <= every.middle(OWN, "pull_sigma") <= 1.2,
            "pull of place": 0.9 <= every.middle(OWN, "place_pull_sigma") <= 1.2,
        }
        words = [what for what, reached in limits.items() if not reached]
        if words:
            missed.append(f"{name} ({', '.join(words)})")
    return "Missed: " + ("; ".join(missed) if missed else "none") + "."
