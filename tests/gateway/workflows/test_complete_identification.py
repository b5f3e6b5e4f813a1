"""A finished reduction is opened again for catalogues that failed, and never ends worse than it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from astro_shared.contracts.gateway import ReductionPhase, StageName, StageState
from astro_shared.contracts.jobs import JobPhase, JobView
from astro_shared.errors import ConflictError
from gateway_service.adapters.reduction_store import PostgresReductionStore
from gateway_service.domain.reductions import Reduction
from gateway_service.errors import ReductionNotFoundError
from gateway_service.workflows.advance_reduction import AdvanceReduction
from gateway_service.workflows.complete_identification import CompleteIdentification

STATUSES = [{"catalogue": "simbad", "status": "matched"}, {"catalogue": "vsx", "status": "failed"}]


def ref(name: str) -> dict[str, Any]:
    return {"key": f"jobs/{name}", "sha256": "0" * 64, "size": 3, "media_type": "application/fits"}


class Runner:
    """Jobs that a test ends."""

    def __init__(self) -> None:
        self.requests: dict[str, Mapping[str, Any]] = {}
        self.jobs: dict[str, JobView] = {}

    async def start(self, stage: StageName, *, key: str, owner: str, request: Mapping[str, Any]) -> JobView:
        self.requests[key] = request
        job = JobView(id=f"again-{stage}", service="s", kind=str(stage), owner=owner, phase=JobPhase.QUEUED, attempt=0,
                      created_at=datetime.now(UTC))  # fmt: skip
        return self.jobs.setdefault(job.id, job)

    async def look(self, stage: StageName, *, job_id: str, owner: str) -> JobView:
        return self.jobs[job_id]

    def end(self, stage: StageName, phase: JobPhase = JobPhase.COMPLETED, **changes: Any) -> None:
        job = self.jobs[f"again-{stage}"]
        self.jobs[job.id] = JobView.model_validate(job.model_dump() | {"phase": phase} | changes)


@pytest.fixture
def store(engine: AsyncEngine) -> PostgresReductionStore:
    return PostgresReductionStore(engine)


@pytest.fixture
async def finished(store: PostgresReductionStore, make_reduction: Any) -> Reduction:
    outcomes: dict[StageName, dict[str, Any]] = {
        StageName.MEASURE: {"result": {"frame": {}}, "files": {"sources.fits": ref("sources")}},
        StageName.SOLVE: {"result": {"astrometry": {"solved": True}}, "files": {"positions.fits": ref("positions")}},
        StageName.CALIBRATE: {"result": {"zero_point": {}}},
        StageName.IDENTIFY: {
            "result": {"catalogues": STATUSES},
            "files": {"matches.fits": ref("old-m"), "identifications.fits": ref("old-i")},
        },
        StageName.COLLECT: {
            "result": {"status": "calibrated", "summary": {"a": 1}},
            "files": {"catalog.csv": ref("c")},
        },
    }
    plain = make_reduction()
    stages = tuple(replace(s, state=StageState.DONE, job_id=f"job-{s.name}", **outcomes[s.name]) for s in plain.stages)
    done = replace(
        plain, stages=stages, phase=ReductionPhase.COMPLETED, status="calibrated", ended_at=datetime.now(UTC)
    )
    await store.add(plain, None)
    async with store.locked(plain.id) as held:
        await held.save(done)
    return done


async def test_identify_and_collect_are_done_again_with_what_was_known(
    store: PostgresReductionStore, finished: Reduction
) -> None:
    opened = await CompleteIdentification(store)(finished.id, "ann")
    assert opened.phase is ReductionPhase.EXECUTING and opened.ended_at is None
    assert opened.stage(StageName.COLLECT).files, "the former results stay until there are new ones"
    assert await store.claim_due(10) == [finished.id], "a worker was woken"
    runner = Runner()
    advance = AdvanceReduction(store, runner)  # type: ignore[arg-type]
    await advance(finished.id)
    key = f"{finished.id}:identify:{finished.settings_hash[:16]}:1"
    assert runner.requests[key]["earlier"]["catalogues"] == STATUSES
    assert runner.requests[key]["earlier"]["matches"]["key"] == "jobs/old-m"
    new = {"catalogues": [STATUSES[0], {"catalogue": "vsx", "status": "no_match"}]}
    runner.end(StageName.IDENTIFY, result=new, files={"matches.fits": ref("m"), "identifications.fits": ref("i")})
    await advance(finished.id)
    runner.end(StageName.COLLECT, result={"status": "calibrated", "summary": {"a": 2}}, files={"catalog.csv": ref("d")})
    done = await advance(finished.id)
    assert (done.phase, done.status) == (ReductionPhase.COMPLETED, "calibrated")
    assert done.ended_at is not None
    assert (done.stage(StageName.COLLECT).result or {})["summary"] == {"a": 2}
    assert set((await store.get(finished.id)).stage(StageName.IDENTIFY).superseded) == {"jobs/old-m", "jobs/old-i"}
    with pytest.raises(ConflictError, match="no catalogue left"):
        await CompleteIdentification(store)(finished.id, "ann")


async def test_a_second_round_that_fails_leaves_the_first_in_force(
    store: PostgresReductionStore, finished: Reduction
) -> None:
    await CompleteIdentification(store)(finished.id, "ann")
    runner = Runner()
    advance = AdvanceReduction(store, runner)  # type: ignore[arg-type]
    error = {"code": "time_limit", "message": "It took too long."}
    for stage in (StageName.IDENTIFY, StageName.COLLECT):
        await advance(finished.id)
        runner.end(stage, JobPhase.ERROR, error=error)
    done = await advance(finished.id)
    assert (done.phase, done.status) == (ReductionPhase.COMPLETED, "calibrated")
    stage = done.stage(StageName.IDENTIFY)
    assert (stage.state, stage.reason) == (StageState.DONE, "not done again: It took too long.")
    assert stage.files["matches.fits"]["key"] == "jobs/old-m"
    opened = await CompleteIdentification(store)(finished.id, "ann")
    assert opened.stage(StageName.IDENTIFY).round == 2


async def test_an_abort_while_it_is_completed_changes_nothing(
    store: PostgresReductionStore, finished: Reduction
) -> None:
    await CompleteIdentification(store)(finished.id, "ann")
    await store.request_abort(finished.id, "ann")
    advanced = await AdvanceReduction(store, Runner())(finished.id)  # type: ignore[arg-type]
    assert advanced.stage(StageName.IDENTIFY).state is StageState.RUNNING


async def test_an_identify_stage_that_failed_as_a_whole_is_done_again(
    store: PostgresReductionStore, finished: Reduction
) -> None:
    stages = tuple(
        replace(s, state=StageState.FAILED, result=None, files={}) if s.name is StageName.IDENTIFY else s
        for s in finished.stages
    )
    async with store.locked(finished.id) as held:
        await held.save(replace(finished, stages=stages))
    await CompleteIdentification(store)(finished.id, "ann")
    runner = Runner()
    await AdvanceReduction(store, runner)(finished.id)  # type: ignore[arg-type]
    (request,) = runner.requests.values()
    assert request["earlier"] is None


async def test_only_the_owners_finished_reductions_are_completed(
    store: PostgresReductionStore, finished: Reduction
) -> None:
    with pytest.raises(ReductionNotFoundError):
        await CompleteIdentification(store)(finished.id, "bob")
    await CompleteIdentification(store)(finished.id, "ann")
    with pytest.raises(ConflictError, match="EXECUTING"):
        await CompleteIdentification(store)(finished.id, "ann")
