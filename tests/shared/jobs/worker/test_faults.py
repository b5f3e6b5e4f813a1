"""Workers as processes of their own: killed, frozen, stopped. One result set, nothing lost, no hands needed."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from astro_shared.contracts.jobs import JobPhase

KEYS = "jobs/example/"


class WorkerProcess:
    def __init__(self, database: str, folder: Path, number: int) -> None:
        self._ready = folder / f"ready-{number}"
        self.log = (folder / f"worker-{number}.log").open("w+")
        command = [sys.executable, "-m", "astro_shared.testing.example_worker", database, str(folder), str(self._ready)]
        self.process = subprocess.Popen(command, stderr=self.log, env={**os.environ, "A_SECRET": "hush"})

    def wait_ready(self) -> None:
        end = time.monotonic() + 20
        while not self._ready.exists():
            assert self.process.poll() is None, Path(self.log.name).read_text()
            assert time.monotonic() < end
            time.sleep(0.02)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> None:
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait(10)
        self.log.close()


@pytest.fixture
def worker_process(jobs_database, tmp_path):
    made = []

    def start() -> WorkerProcess:
        made.append(WorkerProcess(jobs_database, tmp_path, len(made)))
        made[-1].wait_ready()
        return made[-1]

    yield start
    for worker in made:
        worker.end()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def keys(store) -> list[str]:
    return [stat.key async for stat in store.list(KEYS)]


async def wait_lines(path: Path, count: int) -> list[int]:
    async with asyncio.timeout(20):
        while not path.exists() or len(path.read_text().split()) < count:
            await asyncio.sleep(0.02)
    return [int(line) for line in path.read_text().split()]


async def test_a_killed_worker_loses_no_job_and_leaves_no_process(worker_process, submit, wait_for, store, tmp_path):
    marker = tmp_path / "starts"
    first = worker_process()
    job = await submit("sleep", seconds=1.5, marker=str(marker))
    [child] = await wait_lines(marker, 1)
    first.signal(signal.SIGKILL)
    first.process.wait(5)
    [left] = list(tmp_path.glob("scratch/*/*"))
    worker_process()
    assert not left.exists()
    done = await wait_for(job)
    assert (done.phase, done.attempt, done.result) == (JobPhase.COMPLETED, 2, {"slept": True})
    assert await keys(store) == [f"{KEYS}{job.id}/2/note/slept.txt"]
    assert not alive(child)
    assert len(await wait_lines(marker, 2)) == 2


@pytest.mark.fault
async def test_a_poison_job_ends_after_three_attempts(worker_process, submit, wait_for, tmp_path):
    marker = tmp_path / "starts"
    job = await submit("sleep", seconds=60, marker=str(marker))
    for attempt in (1, 2, 3):
        worker = worker_process()
        await wait_lines(marker, attempt)
        await wait_for(job, lambda view, n=attempt: (view.attempt, view.progress.step) == (n, "sleeping"))
        worker.signal(signal.SIGKILL)
        worker.process.wait(5)
    worker_process()
    failed = await wait_for(job)
    assert failed.error is not None
    assert (failed.phase, failed.attempt, failed.error.code) == (JobPhase.ERROR, 3, "worker_lost")
    assert failed.error.stage == "sleeping"


async def test_a_frozen_worker_can_not_commit_late(worker_process, submit, wait_for, ledger, store, tmp_path):
    marker = tmp_path / "starts"
    frozen = worker_process()
    job = await submit("sleep", seconds=0.8, marker=str(marker))
    await wait_lines(marker, 1)
    frozen.signal(signal.SIGSTOP)
    worker_process()
    done = await wait_for(job)
    assert (done.phase, done.attempt) == (JobPhase.COMPLETED, 2)
    frozen.signal(signal.SIGCONT)
    next_job = await submit("shout", text="x")
    await wait_for(next_job)
    await asyncio.sleep(1.0)
    assert await ledger.get(job.id) == done
    assert await keys(store) == sorted([f"{KEYS}{job.id}/2/note/slept.txt", f"{KEYS}{next_job.id}/1/loud/loud.txt"])
    assert frozen.process.poll() is None
    text = Path(frozen.log.name).read_text()
    assert "attempt_lost" in text or "attempt_cancelled" in text


@pytest.mark.fault
async def test_a_stopped_worker_hands_back_and_that_is_no_failure(worker_process, submit, wait_for, ledger, tmp_path):
    marker = tmp_path / "starts"
    job = await submit("sleep", seconds=1.5, marker=str(marker))
    for start in (1, 2, 3, 4):
        worker = worker_process()
        await wait_lines(marker, start)
        worker.signal(signal.SIGTERM)
        assert worker.process.wait(10) == 0
        assert (await ledger.get(job.id)).phase == JobPhase.SUSPENDED
    worker_process()
    done = await wait_for(job)
    assert (done.phase, done.attempt) == (JobPhase.COMPLETED, 5)


async def test_a_dead_fork_server_is_replaced(worker_process, submit, wait_for, tmp_path):
    marker = tmp_path / "starts"
    worker = worker_process()
    job = await submit("sleep", seconds=0.5, marker=str(marker))
    [child] = await wait_lines(marker, 1)
    server = int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(server, signal.SIGKILL)
    done = await wait_for(job)
    assert (done.phase, done.attempt) == (JobPhase.COMPLETED, 2)
    assert worker.process.poll() is None and not alive(child)


@pytest.mark.fault
async def test_a_frozen_worker_does_not_stop_others(worker_process, submit, wait_for):
    frozen = worker_process()
    worker_process()
    frozen.signal(signal.SIGSTOP)
    jobs = [await submit("shout", text=str(number)) for number in range(6)]
    for job in jobs:
        assert (await wait_for(job)).phase == JobPhase.COMPLETED
