"""One gate for all replicas: two engines on one database stand for two processes; one is a process."""

import asyncio
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import structlog
from sqlalchemy import text

from astro_shared.database.engine import make_engine
from astro_shared.database.migrations import upgrade
from astro_shared.testing.postgres import start_postgres
from catalogs_service.adapters.upstream import breaker_store
from catalogs_service.adapters.upstream.breaker_store import DatabaseBreakerStore
from catalogs_service.adapters.upstream.gate import UpstreamGate
from catalogs_service.domain.upstream_state import Limits, UpstreamState
from catalogs_service.errors import QueryError

HOLDER = Path(__file__).parents[2] / "support" / "gate_holder.py"
FAST = Limits(requests_per_s=1000.0, concurrency=4, title="SIMBAD")


@pytest.fixture
def migrated(database):
    upgrade(database, "catalogs_service.migrations")
    return database


@pytest.fixture
async def memories(migrated):
    """What two replicas know."""
    engines = make_engine(migrated), make_engine(migrated)
    yield tuple(map(DatabaseBreakerStore, engines))
    for engine in engines:
        await engine.dispose()


def gates(memories, limits=FAST, **options):
    return [UpstreamGate(memory, "simbad", limits, **options) for memory in memories]


async def open_the_breaker(gate, memory, *, for_good):
    for _ in range(5):
        await gate.failed("timeout")
    if not for_good:
        await memory.change("simbad", lambda state, now: (replace(state, open_until=0.0), None))


@asynccontextmanager
async def holder(database, lease_s):
    """A process with a place; gives what it has."""
    command = (sys.executable, str(HOLDER), database, str(lease_s))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        yield process, (await process.stdout.readline()).decode().strip()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_replicas_together_keep_to_the_rate(memories):
    turns = []

    async def ask(gate):
        async with gate.admitted():
            turns.append(time.monotonic())

    pair = gates(memories, Limits(requests_per_s=20.0, concurrency=10))
    begin = time.monotonic()
    await asyncio.gather(*(ask(gate) for gate in pair for _ in range(6)))
    # twelve turns are eleven intervals of 50 ms; the first may be seen late by a busy machine
    assert max(turns) - begin >= 11 * 0.05 - 0.02


async def test_replicas_together_keep_to_the_places(memories):
    inside, most = 0, 0

    async def ask(gate):
        nonlocal inside, most
        async with gate.admitted():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.05)
            inside -= 1

    pair = gates(memories, Limits(requests_per_s=1000.0, concurrency=2))
    async with asyncio.timeout(30):
        await asyncio.gather(*(ask(gate) for gate in pair for _ in range(5)))
    assert most == 2
    assert (await pair[0].state()).places == {}


async def test_what_one_replica_learns_the_other_knows(memories):
    one, other = gates(memories)
    await open_the_breaker(one, memories[0], for_good=True)
    await one.count_cache(hit=True)
    await other.count_cache(hit=False)
    with pytest.raises(QueryError, match="SIMBAD failed 5 times in a row, last by timeout") as caught:
        async with other.admitted():
            pass
    assert caught.value.cause == "timeout"
    assert 25 < caught.value.retry_at.timestamp() - time.time() < 31
    state = await other.state()
    assert (state.cache_hits, state.cache_misses, state.failures) == (1, 1, 5)
    await other.succeeded()
    await one.pause(60)
    with pytest.raises(QueryError, match="asked not to be asked before") as caught:
        async with other.admitted():
            pass
    assert caught.value.cause == "quota"


async def test_of_all_replicas_one_takes_the_probe(memories):
    pair = gates(memories)
    await open_the_breaker(pair[0], memories[0], for_good=False)
    probes = 0

    async def ask(gate):
        nonlocal probes
        async with gate.admitted() as probing:
            probes += probing
            await asyncio.sleep(0.3)
            await gate.succeeded()

    results = await asyncio.gather(*(ask(gate) for gate in pair for _ in range(4)), return_exceptions=True)
    assert probes == 1
    assert sum(isinstance(result, QueryError) for result in results) == 7
    assert (await pair[1].state()).breaker(time.time()) == "closed"


