"""Rows, phases, fences and deliveries, without children."""

import asyncio
import datetime
import itertools

import pytest
import sqlalchemy as sa

from astro_shared.contracts.jobs import FINAL_PHASES, NEXT_PHASES, JobPhase, JobUsage
from astro_shared.database.engine import make_engine, transaction
from astro_shared.database.errors import DatabaseUnavailableError
from astro_shared.errors import UpstreamError
from astro_shared.jobs.errors import AttemptLostError, IdempotencyConflictError, JobNotFoundError
from astro_shared.jobs.ledger.claims import Attempts, Timing
from astro_shared.jobs.ledger.schema import jobs
from astro_shared.settings import DatabaseSettings

USAGE = JobUsage(seconds=1.0, cpu_seconds=0.9, peak_mb=100.0)
TIMING = Timing(heartbeat_s=0.1, lease_s=0.3, sweep_s=0.2, retry_s=0.01)


@pytest.fixture
def attempts(ledger):
    return Attempts(ledger, TIMING)


async def deliveries(ledger, status: str = "todo") -> int:
    statement = sa.text(
        "SELECT count(*) FROM procrastinate_jobs WHERE status = CAST(:status AS procrastinate_job_status)"
    )
    async with ledger.engine.connect() as connection:
        return (await connection.execute(statement, {"status": status})).scalar_one()


async def execute(ledger, statement: str) -> None:
    async with ledger.engine.begin() as connection:
        await connection.execute(sa.text(statement))


async def test_a_job_and_its_delivery_appear_together(ledger, submit):
    job = await submit("shout", text="x")
    assert (job.phase, job.attempt, job.owner, job.service) == (JobPhase.QUEUED, 0, "ada", "example")
    assert await deliveries(ledger) == 1
    assert await ledger.queue_length() == 1


async def test_the_same_key_gives_the_same_job(ledger):
    first, new = await ledger.create(kind="shout", owner="ada", request={"a": 1, "b": 2}, idempotency_key="key-1234")
    again, still_new = await ledger.create(
        kind="shout", owner="ada", request={"b": 2, "a": 1}, idempotency_key="key-1234"
    )
    assert (new, still_new, again.id) == (True, False, first.id)
    assert await deliveries(ledger) == 1
    with pytest.raises(IdempotencyConflictError):
        await ledger.create(kind="shout", owner="ada", request={"a": 2}, idempotency_key="key-1234")
    other, new = await ledger.create(kind="shout", owner="eve", request={"a": 2}, idempotency_key="key-1234")
    assert new and other.id != first.id


async def test_simultaneous_creation_gives_one_job(ledger):
    made = await asyncio.gather(
        *(ledger.create(kind="shout", owner="ada", request={}, idempotency_key="key-1234") for _ in range(8))
    )
    assert len({job.id for job, _ in made}) == 1
    assert sum(new for _, new in made) == 1
    assert await deliveries(ledger) == 1


async def test_a_repeated_creation_moves_the_callback(ledger):
    job, _ = await ledger.create(
        kind="shout", owner="ada", request={}, idempotency_key="key-1234", callback_url="http://127.0.0.1:1/a"
    )
    await ledger.create(
        kind="shout", owner="ada", request={}, idempotency_key="key-1234", callback_url="http://127.0.0.1:2/a"
    )
    claim = await Attempts(ledger, TIMING).claim(job.id, "w")
    assert claim is not None and claim.callback_url == "http://127.0.0.1:2/a"


async def test_the_job_of_another_is_not_there(ledger, submit):
    job = await submit("shout")
    for job_id, owner in ((job.id, "eve"), ("00000000-0000-0000-0000-000000000000", "ada"), ("../etc", None)):
        with pytest.raises(JobNotFoundError):
            await ledger.get(job_id, owner=owner)
        with pytest.raises(JobNotFoundError):
            await ledger.abort(job_id, owner=owner)


async def test_a_second_delivery_finds_nothing_to_do(attempts, submit):
    job = await submit("shout")
    claims = await asyncio.gather(*(attempts.claim(job.id, f"worker {n}") for n in range(5)))
    assert sum(claim is not None for claim in claims) == 1


async def test_only_the_present_attempt_writes(ledger, attempts, submit):
    job = await submit("shout")
    old = await attempts.claim(job.id, "frozen")
    await asyncio.sleep(0.4)
    await attempts.sweep()
    new = await attempts.claim(job.id, "fresh")
    assert (old.job.attempt, new.job.attempt) == (1, 2)
    assert await attempts.renew([old, new]) == [old]
    for late in (
        attempts.progress(old, 0.5, "late", ""),
        attempts.complete(old, {"from": 1}, {}, USAGE),
        attempts.fail(old, UpstreamError("late")),
    ):
        with pytest.raises(AttemptLostError):
            await late
    assert not await attempts.release(old)
    done = await attempts.complete(new, {"from": 2}, {}, USAGE)
    assert (done.phase, done.result) == (JobPhase.COMPLETED, {"from": 2})
    with pytest.raises(AttemptLostError):
        await attempts.complete(new, {"from": 3}, {}, USAGE)


async def test_a_renewed_lease_is_not_swept(ledger, attempts, submit):
    job = await submit("shout")
    claim = await attempts.claim(job.id, "slow")
    for _ in range(5):
        await asyncio.sleep(0.1)
        assert await attempts.renew([claim]) == []
        await attempts.sweep()
    assert (await ledger.get(job.id)).phase == JobPhase.EXECUTING


