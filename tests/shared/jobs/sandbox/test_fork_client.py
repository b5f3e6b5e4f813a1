"""The fork server and its children, without database or storage."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from astro_shared.jobs.errors import TaskOutputError, WorkerCrashedError
from astro_shared.jobs.sandbox.execution import Outcome, TaskCall, run_task
from astro_shared.jobs.sandbox.fork_client import ForkClient, PreloadError
from astro_shared.jobs.sandbox.limits import Limits, resident_mb

TASKS = "astro_shared.testing.example_tasks"


@pytest.fixture
async def server() -> AsyncIterator[ForkClient]:
    server = ForkClient([TASKS], log_format="console")
    yield server
    await server.close()


@pytest.fixture
def run(server, tmp_path):
    async def run(entry: str, limits: Limits | None = None, **request) -> Outcome:
        workspace = tmp_path / os.urandom(4).hex()
        workspace.mkdir()
        call = TaskCall(f"{TASKS}:{entry}", f"{TASKS}:ExampleRequest", request, {}, workspace, limits or Limits())

        async def silent(*_facts) -> None: ...

        async def unknown(_question: str, _payload: dict) -> dict:
            raise AssertionError

        return await run_task(server, call, on_progress=silent, on_ask=unknown)

    return run


def exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


async def gone(pid: int) -> None:
    async with asyncio.timeout(5):
        while exists(pid):
            await asyncio.sleep(0.02)


async def test_what_is_loaded_once_is_shared_by_all_children(run, server):
    outcomes = await asyncio.gather(*(run("environment") for _ in range(4)))
    assert all(TASKS in outcome.output.result["modules"] for outcome in outcomes)
    assert len({outcome.output.result["cwd"] for outcome in outcomes}) == 4


async def test_a_module_that_can_not_be_loaded_is_named():
    server = ForkClient(["astro_shared.testing.no_such_module"])
    with pytest.raises(PreloadError, match="no_such_module"):
        await server.start()
    await server.close()


async def test_a_dead_server_is_started_again(run, server):
    await run("shout", text="x")
    first = server.pid
    os.kill(first, signal.SIGKILL)
    await gone(first)
    outcome = await run("shout", text="x")
    if outcome.error is not None:
        assert isinstance(outcome.error, WorkerCrashedError)
        outcome = await run("shout", text="x")
    assert outcome.output.result["length"] == 1 and server.pid != first


async def test_cancelling_the_caller_kills_the_child(run, server, tmp_path):
    marker = tmp_path / "pid"
    running = asyncio.create_task(run("sleep", seconds=60, marker=str(marker)))
    while not marker.exists() or not marker.read_text():
        await asyncio.sleep(0.02)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not exists(int(marker.read_text()))


async def test_closing_the_server_ends_server_and_children(run, server, tmp_path):
    marker = tmp_path / "pid"
    running = asyncio.create_task(run("sleep", seconds=60, marker=str(marker)))
    while not marker.exists() or not marker.read_text():
        await asyncio.sleep(0.02)
    pid = server.pid
    await server.close()
    outcome = await running
    assert isinstance(outcome.error, WorkerCrashedError)
    await gone(int(marker.read_text()))
    assert not exists(pid)


async def test_the_cpu_limit_ends_what_nobody_watches(run):
    outcome = await run("spin", Limits(wall_s=30, cpu_s=1), seconds=20)
    assert outcome.error.code == "time_limit"
    # the limit counts what the fork itself took as well
    assert 0.5 < outcome.usage.cpu_seconds < 2.5


async def test_address_space_is_limited_where_asked(run):
    outcome = await run("eat", Limits(address_space_mb=300), megabytes=600)
    assert outcome.error.code == "out_of_memory"


async def test_usage_counts_the_tasks_own_time(run):
    outcome = await run("spin", seconds=0.3)
    # Processor time can not exceed wall time in one thread; other load may make it smaller.
    assert 0.05 < outcome.usage.cpu_seconds <= outcome.usage.seconds + 0.05
    assert outcome.usage.seconds >= 0.3


@pytest.mark.parametrize("message", [b"", b"[]", b"{", b'{"type":"result"}', b'{"type":"result","result":{},"files":[]}',
    b'{"type":"progress","fraction":"x","step":"","message":""}', b'{"type":"shell"}', b"[" * 100_000])  # fmt: skip
async def test_a_child_that_was_taken_over_can_not_harm_the_worker(server, tmp_path, message):
    """The child writes raw bytes where messages belong."""
    (tmp_path / "payload").write_bytes(message)
    call = TaskCall(
        f"{TASKS}:speak_raw", f"{TASKS}:ExampleRequest", {"marker": str(tmp_path / "payload")}, {}, tmp_path, Limits()
    )

    async def silent(*_facts) -> None: ...

    async def unknown(_question: str, _payload: dict) -> dict:
        raise AssertionError

    outcome = await run_task(server, call, on_progress=silent, on_ask=unknown)
    assert isinstance(outcome.error, TaskOutputError)


async def test_a_message_of_absurd_length_is_refused(server, tmp_path):
    (tmp_path / "payload").write_bytes(b"")
    call = TaskCall(
        f"{TASKS}:speak_raw",
        f"{TASKS}:ExampleRequest",
        {"marker": str(tmp_path / "payload"), "megabytes": 4000},
        {},
        tmp_path,
        Limits(),
    )

    async def silent(*_facts) -> None: ...

    async def unknown(_question: str, _payload: dict) -> dict:
        raise AssertionError

    assert isinstance((await run_task(server, call, on_progress=silent, on_ask=unknown)).error, TaskOutputError)


def test_memory_counts_the_whole_family():
    import subprocess

    own = resident_mb(os.getpid())
    code = "x = bytearray(60 << 20); print(1, flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        child.stdout.readline()
        # 60 MB of data and an interpreter of some MB.
        assert 60 < resident_mb(child.pid) < 110
        assert resident_mb(os.getpid()) > own + 55
    finally:
        child.communicate(b"\n")
    assert resident_mb(child.pid) == 0.0
