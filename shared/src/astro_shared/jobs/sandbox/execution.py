"""Run one task in a child and name how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import stat
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from astro_shared.contracts.jobs import JobUsage
from astro_shared.errors import AlidadeError, InternalError, error_from_dict, error_to_dict
from astro_shared.jobs.errors import (
    OutOfMemoryError,
    TaskCrashedError,
    TaskOutputError,
    TimeLimitError,
    WorkerCrashedError,
)
from astro_shared.jobs.sandbox.fork_client import Child, Ending, ForkClient
from astro_shared.jobs.sandbox.limits import Limits, watch_memory
from astro_shared.jobs.sandbox.wire import WireError
from astro_shared.jobs.task import OutputFile, TaskOutput
from astro_shared.logs import get_logger
from astro_shared.storage.port import OCTETS

_log = get_logger(__name__)

OnProgress = Callable[[float, str, str], Awaitable[None]]
OnAsk = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]


@dataclass(frozen=True)
class TaskCall:
    """What to run: where the function is, its request and its inputs."""

    entry: str
    request_model: str
    request: dict[str, Any]
    inputs: Mapping[str, Path]
    workspace: Path
    limits: Limits
    job_id: str = ""


@dataclass(frozen=True)
class Outcome:
    """How an execution ended: with an output or an error, and what it cost."""

    usage: JobUsage
    output: TaskOutput | None = None
    error: AlidadeError | None = None


async def run_task(server: ForkClient, call: TaskCall, *, on_progress: OnProgress, on_ask: OnAsk) -> Outcome:
    """Run a task in a child of ``server`` within its limits.

    Cancelling the caller kills the child. Errors of the task are in the outcome; what is raised is the worker's own.
    """
    began = time.monotonic()
    child = await server.spawn(
        entry=call.entry,
        request_model=call.request_model,
        workspace=call.workspace,
        limits=call.limits,
        job_id=call.job_id,
    )
    dialogue = _Dialogue(child, call, on_progress, on_ask)
    watch = asyncio.create_task(watch_memory(child.pid, call.limits.memory_mb, child.kill))
    late = False
    try:
        async with asyncio.timeout(call.limits.wall_s) as deadline:
            await dialogue.hold()
            await asyncio.shield(child.ended)
    except TimeoutError:
        if not deadline.expired():
            raise
        late = True
    finally:
        watch.cancel()
        ending = await child.close()
        with contextlib.suppress(asyncio.CancelledError):
            await watch
    exceeded_mb = watch.result() if watch.done() and not watch.cancelled() else None
    usage = JobUsage(
        seconds=round(time.monotonic() - began, 3),
        cpu_seconds=round(ending.cpu_seconds, 3),
        peak_mb=round(max(ending.peak_mb, exceeded_mb or 0.0), 1),
    )
    error = _limit_error(call.limits, late, exceeded_mb, ending) or dialogue.error or dialogue.crash(ending)
    return Outcome(usage, error=error) if error is not None else Outcome(usage, output=dialogue.output)


class _Dialogue:
    """The conversation with one child."""

    def __init__(self, child: Child, call: TaskCall, on_progress: OnProgress, on_ask: OnAsk) -> None:
        self._child = child
        self._call = call
        self._on_progress = on_progress
        self._on_ask = on_ask
        self._crash: tuple[str, str] | None = None
        self.output: TaskOutput | None = None
        self.error: AlidadeError | None = None

    async def hold(self) -> None:
        """Send the request and listen until the child has said how it ended, or is gone."""
        call = self._call
        inputs = {key: str(path) for key, path in call.inputs.items()}
        await self._child.send({"request": call.request, "inputs": inputs})
        try:
            async for message in self._child.messages():
                await self._take(_checked(message))
                if self.output is not None or self.error is not None:
                    return
        except WireError as error:
            _log.warning("task_broke_the_protocol", job_id=call.job_id, error=str(error))
            self.error = TaskOutputError("the task broke the protocol")
            self._child.kill()

    def crash(self, ending: Ending) -> AlidadeError | None:
        """Name the end of a child that said nothing."""
        if self.output is not None:
            return None
        if ending.signal is None:
            return WorkerCrashedError(f"the task ended with status {ending.status} and without a result")
        name = signal.Signals(ending.signal).name
        if self._crash is not None:
            code, message = self._crash
            return TaskCrashedError(message, code=code, signal=name)
        likely = " (the machine may be out of memory)" if ending.signal == signal.SIGKILL else ""
        return WorkerCrashedError(f"the task was ended by {name}{likely}", signal=name)

    async def _take(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "progress":
            await self._on_progress(message["fraction"], message["step"][:80], message["message"][:500])
        elif kind == "ask":
            await self._child.send(await self._answer(message["question"], message["payload"]))
        elif kind == "crash_means":
            self._crash = (message["code"], message["message"]) if message["code"] else None
        elif kind == "result":
            self._accept(message)
        elif kind == "error":
            self.error = error_from_dict(message["error"])
            _log.info("task_failed", code=self.error.code, error=self.error.message, where=message["traceback"])
        elif kind == "out_of_memory":
            self.error = OutOfMemoryError(f"the task needs more than the {self._call.limits.memory_mb} MB it may use")
        else:
            _log.error("task_raised", error=message["summary"], traceback=message["traceback"])
            self.error = InternalError("the task failed for a reason that is in the log of the worker")

    async def _answer(self, question: str, payload: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"answer": await self._on_ask(question, payload)}
        except AlidadeError as error:
            return {"error": error_to_dict(error)}

    def _accept(self, message: dict[str, Any]) -> None:
        files = {}
        for name, described in message["files"].items():
            path = _own_file(self._call.workspace, described.get("path"))
            if path is None:
                self.error = TaskOutputError(f"output {name!r} is not a file of the job's workspace")
                return
            files[name] = OutputFile(path, str(described.get("media_type") or OCTETS))
        self.output = TaskOutput(result=message["result"], files=files)


_SHAPES: dict[str, dict[str, type | tuple[type, ...]]] = {
    "progress": {"fraction": (int, float), "step": str, "message": str},
    "ask": {"question": str, "payload": dict},
    "crash_means": {"code": (str, type(None)), "message": str},
    "result": {"result": dict, "files": dict},
    "error": {"error": dict, "traceback": str},
    "out_of_memory": {},
    "defect": {"summary": str, "traceback": str},
}


def _checked(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message of a child if it has the shape of one."""
    shape = _SHAPES.get(str(message.get("type")))
    if shape is None or not all(isinstance(message.get(name), kind) for name, kind in shape.items()):
        raise WireError(f"no such message: {str(message.get('type'))[:40]}")
    if message["type"] == "progress":
        message["fraction"] = min(max(float(message["fraction"]), 0.0), 1.0)
    return message


def _limit_error(limits: Limits, late: bool, exceeded_mb: float | None, ending: Ending) -> AlidadeError | None:
    if exceeded_mb is not None:
        return OutOfMemoryError(
            f"the task used {exceeded_mb:.0f} MB; it may use {limits.memory_mb} MB",
            used_mb=round(exceeded_mb),
            limit_mb=limits.memory_mb,
        )
    if late or ending.signal == signal.SIGXCPU:
        return TimeLimitError(f"the task took longer than the {limits.wall_s:g} s it may", limit_s=limits.wall_s)
    return None


def _own_file(workspace: Path, name: Any) -> Path | None:
    """Return a regular file below the workspace; None for links, other things and other places."""
    root = workspace.resolve()
    path = root / str(name)
    try:
        if not path.resolve(strict=True).is_relative_to(root) or not stat.S_ISREG(path.lstat().st_mode):
            return None
    except (OSError, RuntimeError):
        return None
    return path
