"""Reductions and uploads in a real PostgreSQL."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from astro_shared.contracts.gateway import ReductionPhase, StageName, StageState
from gateway_service.adapters.database import reductions
from gateway_service.adapters.reduction_store import PostgresReductionStore
from gateway_service.adapters.upload_store import PostgresUploadStore
from gateway_service.domain.uploads import Upload
from gateway_service.errors import IdempotencyConflictError, ReductionNotFoundError, UploadNotFoundError


async def test_a_reduction_comes_back_as_it_went(engine: AsyncEngine, make_reduction: Any) -> None:
    store, reduction = PostgresReductionStore(engine), make_reduction()
    await store.add(reduction, "key")
    assert await store.get(reduction.id, "ann") == reduction


async def test_the_same_key_is_the_same_reduction_and_another_request_a_conflict(
    engine: AsyncEngine, make_reduction: Any
) -> None:
    store, first = PostgresReductionStore(engine), make_reduction()
    await store.add(first, "key")
    again = await store.add(replace(first, id="another"), "key")
    assert again.id == first.id
    with pytest.raises(IdempotencyConflictError):
        await store.add(replace(first, id="third", frame_name="other.fits"), "key")
    assert (await store.add(replace(first, id="bobs", owner="bob"), "key")).id == "bobs"
    assert (await store.add(replace(first, id="keyless"), None)).id == "keyless"


async def test_somebody_elses_is_not_there(engine: AsyncEngine, make_reduction: Any) -> None:
    store, reduction = PostgresReductionStore(engine), make_reduction()
    await store.add(reduction, None)
    for ask in (store.get, store.request_abort, store.delete):
        with pytest.raises(ReductionNotFoundError):
            await ask(reduction.id, "bob")
    assert not (await store.get(reduction.id)).abort_requested


async def test_two_workers_never_claim_the_same(engine: AsyncEngine, make_reduction: Any) -> None:
    store = PostgresReductionStore(engine)
    made = {(await store.add(make_reduction(), None)).id for _ in range(12)}
    claims = await asyncio.gather(*(store.claim_due(5) for _ in range(4)))
    flat = [name for claim in claims for name in claim]
    assert len(flat) == len(set(flat)) and set(flat) | set(await store.claim_due(20)) == made
    assert await store.claim_due(20) == []


async def test_a_callback_wakes_the_reduction_of_its_job_only(engine: AsyncEngine, make_reduction: Any) -> None:
    store = PostgresReductionStore(engine)
    first, second = make_reduction(), make_reduction()
    running = replace(first.stages[0], job_id="job-7", state=StageState.RUNNING)
    for reduction in (replace(first, stages=(running, *first.stages[1:])), second):
        await store.add(reduction, None)
    await store.claim_due(10)
    await store.wake_by_job("unknown")
    assert await store.claim_due(10) == []
    await store.wake_by_job("job-7")
    assert await store.claim_due(10) == [first.id]


async def test_a_lost_notification_costs_a_sweep_and_nothing_else(engine: AsyncEngine, make_reduction: Any) -> None:
    store, reduction = PostgresReductionStore(engine), make_reduction()
    await store.add(reduction, None)
    await store.claim_due(10)
    async with engine.begin() as connection:
        await connection.execute(update(reductions).values(due_at=reductions.c.due_at - timedelta(seconds=11)))
    assert await store.claim_due(10) == [reduction.id]


async def test_what_ended_is_never_due_again_and_can_be_removed(engine: AsyncEngine, make_reduction: Any) -> None:
    store, reduction = PostgresReductionStore(engine), make_reduction()
    await store.add(reduction, None)
    with pytest.raises(ReductionNotFoundError):
        await store.delete(reduction.id, "ann")
    async with store.locked(reduction.id) as held:
        await held.save(replace(held.reduction, phase=ReductionPhase.COMPLETED, ended_at=datetime.now(UTC)))
    await store.wake(reduction.id)
    assert await store.claim_due(10) == []
    assert (await store.request_abort(reduction.id, "ann")).abort_requested is False
    assert (await store.delete(reduction.id, "ann")).id == reduction.id
    with pytest.raises(ReductionNotFoundError):
        await store.get(reduction.id, "ann")


async def test_the_lock_is_held_by_one(engine: AsyncEngine, make_reduction: Any) -> None:
    store, reduction = PostgresReductionStore(engine), make_reduction()
    await store.add(reduction, None)

    async def add_stage_reason(word: str) -> None:
        async with store.locked(reduction.id) as held:
            stage = held.reduction.stage(StageName.MEASURE)
            await asyncio.sleep(0.05)
            changed = replace(stage, reason=(stage.reason or "") + word)
            await held.save(replace(held.reduction, stages=(changed, *held.reduction.stages[1:])))

    await asyncio.gather(*(add_stage_reason(word) for word in "abc"))
    assert sorted((await store.get(reduction.id)).stages[0].reason or "") == ["a", "b", "c"]


async def test_a_process_that_dies_under_the_lock_leaves_what_was_before(
    engine: AsyncEngine, make_reduction: Any
) -> None:
    store, reduction = PostgresReductionStore(engine), make_reduction()
    await store.add(reduction, None)
    with pytest.raises(RuntimeError):
        async with store.locked(reduction.id) as held:
            await held.save(replace(held.reduction, reason="half done"))
            raise RuntimeError
    assert (await store.get(reduction.id)).reason is None


async def test_pages_run_from_new_to_old_without_gap_or_double(engine: AsyncEngine, make_reduction: Any) -> None:
    store, moment = PostgresReductionStore(engine), datetime.now(UTC)
    for number in range(5):
        await store.add(make_reduction(id=f"r{number}", created_at=moment - timedelta(seconds=number // 2)), None)
    await store.add(make_reduction(owner="bob"), None)
    first = await store.newest("ann", limit=2, before=None)
    last = first[-1]
    rest = await store.newest("ann", limit=9, before=(last.created_at.isoformat(), last.id))
    assert [item.id for item in (*first, *rest)] == ["r1", "r0", "r3", "r2", "r4"]


async def test_uploads_belong_to_their_owner(engine: AsyncEngine) -> None:
    store = PostgresUploadStore(engine)
    upload = Upload("u1", "ann", "k", "a.fits", 5, "frame", None, False, datetime.now(UTC))
    await store.add(upload)
    assert await store.get("u1", "ann") == upload
    with pytest.raises(UploadNotFoundError):
        await store.get("u1", "bob")
    done = await store.complete("u1", "0" * 64, 5)
    assert done.complete and done.sha256 == "0" * 64