async def test_lost_attempts_end_in_error_after_the_third(ledger, attempts, submit):
    job = await submit("shout", callback_url="http://127.0.0.1:1/a")
    ended = []
    for _ in range(3):
        await attempts.claim(job.id, "dying")
        await asyncio.sleep(0.35)
        ended += await attempts.sweep()
    [(view, url)] = ended
    assert (view.phase, view.error.code, url) == (JobPhase.ERROR, "worker_lost", "http://127.0.0.1:1/a")
    assert await attempts.claim(job.id, "late") is None


async def test_all_leases_can_be_taken_over_at_a_restart(ledger, attempts, submit):
    job = await submit("shout")
    await attempts.claim(job.id, "killed with the platform")
    await attempts.sweep(leases="all")
    assert (await ledger.get(job.id)).phase == JobPhase.SUSPENDED


async def test_nobody_takes_ones_own_attempts_or_any_after_an_outage(ledger, attempts, submit):
    job = await submit("shout")
    claim = await attempts.claim(job.id, "w")
    await asyncio.sleep(0.4)
    await attempts.sweep(own=[claim])
    await attempts.sweep(leases="none")
    assert (await ledger.get(job.id)).phase == JobPhase.EXECUTING
    await attempts.sweep()
    assert (await ledger.get(job.id)).phase == JobPhase.SUSPENDED


async def test_a_worker_frozen_inside_a_transaction_gives_up_its_locks(ledger, attempts, submit, jobs_database):
    job = await submit("shout")
    await attempts.claim(job.id, "frozen")
    engine = make_engine(jobs_database, DatabaseSettings(idle_transaction_s=0.6))
    with pytest.raises(DatabaseUnavailableError):
        async with transaction(engine) as connection:
            await connection.execute(sa.select(jobs).with_for_update())
            await asyncio.sleep(0.4)
            await attempts.sweep()
            assert (await ledger.get(job.id)).phase == JobPhase.EXECUTING
            await asyncio.sleep(0.4)
            await attempts.sweep()
            assert (await ledger.get(job.id)).phase == JobPhase.SUSPENDED
            await connection.execute(sa.text("SELECT 1"))
    await engine.dispose()


async def test_a_lost_delivery_is_announced_again(ledger, attempts, submit):
    await submit("shout")
    await attempts.sweep()
    assert await deliveries(ledger) == 1
    await execute(ledger, "DELETE FROM procrastinate_jobs")
    await asyncio.sleep(0.35)
    await attempts.sweep()
    await attempts.sweep()
    assert await deliveries(ledger) == 1


async def test_retries_wait_longer_each_time(ledger, submit):
    attempts = Attempts(ledger, Timing(retry_s=100.0))
    job = await submit("shout")
    waits = []
    for _ in range(2):
        await attempts.fail(await attempts.claim(job.id, "w"), UpstreamError("away"))
        async with ledger.engine.connect() as connection:
            due = (await connection.execute(sa.select(jobs.c.due_at - sa.func.now()))).scalar_one()
        waits.append(due)
    assert [round(wait / datetime.timedelta(seconds=100)) for wait in waits] == [1, 2]


async def test_a_queued_job_is_aborted_with_its_delivery(ledger, attempts, submit):
    job = await submit("shout")
    aborted = await ledger.abort(job.id)
    assert aborted.phase == JobPhase.ABORTED and aborted.ended_at is not None
    assert await deliveries(ledger) == 0
    assert await attempts.claim(job.id, "w") is None
    assert await ledger.abort(job.id) == aborted


async def test_an_aborted_attempt_can_not_commit(ledger, attempts, submit):
    job = await submit("shout")
    claim = await attempts.claim(job.id, "w")
    await ledger.abort(job.id)
    with pytest.raises(AttemptLostError):
        await attempts.complete(claim, {}, {}, USAGE)
    assert await attempts.renew([claim]) == [claim]
    assert (await ledger.get(job.id)).phase == JobPhase.ABORTED


async def test_phases_follow_the_graph(ledger, attempts, submit):
    """Every history that the library can write is a path of the UWS graph."""
    finished, failed, handed, aborted = [await submit("shout") for _ in range(4)]
    await attempts.complete(await attempts.claim(finished.id, "w"), {}, {}, USAGE)
    for _ in range(3):
        await attempts.fail(await attempts.claim(failed.id, "w"), UpstreamError("away"))
    await attempts.release(await attempts.claim(handed.id, "w"))
    await attempts.complete(await attempts.claim(handed.id, "w"), {}, {}, USAGE)
    await attempts.release(await attempts.claim(aborted.id, "w"))
    await ledger.abort(aborted.id)
    for job in (finished, failed, handed, aborted):
        events = await ledger.events(job.id)
        phases = [JobPhase(event.data["phase"]) for event in events if event.type == "phase"]
        assert phases[0] == JobPhase.QUEUED and phases[-1] in FINAL_PHASES
        assert all(after in NEXT_PHASES[before] for before, after in itertools.pairwise(phases))


async def test_find_lists_the_newest_of_an_owner(ledger, submit):
    made = [await submit("shout") for _ in range(3)]
    await ledger.abort(made[0].id)
    found = await ledger.find(owner="ada", phases=[JobPhase.QUEUED])
    assert [job.id for job in found] == [made[2].id, made[1].id]
    assert await ledger.find(owner="eve") == []
