"""Workers: take deliveries, run attempts, keep leases, sweep.

Each service describes its worker as a `ServiceWorker`. `run_workers` runs one of them, or all of a platform in one
event loop with one fork server.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from procrastinate import App
from procrastinate.exceptions import ConnectorException
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from astro_shared.contracts.jobs import JobView
from astro_shared.database.engine import conninfo
from astro_shared.errors import AlidadeError, InternalError, UnavailableError
from astro_shared.jobs.attempt_run import AttemptRunner, FailedRunError
from astro_shared.jobs.attempts import Attempts, Claim, Timing
from astro_shared.jobs.callbacks import Callbacks, TokenSource
from astro_shared.jobs.deliveries import delivery_app, drop_stalled
from astro_shared.jobs.errors import AttemptLostError
from astro_shared.jobs.forkserver import ForkServer
from astro_shared.jobs.kinds import JobKind, kind_named
from astro_shared.jobs.ledger import JobLedger
from astro_shared.logs import LogFormat, bound, get_logger
from astro_shared.storage.port import ObjectStore

_log = get_logger(__name__)


@dataclass(frozen=True)
class ServiceWorker:
    """What a service's worker consists of.

    Attributes
    ----------
    service
        Name, also of the queue.
    kinds
        What it can do.
    engine
        Of the service's database.
    store
        Object storage.
    concurrency
        Jobs at the same time.
    preload
        Modules that the fork server loads; those of the tasks are added by themselves.
    token_source
        Gives the service token for callbacks.
    background
        Coroutine functions that run as long as the worker (the gateway's state machine, for example).
    close
        Called at the end, to release what the answers and handlers hold.
    """

    service: str
    kinds: Sequence[JobKind]
    engine: AsyncEngine
    store: ObjectStore
    concurrency: int = 1
    preload: Sequence[str] = ()
    token_source: TokenSource | None = None
    background: Sequence[Callable[[], Awaitable[None]]] = ()
    close: Callable[[], Awaitable[None]] | None = None

    @property
    def modules(self) -> list[str]:
        """What the fork server loads for this worker."""
        tasks = [kind.task.partition(":")[0] for kind in self.kinds if kind.task is not None]
        models = [kind.request_model.__module__ for kind in self.kinds if kind.task is not None]
        return list(dict.fromkeys([*self.preload, *models, *tasks]))


@dataclass(frozen=True)
class WorkerOptions:
    """How workers run.

    Attributes
    ----------
    timing
        Leases and sweeps.
    grace_s : s
        How long a stopping worker lets its attempts finish before it hands them back.
    exclusive
        No other worker can exist (the embedded platform holds a lock): take over at once what a killed one left.
    """

    timing: Timing = field(default_factory=Timing)
    grace_s: float = 20.0
    exclusive: bool = False
    log_format: LogFormat = "json"


async def run_workers(
    workers: Sequence[ServiceWorker],
    *,
    scratch: Path,
    stop: asyncio.Event,
    options: WorkerOptions | None = None,
    server: ForkServer | None = None,
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Run workers until ``stop`` is set, then stop taking jobs and finish or hand back what runs.

    Parameters
    ----------
    workers
        One, or those of several services.
    scratch
        Folder for workspaces and nothing else; left-overs in it are removed.
    server
        A fork server to share; otherwise one is started and ended here.
    on_ready
        Called once the task modules are loaded.
    """
    options = options or WorkerOptions()
    modules = [module for worker in workers for module in worker.modules]
    forks = server or ForkServer(modules, log_format=options.log_format, service=workers[0].service)
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


class RunningWorker:
    """The worker of one service."""

    def __init__(self, worker: ServiceWorker, server: ForkServer, scratch: Path, options: WorkerOptions) -> None:
        self.service = worker.service
        self._worker = worker
        self._options = options
        self._timing = options.timing
        self._name = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:6]}"
        self._ledger = JobLedger(worker.engine, worker.service)
        self._attempts = Attempts(self._ledger, options.timing)
        self._runner = AttemptRunner(self._attempts, worker.store, server, scratch / worker.service)
        self._callbacks = Callbacks(worker.token_source)
        self._running: dict[asyncio.Task[None], Claim] = {}

    async def run(self) -> None:
        """Work until cancelled."""
        app = delivery_app(conninfo(self._worker.engine.url), self.service, self.deliver)
        beside = [
            asyncio.create_task(self._keep_leases()),
            asyncio.create_task(self._sweep(app)),
            *(asyncio.create_task(_forever(work)) for work in self._worker.background),
        ]
        taking = asyncio.create_task(self._take_deliveries(app))
        try:
            await asyncio.gather(taking, *beside)
        finally:
            # Leases are kept until the last attempt has been finished or handed back.
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await self._callbacks.close()
            if self._worker.close is not None:
                await self._worker.close()
            await self._worker.engine.dispose()

    async def deliver(self, job_id: str) -> None:
        """Look at a job that was announced, and work on it if there is anything to do."""
        claim = await self._attempts.claim(job_id, self._name)
        if claim is None:
            return
        work = asyncio.create_task(self._attempt(claim))
        self._running[work] = claim
        try:
            await work
        except asyncio.CancelledError:
            if claim.lost:
                return
            if await self._attempts.release(claim):
                _log.info("job_handed_back", job_id=claim.job.id, attempt=claim.job.attempt)
            raise
        finally:
            del self._running[work]

    async def _attempt(self, claim: Claim) -> None:
        with bound(job_id=claim.job.id, kind=claim.job.kind, attempt=claim.job.attempt):
            try:
                await self._perform(claim)
            except AttemptLostError:
                _log.warning("attempt_lost")
                await self._forget(claim)
            except asyncio.CancelledError:
                _log.info("attempt_cancelled", lost=claim.lost)
                await self._forget(claim)
                raise

    async def _perform(self, claim: Claim) -> None:
        """Run an attempt and record how it ended."""
        try:
            kind = kind_named(self._worker.kinds, claim.job.kind)
            result, files, usage = await self._runner.run(kind, claim)
            ended = await self._attempts.complete(claim, result, files, usage)
            _log.info("job_completed", seconds=usage.seconds, cpu_seconds=usage.cpu_seconds, peak_mb=usage.peak_mb)
        except AttemptLostError:
            raise
        except FailedRunError as failed:
            ended = await self._attempts.fail(claim, failed.error, failed.usage)
            _log.info("job_attempt_failed", code=failed.error.code, error=failed.error.message, phase=ended.phase)
        except (SQLAlchemyError, ConnectorException) as error:
            # The lease runs out and the job is tried again once the database is back.
            _log.error("job_interrupted_by_database", error=str(error))
            return
        except AlidadeError as error:
            ended = await self._attempts.fail(claim, error)
            _log.info("job_attempt_failed", code=error.code, error=error.message, phase=ended.phase)
        except Exception:  # noqa: BLE001 - the outermost loop of a job: a defect ends the job, not the worker
            _log.exception("job_defect")
            ended = await self._attempts.fail(claim, InternalError("the job failed for a reason that is in the log"))
        await self._finish(claim, ended)

    async def _finish(self, claim: Claim, job: JobView) -> None:
        """Clean up after an attempt, and tell whoever asked if it was the last."""
        if not job.is_final:
            await self._forget(claim)
            return
        self._callbacks.send(job, claim.callback_url)
        winner = job.attempt if job.files else None
        if job.attempt > 1 or winner is None:
            with contextlib.suppress(UnavailableError):
                await self._runner.sweep_outputs(job, winner=winner)

    async def _forget(self, claim: Claim) -> None:
        """Remove what an attempt stored that did not win."""
        with contextlib.suppress(UnavailableError):
            await self._runner.drop_outputs(claim)

    async def _take_deliveries(self, app: App) -> None:
        """Run procrastinate's worker, again and again if the database goes away."""
        while True:
            try:
                async with app.open_async():
                    await app.run_worker_async(
                        queues=[self.service],
                        name=self._name,
                        concurrency=self._worker.concurrency,
                        install_signal_handlers=False,
                        delete_jobs="always",
                        shutdown_graceful_timeout=self._options.grace_s,
                        update_heartbeat_interval=self._timing.heartbeat_s,
                        stalled_worker_timeout=self._timing.lease_s,
                        fetch_job_polling_interval=self._timing.heartbeat_s,
                        abort_job_polling_interval=self._timing.heartbeat_s,
                    )
            except ConnectorException as error:
                _log.warning("queue_interrupted", error=str(error))
            await asyncio.sleep(1.0)

    async def _keep_leases(self) -> None:
        """Renew the leases of running attempts; stop those that were lost."""
        while True:
            await asyncio.sleep(self._timing.heartbeat_s)
            try:
                lost = await self._attempts.renew(list(self._running.values()))
            except SQLAlchemyError as error:
                _log.warning("lease_not_renewed", error=str(error))
                continue
            for task, claim in list(self._running.items()):
                if claim in lost:
                    claim.lost = True
                    task.cancel()

    async def _sweep(self, app: App) -> None:
        """Look for lost jobs and deliveries, as long as the worker runs."""
        first = True
        while True:
            try:
                for job, url in await self._attempts.sweep(all_leases=first and self._options.exclusive):
                    _log.warning("job_given_up", job_id=job.id, code=job.error.code if job.error else None)
                    self._callbacks.send(job, url)
                    with contextlib.suppress(UnavailableError):
                        await self._runner.sweep_outputs(job, winner=None)
                if not first:
                    await drop_stalled(app, self.service, self._timing.lease_s)
            except (SQLAlchemyError, ConnectorException) as error:
                _log.warning("sweep_interrupted", error=str(error))
            first = False
            await asyncio.sleep(self._timing.sweep_s)


async def _forever(work: Callable[[], Awaitable[None]]) -> None:
    await work()
    await asyncio.Event().wait()
