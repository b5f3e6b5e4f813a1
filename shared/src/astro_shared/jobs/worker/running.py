"""The worker of one service, inside a process that may run several."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal, TypeVar

import psycopg
from procrastinate import App
from procrastinate.exceptions import ConnectorException

from astro_shared.contracts.jobs import JobPhase, JobUsage, JobView
from astro_shared.database.engine import conninfo
from astro_shared.database.errors import DatabaseUnavailableError
from astro_shared.errors import AlidadeError, InternalError, UnavailableError
from astro_shared.jobs.delivery.queue import delivery_app
from astro_shared.jobs.errors import AttemptLostError
from astro_shared.jobs.job_types import job_type_named
from astro_shared.jobs.ledger.claims import Attempts, Claim
from astro_shared.jobs.ledger.rows import JobLedger
from astro_shared.jobs.sandbox.fork_client import ForkClient
from astro_shared.jobs.sandbox.scratch import Scratch
from astro_shared.jobs.worker.attempt import AttemptRunner, FailedRunError
from astro_shared.jobs.worker.callbacks import Callbacks
from astro_shared.jobs.worker.description import ServiceWorker, WorkerOptions
from astro_shared.logs import bound, get_logger

_log = get_logger(__name__)

T = TypeVar("T")


class RunningWorker:
    """The worker of one service."""

    def __init__(self, worker: ServiceWorker, server: ForkClient, scratch: Path, options: WorkerOptions) -> None:
        self.service = worker.service
        self._worker = worker
        self._options = options
        self._timing = options.timing
        self._name = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:6]}"
        self._ledger = JobLedger(worker.engine, worker.service)
        self._attempts = Attempts(self._ledger, options.timing)
        self._scratch = Scratch(scratch, worker.service)
        self._runner = AttemptRunner(self._attempts, worker.store, server, self._scratch.folder)
        self._callbacks = Callbacks(worker.token_source)
        self._running: dict[asyncio.Task[None], Claim] = {}

    async def run(self) -> None:
        """Work until cancelled."""
        app = delivery_app(
            conninfo(self._worker.engine.url), self.service, self.deliver, settings=self._options.database
        )
        beside = [
            asyncio.create_task(self._keep_leases()),
            asyncio.create_task(self._sweep()),
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
            await asyncio.to_thread(self._scratch.close)

    async def deliver(self, job_id: str) -> None:
        """Look at a job that was announced, and work on it if there is anything to do."""
        claim = await self._until_written(lambda: self._attempts.claim(job_id, self._name))
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
            kind = job_type_named(self._worker.job_types, claim.job.kind)
            result, files, usage = await self._runner.run(kind, claim)
            ended = await self._until_written(lambda: self._attempts.complete(claim, result, files, usage))
            _log.info("job_completed", seconds=usage.seconds, cpu_seconds=usage.cpu_seconds, peak_mb=usage.peak_mb)
        except AttemptLostError:
            raise
        except FailedRunError as failed:
            ended = await self._fail(claim, failed.error, failed.usage)
        except AlidadeError as error:
            ended = await self._fail(claim, error, None)
        except Exception:  # noqa: BLE001 - the outermost loop of a job: a defect ends the job, not the worker
            _log.exception("job_defect")
            ended = await self._fail(claim, InternalError("the job failed for a reason that is in the log"), None)
        await self._finish(claim, ended)

    async def _fail(self, claim: Claim, error: AlidadeError, usage: JobUsage | None) -> JobView:
        ended = await self._until_written(lambda: self._attempts.fail(claim, error, usage))
        _log.info("job_attempt_failed", code=error.code, error=error.message, phase=ended.phase)
        return ended

    async def _until_written(self, write: Callable[[], Awaitable[T]]) -> T:
        """Write to the ledger, again and again while the database is away: fences make that safe."""
        while True:
            try:
                return await write()
            except DatabaseUnavailableError as error:
                _log.warning("ledger_waits_for_database", error=str(error.__cause__))
                await asyncio.sleep(1.0)

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
        """Remove what an attempt stored, unless it won after all (its commit was written, the answer lost)."""
        with contextlib.suppress(UnavailableError):
            job = await self._ledger.get(claim.job.id)
            if not (job.phase == JobPhase.COMPLETED and job.attempt == claim.job.attempt):
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
            except (ConnectorException, psycopg.OperationalError) as error:
                _log.warning("queue_interrupted", error=str(error.__cause__ or error))
            await asyncio.sleep(1.0)

    async def _keep_leases(self) -> None:
        """Renew the leases of running attempts; stop those that were lost."""
        while True:
            await asyncio.sleep(self._timing.heartbeat_s)
            try:
                lost = await self._attempts.renew(list(self._running.values()))
            except DatabaseUnavailableError as error:
                _log.warning("leases_not_renewed", error=str(error.__cause__))
                continue
            for task, claim in list(self._running.items()):
                if claim in lost:
                    claim.lost = True
                    task.cancel()

    async def _sweep(self) -> None:
        """Look for lost jobs and deliveries, as long as the worker runs."""
        leases: Literal["overdue", "all", "none"] = "all" if self._options.exclusive else "overdue"
        trusted_from = 0.0
        while True:
            try:
                for job, url in await self._attempts.sweep(leases=leases, own=self._running.values()):
                    _log.warning("job_given_up", job_id=job.id, code=job.error.code if job.error else None)
                    self._callbacks.send(job, url)
                    with contextlib.suppress(UnavailableError):
                        await self._runner.sweep_outputs(job, winner=None)
            except DatabaseUnavailableError as error:
                _log.warning("sweep_interrupted", error=str(error.__cause__))
                trusted_from = time.monotonic() + self._timing.sweep_s + self._timing.lease_s
            await asyncio.sleep(self._timing.sweep_s)
            leases = "overdue" if time.monotonic() >= trusted_from else "none"


async def _forever(work: Callable[[], Awaitable[None]]) -> None:
    """Keep a background loop of a service alive."""
    while True:
        try:
            await work()
        except Exception:  # noqa: BLE001 - an outermost loop: what fails here must not take the worker's jobs along
            _log.exception("background_work_failed")
        await asyncio.sleep(1.0)
