"""A reduction walks through its stages; every way that a stage can end, on fakes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from astro_shared.contracts.gateway import ReductionPhase, StageName, StageState
from astro_shared.contracts.jobs import JobPhase, JobView
from astro_shared.errors import AlidadeError, InvalidRequestError, UnavailableError
from gateway_service.domain.reductions import Reduction
from gateway_service.workflows.advance_reduction import AdvanceReduction

REF = {"key": "k", "sha256": "0" * 64, "size": 1, "media_type": "application/fits"}
RESULTS: dict[StageName, dict[str, Any]] = {
    StageName.MEASURE: {"frame": {}, "fwhm_psf_px": 2.0},
    StageName.SOLVE: {
        "astrometry": {"solved": True, "ra_center_deg": 1.0, "dec_center_deg": 2.0, "scale_arcsec_px": 1.0}
    },
    StageName.CALIBRATE: {"zero_point": {"status": "calibrated"}},
    StageName.IDENTIFY: {"catalogues": []},
    StageName.COLLECT: {"status": "calibrated", "reason": None, "summary": {}},
}
FILES = {
    StageName.MEASURE: {"sources.fits": REF, "header.txt": REF, "cards.txt": REF},
    StageName.SOLVE: {"positions.fits": REF, "reference.fits": REF},
    StageName.IDENTIFY: {"matches.fits": REF, "identifications.fits": REF},
}


class Store:
    """One reduction; counts what is written."""

    def __init__(self, reduction: Reduction) -> None:
        self.reduction, self.saves = reduction, 0

    @asynccontextmanager
    async def locked(self, reduction_id: str) -> AsyncIterator[Store]:
        yield self

    async def save(self, reduction: Reduction) -> None:
        self.reduction, self.saves = reduction, self.saves + 1


class Runner:
    """Jobs that stay as they are until a test ends them."""

    def __init__(self) -> None:
        self.keys: dict[str, JobView] = {}
        self.started: list[StageName] = []
        self.aborted: list[StageName] = []
        self.fails: AlidadeError | None = None

    async def start(self, stage: StageName, *, key: str, owner: str, request: Mapping[str, Any]) -> JobView:
        self._fail()
        self.started.append(stage)
        made = JobView(
            id=f"job-{stage}", service="s", kind=str(stage), owner=owner, phase=JobPhase.QUEUED, attempt=0,
            created_at=datetime.now(UTC),
        )  # fmt: skip
        return self.keys.setdefault(key, made)

    async def look(self, stage: StageName, *, job_id: str, owner: str) -> JobView:
        self._fail()
        return next(job for job in self.keys.values() if job.id == job_id)

    async def abort(self, stage: StageName, *, job_id: str, owner: str) -> JobView:
        self._fail()
        self.aborted.append(stage)
        return next(job for job in self.keys.values() if job.id == job_id)

    def end(self, stage: StageName, phase: JobPhase = JobPhase.COMPLETED, **changes: Any) -> None:
        key = next(key for key, job in self.keys.items() if job.id == f"job-{stage}")
        good = {"result": RESULTS[stage], "files": FILES.get(stage, {})} if phase is JobPhase.COMPLETED else {}
        fields = self.keys[key].model_dump() | {"phase": phase, "ended_at": datetime.now(UTC)} | good | changes
        self.keys[key] = JobView.model_validate(fields)

    def _fail(self) -> None:
        if self.fails is not None:
            raise self.fails


@pytest.fixture
def store(make_reduction: Any) -> Store:
    return Store(make_reduction())


@pytest.fixture
def runner() -> Runner:
    return Runner()


async def advance(store: Store, runner: Runner) -> Reduction:
    return await AdvanceReduction(store, runner)(store.reduction.id)  # type: ignore[arg-type]


async def test_all_stages_in_their_order_end_calibrated(store: Store, runner: Runner) -> None:
    for stage in RESULTS:
        running = await advance(store, runner)
        assert runner.started[-1] is stage
        assert running.phase is ReductionPhase.EXECUTING and running.stage(stage).state is StageState.RUNNING
        runner.end(stage)
    done = await advance(store, runner)
    assert runner.started == list(RESULTS)
    assert (done.phase, done.status, done.reason) == (ReductionPhase.COMPLETED, "calibrated", None)
    assert done.ended_at is not None


async def test_nothing_is_written_while_a_job_runs(store: Store, runner: Runner) -> None:
    await advance(store, runner)
    saves = store.saves
    await advance(store, runner)
    assert store.saves == saves and len(runner.started) == 1


async def test_a_service_that_is_away_is_asked_again_later(store: Store, runner: Runner) -> None:
    runner.fails = UnavailableError("away")
    waiting = await advance(store, runner)
    assert waiting.stage(StageName.MEASURE).state is StageState.WAITING and store.saves == 0
    runner.fails = None
    assert (await advance(store, runner)).stage(StageName.MEASURE).state is StageState.RUNNING
    runner.fails = UnavailableError("away again")
    assert (await advance(store, runner)).stage(StageName.MEASURE).state is StageState.RUNNING


async def test_a_refusal_is_final_and_collect_still_runs(store: Store, runner: Runner) -> None:
    runner.fails = InvalidRequestError("the request is wrong")

    class OnlyCollect(Runner):
        async def start(self, stage: StageName, **facts: Any) -> JobView:
            if stage is not StageName.COLLECT:
                raise InvalidRequestError("the request is wrong")
            return await super().start(stage, **facts)

    only = OnlyCollect()
    running = await advance(store, only)
    assert running.stage(StageName.MEASURE).reason == "the request is wrong"
    assert [s.state for s in running.stages[1:4]] == [StageState.SKIPPED] * 3
    only.end(StageName.COLLECT, result={"status": "failed", "reason": "the request is wrong", "summary": {}})
    done = await advance(store, only)
    assert (done.phase, done.status, done.reason) == (ReductionPhase.ERROR, "failed", "the request is wrong")


async def test_an_unsolved_frame_skips_what_needs_the_sky_and_completes(store: Store, runner: Runner) -> None:
    await advance(store, runner)
    runner.end(StageName.MEASURE)
    await advance(store, runner)
    runner.end(StageName.SOLVE, result={"astrometry": {"solved": False, "reason": "no stars match"}}, files={})
    running = await advance(store, runner)
    assert running.stage(StageName.CALIBRATE).state is StageState.SKIPPED
    runner.end(StageName.COLLECT, result={"status": "uncalibrated", "reason": "no stars match", "summary": {}})
    done = await advance(store, runner)
    assert (done.phase, done.status) == (ReductionPhase.COMPLETED, "uncalibrated")


async def test_a_job_in_error_gives_its_reason_and_code(store: Store, runner: Runner) -> None:
    await advance(store, runner)
    error = {"code": "no_stars", "message": "No star stands out.", "stage": "measure", "retryable": False}
    runner.end(StageName.MEASURE, JobPhase.ERROR, error=error)
    stage = (await advance(store, runner)).stage(StageName.MEASURE)
    assert (stage.state, stage.reason, stage.code) == (StageState.FAILED, "No star stands out.", "no_stars")


async def test_without_a_collected_result_the_reduction_is_failed_and_says_so(store: Store, runner: Runner) -> None:
    for stage in RESULTS:
        await advance(store, runner)
        lost = {"code": "crashed", "message": "The job died.", "stage": "collect", "retryable": False}
        runner.end(stage) if stage is not StageName.COLLECT else runner.end(stage, JobPhase.ERROR, error=lost)
    done = await advance(store, runner)
    assert (done.phase, done.status, done.reason) == (ReductionPhase.ERROR, "failed", "The job died.")


async def test_an_abort_ends_the_running_job_and_everything_after(store: Store, runner: Runner) -> None:
    await advance(store, runner)
    store.reduction = replace(store.reduction, abort_requested=True)
    done = await advance(store, runner)
    assert runner.aborted == [StageName.MEASURE]
    assert done.phase is ReductionPhase.ABORTED and {s.state for s in done.stages} == {StageState.ABORTED}


async def test_an_abort_waits_for_a_service_that_is_away(store: Store, runner: Runner) -> None:
    await advance(store, runner)
    store.reduction = replace(store.reduction, abort_requested=True)
    runner.fails = UnavailableError("away")
    assert not (await advance(store, runner)).final
    runner.fails = None
    assert (await advance(store, runner)).final


async def test_an_abort_does_not_take_the_results_of_one_that_is_only_being_completed(
    store: Store, runner: Runner
) -> None:
    """It had ended and has results; the catalogues that failed are asked once more."""
    for name in RESULTS:
        await advance(store, runner)
        runner.end(name)
    done = await advance(store, runner)
    again = {StageName.IDENTIFY, StageName.COLLECT}
    reopened = (replace(s, state=StageState.WAITING, round=1) if s.name in again else s for s in done.stages)
    phase = ReductionPhase.EXECUTING
    store.reduction = replace(done, stages=tuple(reopened), phase=phase, status=None, abort_requested=True)
    runner.keys.clear()
    await advance(store, runner)
    assert runner.aborted == []
    for name in (StageName.IDENTIFY, StageName.COLLECT):
        runner.end(name)
        await advance(store, runner)
    assert store.reduction.phase is ReductionPhase.COMPLETED
    assert store.reduction.status == "calibrated"


async def test_a_finished_reduction_is_left_alone(store: Store, runner: Runner) -> None:
    store.reduction = replace(store.reduction, phase=ReductionPhase.COMPLETED, abort_requested=True)
    assert (await advance(store, runner)).phase is ReductionPhase.COMPLETED
    assert store.saves == 0 and runner.started == []


async def test_a_start_that_was_lost_finds_the_same_job_again(store: Store, runner: Runner) -> None:
    before = store.reduction
    await advance(store, runner)
    store.reduction = before
    await advance(store, runner)
    assert len(runner.keys) == 1
