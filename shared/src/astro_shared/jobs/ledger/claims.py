"""Attempts: claiming a job, keeping the claim, and ending it; every write is fenced by the attempt's number."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from astro_shared.contracts.jobs import FINAL_PHASES, JobFailure, JobPhase, JobUsage, JobView
from astro_shared.contracts.objects import ObjectRef
from astro_shared.database.engine import transaction
from astro_shared.errors import AlidadeError
from astro_shared.jobs.errors import AttemptLostError, WorkerLostError
from astro_shared.jobs.ledger.rows import JobLedger, add_event
from astro_shared.jobs.ledger.schema import jobs
from astro_shared.jobs.plain import plain


@dataclass(frozen=True)
class Timing:
    """How fast loss is noticed; seconds.

    A worker renews its leases every ``heartbeat_s``; one that has not for ``lease_s`` has lost its jobs, which the
    sweeper sees at most ``sweep_s`` later.
    """

    heartbeat_s: float = 5.0
    lease_s: float = 25.0
    sweep_s: float = 10.0
    retry_s: float = 2.0
    max_attempts: int = 3


@dataclass
class Claim:
    """The right to work on a job until the lease ends."""

    job: JobView
    request: dict[str, Any]
    callback_url: str | None
    lost: bool = field(default=False)

    @property
    def key(self) -> tuple[uuid.UUID, int]:
        """Job and attempt."""
        return uuid.UUID(self.job.id), self.job.attempt


class Attempts:
    """What a worker does to the ledger.

    Parameters
    ----------
    ledger
        Of the service.
    timing
        Leases and retries.
    """

    def __init__(self, ledger: JobLedger, timing: Timing) -> None:
        self._ledger = ledger
        self._timing = timing

    async def claim(self, job_id: str, worker: str) -> Claim | None:
        """Begin the next attempt of a job.

        None where there is nothing to do: the job has ended, or another worker is at it (a delivery that came twice).
        """
        async with transaction(self._ledger.engine) as connection:
            row = (
                await connection.execute(sa.select(jobs).where(jobs.c.id == uuid.UUID(job_id)).with_for_update())
            ).one_or_none()
            if row is None or row.phase not in (JobPhase.QUEUED, JobPhase.SUSPENDED):
                return None
            begun = (
                sa.update(jobs)
                .where(jobs.c.id == row.id)
                .values(
                    phase=JobPhase.EXECUTING,
                    attempt=jobs.c.attempt + 1,
                    worker=worker,
                    lease_until=self._after(self._timing.lease_s),
                    started_at=sa.func.coalesce(jobs.c.started_at, sa.func.now()),
                    progress_fraction=0.0,
                    progress_step="",
                    progress_message="",
                )
                .returning(jobs)
            )
            started = (await connection.execute(begun)).one()
            await add_event(
                connection, row.id, "phase", {"phase": JobPhase.EXECUTING, "attempt": started.attempt, "worker": worker}
            )
            return Claim(self._ledger.view(started), started.request, started.callback_url)

    async def renew(self, claims: Iterable[Claim]) -> list[Claim]:
        """Extend the leases of claims; return those that are lost."""
        held = {claim.key: claim for claim in claims}
        if not held:
            return []
        renewed = (
            sa.update(jobs)
            .where(sa.tuple_(jobs.c.id, jobs.c.attempt).in_(list(held)), jobs.c.phase == JobPhase.EXECUTING)
            .values(lease_until=self._after(self._timing.lease_s))
            .returning(jobs.c.id, jobs.c.attempt)
        )
        async with transaction(self._ledger.engine) as connection:
            kept = {(row.id, row.attempt) for row in await connection.execute(renewed)}
        return [claim for key, claim in held.items() if key not in kept]

    async def progress(self, claim: Claim, fraction: float, step: str, message: str) -> None:
        """Write progress; AttemptLostError where the attempt may not write any more."""
        step, message = plain(step), plain(message)
        values = {"progress_fraction": fraction, "progress_step": step, "progress_message": message}
        async with transaction(self._ledger.engine) as connection:
            await self._write(connection, claim, values)
            data = {"fraction": fraction, "step": step, "message": message, "attempt": claim.job.attempt}
            await add_event(connection, uuid.UUID(claim.job.id), "progress", data)

    async def complete(
        self, claim: Claim, result: dict[str, Any], files: Mapping[str, ObjectRef], usage: JobUsage
    ) -> JobView:
        """Publish the result of an attempt; AttemptLostError where another attempt or an abort came first."""
        values = {
            "phase": JobPhase.COMPLETED,
            "result": plain(result),
            "files": {name: ref.model_dump(mode="json") for name, ref in files.items()},
            "usage": usage.model_dump(),
            "progress_fraction": 1.0,
            "ended_at": sa.func.now(),
            "lease_until": None,
        }
        async with transaction(self._ledger.engine) as connection:
            row = await self._write(connection, claim, values)
            await add_event(connection, row.id, "phase", {"phase": JobPhase.COMPLETED, "attempt": row.attempt})
            return self._ledger.view(row)

    async def fail(self, claim: Claim, error: AlidadeError, usage: JobUsage | None = None) -> JobView:
        """Record that an attempt failed: the job waits for another one, or ends in ERROR.

        Only a retryable error is tried again, ``max_attempts`` times in all.
        """
        async with transaction(self._ledger.engine) as connection:
            row = await self._locked(connection, claim)
            return await self._failed(connection, row, error, usage)

    async def release(self, claim: Claim) -> bool:
        """Hand an attempt back that did not fail (the worker stops); False where it was lost anyway."""
        async with transaction(self._ledger.engine) as connection:
            try:
                row = await self._locked(connection, claim)
            except AttemptLostError:
                return False
            await self._suspend(connection, row, {"reason": "handed_back"}, delay_s=0.0)
            return True

    async def sweep(
        self, *, leases: Literal["overdue", "all", "none"] = "overdue", own: Iterable[Claim] = ()
    ) -> list[tuple[JobView, str | None]]:
        """Look after jobs whose worker went silent and jobs whose delivery was lost.

        Parameters
        ----------
        leases
            Which attempts count as lost. ``all`` only where no other worker can exist; ``none`` after the database
            was away, when nobody could renew.
        own
            Attempts of the sweeping process, which are not lost: it lives.

        Returns
        -------
        Jobs that ended in ERROR by this, with their callback address.
        """
        lost = sa.select(jobs).where(
            jobs.c.phase == JobPhase.EXECUTING,
            {"overdue": jobs.c.lease_until < sa.func.now(), "all": sa.true(), "none": sa.false()}[leases],
            sa.tuple_(jobs.c.id, jobs.c.attempt).not_in([claim.key for claim in own]),
        )
        ended = []
        async with transaction(self._ledger.engine) as connection:
            for row in (await connection.execute(lost.limit(100).with_for_update(skip_locked=True))).all():
                error = WorkerLostError(
                    f"attempt {row.attempt}: the worker stopped reporting at step {row.progress_step!r}"
                )
                view = await self._failed(connection, row, error, None)
                if view.phase in FINAL_PHASES:
                    ended.append((view, row.callback_url))
            await self._ledger.deliveries.drop_stalled(connection, self._timing.lease_s)
        await self._announce_again()
        return ended

    async def _announce_again(self) -> None:
        """Queue a delivery for waiting jobs that have none in the queue."""
        waiting = (
            sa.select(jobs.c.id)
            .where(
                jobs.c.phase.in_([JobPhase.QUEUED, JobPhase.SUSPENDED]),
                jobs.c.due_at < self._after(-1.5 * self._timing.sweep_s),
                sa.text(
                    "NOT EXISTS (SELECT 1 FROM procrastinate_jobs p"
                    " WHERE p.id = jobs.delivery_id AND p.status = 'todo')"
                ),
            )
            .limit(500)
            .with_for_update(skip_locked=True)
        )
        async with transaction(self._ledger.engine) as connection:
            for (job_id,) in (await connection.execute(waiting)).all():
                await self._ledger.announce(connection, job_id)

    async def _failed(
        self, connection: AsyncConnection, row: sa.Row[Any], error: AlidadeError, usage: JobUsage | None
    ) -> JobView:
        failures = row.failures + 1
        if error.retryable and failures < self._timing.max_attempts:
            delay_s = self._timing.retry_s * 2.0 ** (failures - 1)
            facts = {"reason": error.code, "message": plain(error.message)}
            return await self._suspend(connection, row, facts, delay_s=delay_s, failures=failures)
        failure = JobFailure(
            code=error.code,
            message=plain(error.message),
            stage=row.progress_step,
            retryable=error.retryable,
            details=plain(error.details),
        )
        ended = (
            sa.update(jobs)
            .where(jobs.c.id == row.id)
            .values(
                phase=JobPhase.ERROR,
                error=failure.model_dump(mode="json"),
                usage=usage.model_dump() if usage is not None else None,
                failures=failures,
                ended_at=sa.func.now(),
                lease_until=None,
            )
            .returning(jobs)
        )
        final = (await connection.execute(ended)).one()
        await add_event(
            connection, row.id, "phase", {"phase": JobPhase.ERROR, "attempt": row.attempt, "code": error.code}
        )
        return self._ledger.view(final)

    async def _suspend(
        self,
        connection: AsyncConnection,
        row: sa.Row[Any],
        facts: dict[str, Any],
        *,
        delay_s: float,
        failures: int | None = None,
    ) -> JobView:
        """Let a job wait for its next attempt."""
        waits = (
            sa.update(jobs)
            .where(jobs.c.id == row.id)
            .values(
                phase=JobPhase.SUSPENDED,
                failures=row.failures if failures is None else failures,
                lease_until=None,
                worker=None,
                due_at=self._after(delay_s),
            )
            .returning(jobs)
        )
        waiting = (await connection.execute(waits)).one()
        await add_event(connection, row.id, "phase", {"phase": JobPhase.SUSPENDED, "attempt": row.attempt, **facts})
        at: datetime.datetime | None = waiting.due_at if delay_s > 0 else None
        await self._ledger.announce(connection, row.id, at=at)
        return self._ledger.view(waiting)

    async def _locked(self, connection: AsyncConnection, claim: Claim) -> sa.Row[Any]:
        """Lock the row of a claim that still holds."""
        row = (await connection.execute(sa.select(jobs).where(*_held(claim)).with_for_update())).one_or_none()
        if row is None:
            raise AttemptLostError(f"attempt {claim.job.attempt} of job {claim.job.id} may not write any more")
        return row

    async def _write(self, connection: AsyncConnection, claim: Claim, values: Mapping[str, Any]) -> sa.Row[Any]:
        statement = sa.update(jobs).where(*_held(claim)).values(**values).returning(jobs)
        row = (await connection.execute(statement)).one_or_none()
        if row is None:
            raise AttemptLostError(f"attempt {claim.job.attempt} of job {claim.job.id} may not write any more")
        return row

    def _after(self, seconds: float) -> Any:
        """A moment ``seconds`` from now, by the database's clock."""
        return sa.func.now() + datetime.timedelta(seconds=seconds)


def _held(claim: Claim) -> tuple[Any, ...]:
    job_id, attempt = claim.key
    return jobs.c.id == job_id, jobs.c.attempt == attempt, jobs.c.phase == JobPhase.EXECUTING
