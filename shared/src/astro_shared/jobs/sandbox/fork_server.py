"""The fork server: a process with the science libraries loaded that forks a child per task.

``python -m astro_shared.jobs.sandbox.fork_server --control FD --preload photometry_service.tasks ...`` is started by a
worker with a clean environment. It has one thread, opens nothing, and does three things: fork on request, kill on
request, and report how children ended. It dies with the worker and its children die with it.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ORDER_BYTES = 64 << 10
_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends (Linux); ends at once where it is too late."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def main() -> None:
    """Load what is to be shared, then serve until the worker goes away."""
    parser = argparse.ArgumentParser(prog="astro_shared.jobs.sandbox.fork_server")
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--preload", nargs="*", default=[])
    parser.add_argument("--log-format", default="json")
    parser.add_argument("--service", default="task")
    options = parser.parse_args()
    die_with_parent(options.parent)
    control = socket.socket(fileno=options.control)
    control.set_inheritable(False)
    started = time.monotonic()
    try:
        for name in options.preload:
            importlib.import_module(name)
        importlib.import_module("astro_shared.jobs.sandbox.child")
        from astro_shared.logs import configure_logging

        configure_logging(service=options.service, log_format=options.log_format)
    except ImportError as error:
        _report(control, {"event": "failed", "message": f"can not load {error.name or 'a task module'}: {error}"})
        return
    gc.collect()
    gc.freeze()
    _report(control, {"event": "ready", "seconds": time.monotonic() - started, "threads": _threads()})
    ForkLoop(control).run()
    sys.stderr.flush()
    os._exit(0)


class ForkLoop:
    """Serves one worker."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: dict[int, int] = {}
        self._wake, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)

    def run(self) -> None:
        """Serve until the worker closes its end."""
        try:
            while True:
                ready, _, _ = select.select([self._control.fileno(), self._wake], [], [])
                if self._wake in ready:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wake, 4096)
                    self._reap()
                if self._control.fileno() in ready and not self._obey():
                    return
        finally:
            for pid in self._children:
                _kill_session(pid)

    def _obey(self) -> bool:
        """Carry out one order; False at the end of orders."""
        try:
            body, descriptors, _, _ = socket.recv_fds(self._control, ORDER_BYTES, 1)
        except ConnectionError:
            return False  # the worker was killed with orders or messages under way
        if not body:
            return False
        order = json.loads(body)
        if order["op"] == "kill":
            for pid, task in self._children.items():
                if task == order["task"]:
                    _kill_session(pid)
            return True
        self._fork(order, descriptors[0])
        return True

    def _fork(self, order: dict[str, Any], descriptor: int) -> None:
        fork_server = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            os.close(descriptor)
            _report(
                self._control, {"event": "refused", "task": order["task"], "message": os.strerror(error.errno or 0)}
            )
            return
        if pid == 0:
            self._become_child(fork_server, order, descriptor)
        os.close(descriptor)
        self._children[pid] = order["task"]
        _report(self._control, {"event": "started", "task": order["task"], "pid": pid})

    def _become_child(self, fork_server: int, order: dict[str, Any], descriptor: int) -> None:
        """Never returns."""
        status = 70
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            die_with_parent(fork_server)
            self._control.close()
            from astro_shared.jobs.sandbox.child import run

            status = run(socket.socket(fileno=descriptor), order)
        finally:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> None:
        """Collect children that have ended, after killing what they left running."""
        for pid in list(_ended(self._children)):
            _kill_session(pid)
            _, status, usage = os.wait4(pid, 0)
            report = {
                "event": "ended",
                "task": self._children.pop(pid),
                "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
                "status": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
                "cpu_seconds": usage.ru_utime + usage.ru_stime,
                "peak_mb": usage.ru_maxrss / 1024,
            }
            _report(self._control, report)


def _ended(children: dict[int, int]) -> Iterator[int]:
    for pid in children:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None:
            yield pid


def _kill_session(pid: int) -> None:
    """Kill a child that has not been collected yet, and the processes it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def _report(control: socket.socket, event: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        control.send(json.dumps(event).encode())


def _threads() -> int:
    """Threads of this process; more than one makes forking unsafe."""
    try:
        return len(list(Path("/proc/self/task").iterdir()))
    except FileNotFoundError:
        return 1


if __name__ == "__main__":
    main()
