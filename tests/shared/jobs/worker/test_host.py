"""Worker processes: several services in one, and starts that fail with one line."""

import asyncio
import os
import subprocess
import sys

import pytest

from astro_shared.contracts.jobs import JobPhase
from astro_shared.database.engine import make_engine
from astro_shared.database.migrations import upgrade
from astro_shared.jobs.ledger.rows import JobLedger
from astro_shared.jobs.sandbox.fork_client import ForkClient
from astro_shared.jobs.worker import host
from astro_shared.jobs.worker.run import ServiceWorker, WorkerOptions, run_workers

from ..conftest import FAST, JOB_TYPES, TASKS


async def test_services_share_an_event_loop_and_a_fork_server(make_database, store, tmp_path):
    ledgers, workers = [], []
    for service in ("one", "two"):
        address = make_database()
        upgrade(address, "astro_shared.testing.example_migrations")
        ledgers.append(JobLedger(make_engine(address), service))
        workers.append(ServiceWorker(service, JOB_TYPES, make_engine(address), store))
    server, stop, ready = ForkClient([TASKS]), asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(
        run_workers(
            workers,
            scratch=tmp_path / "scratch",
            stop=stop,
            options=WorkerOptions(FAST),
            server=server,
            on_ready=ready.set,
        )
    )
    await ready.wait()
    first = server.pid
    jobs = [
        (await ledger.create(kind="shout", owner="ada", request={"text": "x"}, idempotency_key="key-12345"))[0]
        for ledger in ledgers
    ]
    async with asyncio.timeout(10):
        for ledger, job in zip(ledgers, jobs, strict=True):
            while not (view := await ledger.get(job.id)).is_final:
                await asyncio.sleep(0.02)
            assert (view.phase, view.service) == (JobPhase.COMPLETED, ledger.service)
    assert [stat.key.split("/")[1] async for stat in store.list("jobs/")] == ["one", "two"]
    assert server.pid == first
    stop.set()
    await running
    await server.close()
    assert list((tmp_path / "scratch").iterdir()) == []
    for ledger in ledgers:
        await ledger.engine.dispose()


async def test_background_work_runs_beside_and_is_started_again(start_worker):
    starts = []

    async def loop() -> None:
        starts.append(len(starts))
        if len(starts) == 1:
            raise RuntimeError("once")
        await asyncio.Event().wait()

    closed = asyncio.Event()

    async def close() -> None:
        closed.set()

    stop = await start_worker(background=[loop], close=close)
    async with asyncio.timeout(5):
        while len(starts) < 2:
            await asyncio.sleep(0.05)
    await stop()
    assert starts == [0, 1] and closed.is_set()


def run_host(tmp_path, *builders: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "astro_shared.jobs.worker.host", "--scratch", str(tmp_path / "scratch"), *builders]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=30, env={**os.environ, "TEST_DIR": str(tmp_path)}
    )


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module that the host can import."""

    def write(text: str) -> str:
        (tmp_path / "worker_under_test.py").write_text(text)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        return "worker_under_test:build"

    return write


BUILD = """
from pathlib import Path
from astro_shared.database.engine import make_engine
from astro_shared.jobs.job_types import JobType
from astro_shared.jobs.worker.run import ServiceWorker
from astro_shared.storage.folder import FolderStore
from astro_shared.testing.example_tasks import ExampleRequest

def build():
    store = FolderStore(Path("{folder}"), url_secret="s" * 32, public_url="http://x")
    job_types = [JobType("k", ExampleRequest, task="{task}")]
    return ServiceWorker("example", job_types, make_engine("{database}"), store)
"""


def test_a_task_module_that_is_missing_ends_the_process_with_one_line(module, jobs_database, tmp_path):
    builder = module(BUILD.format(folder=tmp_path, task="no_such_module:work", database=jobs_database))
    ended = run_host(tmp_path, builder)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == ("worker: can not load no_such_module: No module named 'no_such_module'")
    assert "Traceback" not in ended.stderr


async def test_the_ready_file_tells_a_live_worker_from_one_that_was_killed(
    module, jobs_database, tmp_path, monkeypatch
):
    """What an earlier process left is removed at once; while the event loop turns, the file is touched."""
    monkeypatch.setattr(host, "_SIGN_OF_LIFE_S", 0.05)
    monkeypatch.syspath_prepend(str(tmp_path))
    builder = module(BUILD.format(folder=tmp_path, task=f"{TASKS}:shout", database=jobs_database))
    ready = tmp_path / "ready"
    ready.write_text("left by a worker that was killed\n")
    built = []

    def build() -> ServiceWorker:
        built.append(ready.exists())
        return host._builder(builder)()

    running = asyncio.create_task(host._run([build], tmp_path / "scratch", WorkerOptions(FAST), ready))
    async with asyncio.timeout(20):
        while not ready.exists() or not built:
            await asyncio.sleep(0.02)
        os.utime(ready, (1, 1))
        while ready.stat().st_mtime < 2:
            await asyncio.sleep(0.02)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert built == [False] and not ready.exists()


def test_a_worker_hides_its_environment_from_its_children(tmp_path):
    """The files of a process that is not dumpable belong to root, whoever runs it."""
    code = (
        "import ctypes; from astro_shared.jobs.worker.host import keep_private; prctl = ctypes.CDLL(None).prctl\n"
        "before = prctl(3, 0, 0, 0, 0); keep_private(); print(before, prctl(3, 0, 0, 0, 0))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert shown.stdout == "1 0\n"


def test_a_missing_setting_ends_the_process_with_one_line(module, tmp_path):
    builder = module(
        "from astro_shared.settings import ServiceSettings, settings_or_exit\n"
        "def build():\n    return settings_or_exit(ServiceSettings)\n"
    )
    ended = run_host(tmp_path, builder)
    assert (ended.returncode, ended.stderr) == (78, "settings: DATABASE_URL is not set\n")
