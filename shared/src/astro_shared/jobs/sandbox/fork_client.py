"""The worker's side of the fork server: start it, have it fork a child per task, restart it when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from astro_shared.errors import InternalError
from astro_shared.jobs.errors import WorkerCrashedError
from astro_shared.jobs.sandbox import wire
from astro_shared.jobs.sandbox.limits import Limits
from astro_shared.logs import LogFormat, get_logger

_log = get_logger(__name__)

_KEPT = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV", "SSL_CERT_FILE"),
    *("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR"),
)
_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
"""A process with threads can not be forked safely, and results must not depend on how many there are."""
_START_LIMIT_S = 120.0


class PreloadError(InternalError):
    """The fork server can not load a task module; restarting does not help."""

    code = "preload_failed"


@dataclass(frozen=True)
class Ending:
    """How a child ended: by a signal, or with a status."""

    signal: int | None
    status: int | None
    cpu_seconds: float
    peak_mb: float


@dataclass
class Child:
    """One running task."""

    task: int
    server: ForkClient
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    started: asyncio.Future[int]
    ended: asyncio.Future[Ending]
    began: float = field(default_factory=time.monotonic)

    @property
    def pid(self) -> int:
        """Process id; only valid until `ended` is done."""
        return self.started.result()

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        """Yield what the child sends until it closes its end."""
        while (message := await wire.receive_async(self.reader)) is not None:
            yield message

    async def send(self, message: Mapping[str, Any]) -> None:
        """Send to the child; a child that is gone is noticed elsewhere."""
        with contextlib.suppress(ConnectionError):
            self.writer.write(wire.encode(message, max_bytes=None))
            await self.writer.drain()

    def kill(self) -> None:
        """Have the child and everything it started killed."""
        self.server.order({"op": "kill", "task": self.task})

    async def close(self) -> Ending:
        """Kill what still runs, wait for the end and release the channel."""
        if not self.ended.done():
            self.kill()
        try:
            return await asyncio.shield(self.ended)
        finally:
            self.writer.close()


class ForkClient:
    """Forks tasks for the workers of one process.

    Parameters
    ----------
    preload
        Modules loaded once, before any fork. They must not start threads.
    environment
        Variables for the tasks besides the few that every process needs. Never secrets.
    """

    def __init__(
        self,
        preload: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        log_format: LogFormat = "json",
        service: str = "task",
    ) -> None:
        self._preload = list(dict.fromkeys(preload))
        self._environment = dict(environment or {})
        self._log_format = log_format
        self._service = service
        self._numbers = itertools.count(1)
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._ready: asyncio.Future[None]
        self._children: dict[int, Child] = {}

    @property
    def pid(self) -> int | None:
        """Process id of the server while it runs."""
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Start the server unless it runs, and wait until its modules are loaded.

        Raises
        ------
        PreloadError
            A module can not be imported.
        """
        if self._control is None:
            self._launch()
        async with asyncio.timeout(_START_LIMIT_S):
            await asyncio.shield(self._ready)

    async def spawn(self, *, entry: str, request_model: str, workspace: Path, limits: Limits, job_id: str) -> Child:
        """Fork a child that waits for its request.

        Raises
        ------
        WorkerCrashedError
            The server died while asked; the next call starts another.
        """
        await self.start()
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        loop = asyncio.get_running_loop()
        child = Child(next(self._numbers), self, reader, writer, loop.create_future(), loop.create_future())
        self._children[child.task] = child
        order = {
            "op": "fork",
            "task": child.task,
            "entry": entry,
            "request_model": request_model,
            "workspace": str(workspace),
            "limits": limits.as_dict(),
            "job_id": job_id,
        }
        try:
            self.order(order, theirs)
            await child.started
        except BaseException:
            self.order({"op": "kill", "task": child.task})
            writer.close()
            self._children.pop(child.task, None)
            raise
        finally:
            theirs.close()
        return child

    def order(self, order: Mapping[str, Any], descriptor: socket.socket | None = None) -> None:
        """Send an order to the server."""
        if self._control is None:
            return
        body = json.dumps(order).encode()
        try:
            if descriptor is None:
                self._control.send(body)
            else:
                socket.send_fds(self._control, [body], [descriptor.fileno()])
        except OSError:
            self._lost()

    async def close(self) -> None:
        """End the server and every child."""
        process = self._process
        self._lost()
        if process is not None:
            await asyncio.to_thread(_collect, process)

    def _launch(self) -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [
            sys.executable, "-m", "astro_shared.jobs.sandbox.fork_server",
            "--control", str(theirs.fileno()), "--parent", str(os.getpid()),
            "--log-format", self._log_format, "--service", self._service,
            "--preload", *self._preload,
        ]  # fmt: skip
        try:
            self._process = subprocess.Popen(
                command,
                env=self._clean_environment(),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        finally:
            theirs.close()
        ours.setblocking(False)
        self._control = ours
        self._ready = loop.create_future()
        loop.add_reader(ours.fileno(), self._read_report)

    def _clean_environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        return {**kept, **_ONE_THREAD, "PYTHONUNBUFFERED": "1", "MPLBACKEND": "Agg", **self._environment}

    def _read_report(self) -> None:
        if self._control is None:
            return
        try:
            body = self._control.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError:
            body = b""
        if not body:
            self._lost()
            return
        self._note(json.loads(body))

    def _note(self, report: dict[str, Any]) -> None:
        """Take note of what the server reports; a task that nobody waits for any more is ignored."""
        event = report["event"]
        child = self._children.get(report.get("task", 0))
        if event == "ready":
            _log.info("fork_server_ready", seconds=round(report["seconds"], 3), pid=self.pid, modules=self._preload)
            if report["threads"] > 1:
                _log.warning("fork_server_has_threads", threads=report["threads"])
            _settle(self._ready, None)
        elif event == "failed":
            if not self._ready.done():
                self._ready.set_exception(PreloadError(report["message"]))
        elif child is None:
            return
        elif event == "started":
            _settle(child.started, report["pid"])
        elif event == "refused":
            self._children.pop(child.task)
            if not child.started.done():
                child.started.set_exception(WorkerCrashedError(f"no process for the task: {report['message']}"))
        elif event == "ended":
            self._children.pop(child.task)
            _settle(child.ended, Ending(report["signal"], report["status"], report["cpu_seconds"], report["peak_mb"]))

    def _lost(self) -> None:
        """The server is gone: so are its children."""
        if self._control is None:
            return
        asyncio.get_running_loop().remove_reader(self._control.fileno())
        self._control.close()
        self._control = None
        process, self._process = self._process, None
        if process is not None:
            _log.info("fork_server_ended", pid=process.pid, running=len(self._children))
            asyncio.get_running_loop().run_in_executor(None, _collect, process)
        if not self._ready.done():
            self._ready.set_exception(WorkerCrashedError("the fork server died while it started"))
        for child in self._children.values():
            if not child.started.done():
                child.started.set_exception(WorkerCrashedError("the fork server died"))
            _settle(child.ended, Ending(9, None, 0.0, 0.0))
        self._children.clear()


def _settle(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _collect(process: subprocess.Popen[bytes]) -> None:
    """Wait for the server's end, which follows the closing of its control channel."""
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
