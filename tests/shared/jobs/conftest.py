"""A ledger in a fresh database, a folder store and workers that notice loss quickly."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from astro_shared.contracts.jobs import JobView
from astro_shared.database.engine import make_engine
from astro_shared.database.migrations import upgrade
from astro_shared.jobs.job_types import JobRun, JobType
from astro_shared.jobs.ledger.claims import Timing
from astro_shared.jobs.ledger.rows import JobLedger
from astro_shared.jobs.worker.run import ServiceWorker, WorkerOptions, run_workers
from astro_shared.storage.folder import FolderStore
from astro_shared.testing.example_tasks import ExampleRequest

FAST = Timing(heartbeat_s=0.2, lease_s=1.0, sweep_s=0.3, retry_s=0.05)
TASKS = "astro_shared.testing.example_tasks"


async def echo(payload: dict[str, Any], run: JobRun) -> dict[str, Any]:
    return {"text": payload["text"] * 2, "owner": run.job.owner}


def task(name: str, **limits: Any) -> JobType:
    return JobType(name, ExampleRequest, task=f"{TASKS}:{name}", answers={"echo": echo}, **limits)


JOB_TYPES = [
    *(
        task(name)
        for name in (
            "shout", "sleep", "ask", "crash", "crash_in_reader", "refuse", "stumble", "blunder", "escape",
            "environment", "babble", "leave_child",
        )
    ),
    task("spin", wall_limit_s=0.5),
    task("eat", memory_limit_mb=200),
    task("write", file_limit_mb=5),
]  # fmt: skip


@pytest.fixture
def jobs_database(database: str) -> str:
    upgrade(database, "astro_shared.testing.example_migrations")
    return database


@pytest.fixture
async def ledger(jobs_database: str) -> AsyncIterator[JobLedger]:
    engine = make_engine(jobs_database)
    yield JobLedger(engine, "example")
    await engine.dispose()


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "objects", url_secret="s" * 32, public_url="http://localhost/storage")


@pytest.fixture
async def start_worker(
    jobs_database: str, store: FolderStore, tmp_path: Path
) -> AsyncIterator[Callable[..., Awaitable[Callable[[], Awaitable[None]]]]]:
    """Starts workers in this process; each call returns a function that stops that worker."""
    stoppers = []

    async def start(
        job_types: list[JobType] | None = None,
        concurrency: int = 2,
        grace_s: float = 0.1,
        timing: Timing = FAST,
        **options: Any,
    ) -> Callable[[], Awaitable[None]]:
        stop, ready = asyncio.Event(), asyncio.Event()
        worker = ServiceWorker(
            "example", job_types or JOB_TYPES, make_engine(jobs_database), store, concurrency, **options
        )
        running = asyncio.create_task(
            run_workers(
                [worker],
                scratch=tmp_path / "scratch",
                stop=stop,
                options=WorkerOptions(timing, grace_s=grace_s),
                on_ready=ready.set,
            )
        )

        async def stop_it() -> None:
            stop.set()
            await running

        stoppers.append(stop_it)
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait([waiting, running], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if running.done():
            running.result()
        return stop_it

    yield start
    for stop_it in stoppers:
        with contextlib.suppress(asyncio.CancelledError):
            await stop_it()


@pytest.fixture
def submit(ledger: JobLedger) -> Callable[..., Awaitable[JobView]]:
    """Creates a job and returns it."""
    numbers = iter(range(1000))

    async def create(kind: str, *, callback_url: str | None = None, **request: Any) -> JobView:
        job, _ = await ledger.create(
            kind=kind,
            owner="ada",
            request=request,
            idempotency_key=f"key-{next(numbers):05}",
            callback_url=callback_url,
        )
        return job

    return create


@pytest.fixture
def wait_for(ledger: JobLedger) -> Callable[..., Awaitable[JobView]]:
    """Waits until a job fulfils a condition; by default until it ends."""

    async def wait(
        job: JobView, condition: Callable[[JobView], bool] = lambda view: view.is_final, timeout: float = 15.0
    ) -> JobView:
        async with asyncio.timeout(timeout):
            while not condition(view := await ledger.get(job.id)):
                await asyncio.sleep(0.02)
        return view

    return wait
