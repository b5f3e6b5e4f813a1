"""The database goes away in mid-job and comes back: nothing is lost, nothing runs twice."""

import asyncio

import pytest

from astro_shared.contracts.jobs import JobPhase
from astro_shared.database.errors import DatabaseUnavailableError
from astro_shared.database.migrations import upgrade
from astro_shared.testing.postgres import start_postgres

pytestmark = pytest.mark.fault


@pytest.fixture
def own_server():
    with start_postgres() as server:
        yield server


@pytest.fixture
def jobs_database(own_server) -> str:
    """Replaces the shared server's database: this one is restarted."""
    upgrade(own_server.address, "astro_shared.testing.example_migrations")
    return own_server.address


async def test_jobs_outlive_a_restart(own_server, start_worker, submit, wait_for, ledger, tmp_path):
    marker = tmp_path / "starts"
    await start_worker(concurrency=1, grace_s=5)
    running = await submit("sleep", seconds=2.0, marker=str(marker))
    queued = await submit("shout", text="x")
    await wait_for(running, lambda view: view.progress.step == "sleeping")
    await asyncio.to_thread(own_server.stop)
    with pytest.raises(DatabaseUnavailableError):
        await ledger.get(running.id)
    await asyncio.sleep(2.5)
    await asyncio.to_thread(own_server.start)
    done = await wait_for(running, timeout=30)
    assert (done.phase, done.attempt) == (JobPhase.COMPLETED, 1)
    assert len(marker.read_text().split()) == 1
    assert (await wait_for(queued, timeout=30)).phase == JobPhase.COMPLETED
    later = await submit("shout", text="y")
    assert (await wait_for(later)).phase == JobPhase.COMPLETED
