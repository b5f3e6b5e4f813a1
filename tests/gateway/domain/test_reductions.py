"""When a stage has nothing to work on, and which files are the result."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from astro_shared.contracts.gateway import StageName, StageState
from gateway_service.domain.reductions import STAGES, Reduction, Stage, reason_to_skip
from gateway_service.domain.results import result_files
from gateway_service.domain.uploads import clean_filename
from gateway_service.errors import UploadMismatchError

SOLVED = {"astrometry": {"solved": True}}
UNSOLVED = {"astrometry": {"solved": False}}
PLACES = {"positions.fits": {"key": "p"}}
STAR_LIST = PLACES | {"reference.fits": {"key": "r"}}


def after(make_reduction: Any, measure: Stage, solve: Stage) -> Reduction:
    rest = tuple(Stage(name) for name in STAGES[2:])
    return make_reduction(stages=(measure, solve, *rest))


MEASURED = Stage(StageName.MEASURE, StageState.DONE)
UNMEASURED = Stage(StageName.MEASURE, StageState.FAILED)


@pytest.mark.parametrize(
    ("measure", "solve", "name", "reason"),
    [
        (MEASURED, Stage(StageName.SOLVE), StageName.SOLVE, None),
        (UNMEASURED, Stage(StageName.SOLVE), StageName.SOLVE, "the frame could not be measured"),
        (MEASURED, Stage(StageName.SOLVE, StageState.FAILED), StageName.CALIBRATE, "there is no astrometric solution"),
        (MEASURED, Stage(StageName.SOLVE, StageState.DONE, result=UNSOLVED), StageName.IDENTIFY,
         "there is no astrometric solution"),
        (MEASURED, Stage(StageName.SOLVE, StageState.DONE, result=UNSOLVED, files=PLACES), StageName.IDENTIFY, None),
        (MEASURED, Stage(StageName.SOLVE, StageState.DONE, result=UNSOLVED, files=PLACES), StageName.CALIBRATE,
         "there are no reference stars"),
        (MEASURED, Stage(StageName.SOLVE, StageState.DONE, result=SOLVED, files=PLACES), StageName.CALIBRATE,
         "there are no reference stars"),
        (MEASURED, Stage(StageName.SOLVE, StageState.DONE, result=SOLVED, files=STAR_LIST), StageName.CALIBRATE, None),
        (MEASURED, Stage(StageName.SOLVE, StageState.DONE, result=SOLVED, files=PLACES), StageName.IDENTIFY, None),
        (UNMEASURED, Stage(StageName.SOLVE, StageState.SKIPPED), StageName.COLLECT, None),
    ],
)  # fmt: skip
def test_a_stage_runs_only_on_what_came_before(
    make_reduction: Any, measure: Stage, solve: Stage, name: StageName, reason: str | None
) -> None:
    assert reason_to_skip(after(make_reduction, measure, solve), name) == reason


def test_identification_is_left_out_where_no_catalogue_was_asked_for(make_reduction: Any) -> None:
    solved = Stage(StageName.SOLVE, StageState.DONE, result=SOLVED, files=PLACES)
    reduction = after(make_reduction, MEASURED, solved)
    settings = {**reduction.settings, "identification": {"catalogues": []}}
    assert reason_to_skip(replace(reduction, settings=settings), StageName.IDENTIFY) == "no catalogue was asked for"


def test_the_result_is_what_collect_made_and_what_is_passed_on(make_reduction: Any) -> None:
    measure = replace(MEASURED, files={"psf.fits": {}, "sources.fits": {}, "plots/psf.png": {}, "debug/a.csv": {}})
    reduction = make_reduction(stages=(measure, *(Stage(name) for name in STAGES[1:])))
    assert result_files(reduction) == {}
    collect = Stage(StageName.COLLECT, StageState.DONE, files={"catalog.csv": {}})
    done = replace(reduction, stages=(*reduction.stages[:-1], collect))
    assert set(result_files(done)) == {"catalog.csv", "psf.fits", "plots/psf.png", "debug/a.csv"}


@pytest.mark.parametrize(
    ("given", "kept"),
    [("a.fits", "a.fits"), ("C:\\night\\a.fits", "a.fits"), ("../../etc/a", "a"), ("e\u0301.fits", "\u00e9.fits"),
     ("a\x00\nb.fits", "ab.fits"), ("\u00e9" * 200, "\u00e9" * 127)],
)  # fmt: skip
def test_a_file_name_is_only_a_name(given: str, kept: str) -> None:
    assert clean_filename(given) == kept


@pytest.mark.parametrize("name", ["", "..", "/", "\x00", "a/.."])
def test_a_name_without_anything_readable_is_refused(name: str) -> None:
    with pytest.raises(UploadMismatchError):
        clean_filename(name)
