"""Run workers as a process.

``python -m astro_shared.jobs.worker.host --scratch DIR photometry_service.worker:build astrometry_service.worker:build ...``
runs the workers of several services in one process. Each ``build`` returns a `ServiceWorker`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import importlib
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from astro_shared.errors import AlidadeError
from astro_shared.jobs.worker.run import ServiceWorker, WorkerOptions, run_workers
from astro_shared.logs import configure_logging, get_logger

_log = get_logger(__name__)

_PR_SET_DUMPABLE = 4
_SIGN_OF_LIFE_S = 5.0


def run_worker_process(
    builders: Sequence[Callable[[], ServiceWorker]],
    *,
    scratch: Path,
    options: WorkerOptions | None = None,
    ready_file: Path | None = None,
) -> None:
    """Build workers and run them until SIGTERM or SIGINT; what can not start ends the process with one line.

    Parameters
    ----------
    ready_file
        Written once the worker takes jobs, touched every few seconds while the event loop turns, removed at the end
        (for probes and for whoever started the process).
    """
    keep_private()
    try:
        asyncio.run(_run(builders, scratch, options or WorkerOptions(), ready_file))
    except AlidadeError as error:
        sys.stderr.write(f"worker: {error}\n")
        raise SystemExit(1) from None


def keep_private() -> None:
    """Keep other processes of this user, the children among them, from reading this one's memory and environment."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


async def _run(
    builders: Sequence[Callable[[], ServiceWorker]], scratch: Path, options: WorkerOptions, ready_file: Path | None
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)

    signs: list[asyncio.Task[None]] = []

    def ready() -> None:
        _log.info("worker_ready", services=[worker.service for worker in workers])
        if ready_file is not None:
            ready_file.write_text("ready\n")
            signs.append(asyncio.create_task(_show_life(ready_file)))

    if ready_file is not None:
        # One that was killed in the same container left its file.
        ready_file.unlink(missing_ok=True)
    workers = [build() for build in builders]
    try:
        await run_workers(workers, scratch=scratch, stop=stop, options=options, on_ready=ready)
    finally:
        for sign in signs:
            sign.cancel()
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)


async def _show_life(ready_file: Path) -> None:
    """Touch the file for as long as the event loop turns."""
    while True:
        await asyncio.sleep(_SIGN_OF_LIFE_S)
        with contextlib.suppress(OSError):
            ready_file.touch()


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the module."""
    parser = argparse.ArgumentParser(prog="astro_shared.jobs.worker.host", description="Run the workers of services")
    parser.add_argument("builders", nargs="+", help="package.module:function that returns a ServiceWorker")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for workspaces")
    parser.add_argument("--ready-file", type=Path, help="written once jobs are taken")
    parser.add_argument("--grace-s", type=float, default=20.0, help="time for running jobs when stopped")
    parser.add_argument("--exclusive", action="store_true", help="no other worker can exist")
    parser.add_argument("--log-format", choices=["console", "json"], default="json")
    parser.add_argument("--log-level", default="INFO")
    given = parser.parse_args(arguments)
    configure_logging(service="worker", log_format=given.log_format, level=given.log_level)
    run_worker_process(
        [_builder(place) for place in given.builders],
        scratch=given.scratch,
        options=WorkerOptions(grace_s=given.grace_s, exclusive=given.exclusive, log_format=given.log_format),
        ready_file=given.ready_file,
    )


def _builder(place: str) -> Callable[[], ServiceWorker]:
    module, _, name = place.partition(":")
    builder: Callable[[], ServiceWorker] = getattr(importlib.import_module(module), name)
    return builder


if __name__ == "__main__":
    main()