async def test_a_killed_holder_gives_its_place_and_its_probe_back(migrated, memories):
    gate = gates(memories[:1], Limits(requests_per_s=1000.0, concurrency=1), lease_s=1.0)[0]
    await open_the_breaker(gate, memories[0], for_good=False)
    async with holder(migrated, 1.0) as (process, has):
        assert has == "probe"
        # it lives longer than its lease, since it renews it
        await asyncio.sleep(1.5)
        with pytest.raises(QueryError):
            async with gate.admitted():
                pass
        process.kill()
        await process.wait()
        began = time.monotonic()
        async with asyncio.timeout(10):
            while True:
                try:
                    async with gate.admitted() as probing:
                        assert probing
                        break
                except QueryError:
                    await asyncio.sleep(0.05)
    assert time.monotonic() - began < 2.0


async def test_a_place_is_waited_for_while_its_holder_lives(migrated, memories):
    gate = gates(memories[:1], Limits(requests_per_s=1000.0, concurrency=1), lease_s=1.0)[0]
    async with holder(migrated, 1.0) as (process, has):
        assert has == "place"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5), gate.admitted():
                pass
        process.kill()
        async with asyncio.timeout(5), gate.admitted() as probing:
            assert not probing


async def test_a_cancelled_question_leaves_no_place_behind(memories):
    one, other = gates(memories, Limits(requests_per_s=1000.0, concurrency=1), lease_s=60.0)
    inside = asyncio.Event()

    async def ask():
        async with one.admitted():
            inside.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(ask())
    await inside.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(5), other.admitted():
        pass


async def test_every_column_comes_back_as_it_was(memories):
    one, other = memories
    state = UpstreamState(1.8e9, 3, 4.5, 5.5, 6.5, 7.5, 8.5, "timeout", 9, 10, {"a": 11.5})
    await one.change("gaia", lambda _, now: (state, None))
    assert asdict(await other.change("gaia", lambda known, now: (known, known))) == asdict(state)
    assert await other.change("vizier", lambda known, now: (known, known)) == UpstreamState()


async def test_the_clock_is_the_one_of_the_database(memories):
    now = await memories[0].change("simbad", lambda state, now: (state, now))
    assert abs(now - time.time()) < 5


async def test_without_the_database_each_holds_the_limits_alone_and_says_so_once(monkeypatch):
    monkeypatch.setattr(breaker_store, "_AWAY_S", 0.2)
    limits = Limits(requests_per_s=20.0, concurrency=1)
    with start_postgres() as server, structlog.testing.capture_logs() as logs:
        upgrade(server.address, "catalogs_service.migrations")
        engine = make_engine(server.address)
        gate = gates([DatabaseBreakerStore(engine)], limits)[0]
        for _ in range(5):
            await gate.failed("timeout")
        server.stop()
        with pytest.raises(QueryError, match="failed 5 times"):
            async with gate.admitted():
                pass
        await gate.succeeded()
        began = time.monotonic()
        for _ in range(5):
            async with gate.admitted():
                pass
        # five turns are four intervals of 50 ms
        assert time.monotonic() - began >= 0.18
        server.start()
        await asyncio.sleep(0.3)
        assert (await gate.state()).failures == 5
        await gate.succeeded()
        async with gate.admitted():
            pass
        await engine.dispose()
    assert [entry["event"] for entry in logs] == ["upstream_limits_held_locally", "upstream_limits_shared_again"]


async def test_a_database_that_hangs_is_as_good_as_away(migrated, memories, monkeypatch):
    monkeypatch.setattr(breaker_store, "_PATIENCE_S", 0.3)
    gate = gates(memories)[0]
    await gate.succeeded()
    engine = make_engine(migrated)
    async with engine.begin() as connection:
        await connection.execute(text("SELECT * FROM upstreams FOR UPDATE"))
        began = time.monotonic()
        async with gate.admitted():
            pass
        assert time.monotonic() - began < 2.0
    await engine.dispose()
