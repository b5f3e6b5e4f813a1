"""Workers: take deliveries, run attempts, keep leases, sweep.

Each service describes its worker as a `ServiceWorker`. `run_workers` runs one of them, or all of a platform in one
event loop with one fork server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from astro_shared.jobs.sandbox.fork_client import ForkClient
from astro_shared.jobs.worker.description import ServiceWorker, WorkerOptions
from astro_shared.jobs.worker.running import RunningWorker

__all__ = ["ServiceWorker", "WorkerOptions", "run_workers"]


async def run_workers(
    workers: Sequence[ServiceWorker],
    *,
    scratch: Path,
    stop: asyncio.Event,
    options: WorkerOptions | None = None,
    server: ForkClient | None = None,
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Run workers until ``stop`` is set, then stop taking jobs and finish or hand back what runs.

    Parameters
    ----------
    workers
        One, or those of several services.
    scratch
        Folder for workspaces and nothing else; what killed workers left in it is removed.
    server
        A fork server to share; otherwise one is started and ended here.
    on_ready
        Called once the task modules are loaded.
    """
    options = options or WorkerOptions()
    modules = [module for worker in workers for module in worker.modules]
    forks = server or ForkClient(modules, log_format=options.log_format, service=workers[0].service)
    running = [RunningWorker(worker, forks, scratch, options) for worker in workers]
    tasks = [asyncio.create_task(worker.run(), name=f"{worker.service} worker") for worker in running]
    stopping = asyncio.create_task(stop.wait())
    try:
        if modules:
            await forks.start()
        if on_ready is not None:
            on_ready()
        done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopping}:
            task.result()
    finally:
        stopping.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if server is None:
            await forks.close()
