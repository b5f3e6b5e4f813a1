"""The ledger: what a service's web process needs to know and do about its jobs."""

from __future__ import annotations

import datetime
import hashlib
import json
import uuid
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from astro_shared.contracts.jobs import FINAL_PHASES, JobEvent, JobFailure, JobPhase, JobProgress, JobUsage, JobView
from astro_shared.contracts.objects import ObjectRef
from astro_shared.database.engine import transaction
from astro_shared.jobs.delivery.queue import Deliveries
from astro_shared.jobs.errors import IdempotencyConflictError, JobNotFoundError
from astro_shared.jobs.ledger.schema import job_events, jobs
from astro_shared.jobs.plain import plain


class JobLedger:
    """The jobs of one service, in its database.

    Parameters
    ----------
    engine
        Of the service's database.
    service
        Name of the service; also the queue of its deliveries.
    """

    def __init__(self, engine: AsyncEngine, service: str) -> None:
        self.engine = engine
        self.service = service
        self.deliveries = Deliveries(service)

    async def create(
        self,
        *,
        kind: str,
        owner: str,
        request: dict[str, Any],
        idempotency_key: str,
        callback_url: str | None = None,
    ) -> tuple[JobView, bool]:
        """Create a queued job, or find the one that this owner made with this key; True where it is new.

        The row and its delivery appear in one transaction.

        Raises
        ------
        IdempotencyConflictError
            The key was used for another request.
        """
        request = plain(request)
        digest = request_hash(kind, request)
        row = {
            "id": uuid.uuid4(),
            "kind": kind,
            "owner": owner,
            "idempotency_key": idempotency_key,
            "request": request,
            "request_hash": digest,
            "callback_url": callback_url,
            "phase": JobPhase.QUEUED,
        }
        statement = insert(jobs).values(row).on_conflict_do_nothing(constraint="jobs_idempotency").returning(jobs)
        async with transaction(self.engine) as connection:
            created = (await connection.execute(statement)).one_or_none()
            if created is None:
                return await self._existing(connection, owner, idempotency_key, digest, callback_url), False
            await add_event(connection, created.id, "phase", {"phase": JobPhase.QUEUED})
            await self.announce(connection, created.id)
            return self.view(created), True

    async def get(self, job_id: str, *, owner: str | None = None) -> JobView:
        """Return a job; JobNotFoundError where it is absent or not of ``owner``."""
        async with transaction(self.engine) as connection:
            return self.view(await self._row(connection, job_id, owner))

    async def find(self, *, owner: str, phases: Sequence[JobPhase] = (), limit: int = 50) -> list[JobView]:
        """Return an owner's newest jobs, of some phases."""
        statement = (
            sa.select(jobs).where(jobs.c.owner == owner).order_by(jobs.c.created_at.desc(), jobs.c.id).limit(limit)
        )
        if phases:
            statement = statement.where(jobs.c.phase.in_(phases))
        async with transaction(self.engine) as connection:
            return [self.view(row) for row in await connection.execute(statement)]

    async def abort(self, job_id: str, *, owner: str | None = None) -> JobView:
        """End a job that has not ended; one that has stays as it is. A running attempt is told and can not commit."""
        async with transaction(self.engine) as connection:
            row = await self._row(connection, job_id, owner, lock=True)
            if JobPhase(row.phase) in FINAL_PHASES:
                return self.view(row)
            ended = (
                sa.update(jobs)
                .where(jobs.c.id == row.id)
                .values(phase=JobPhase.ABORTED, ended_at=sa.func.now(), lease_until=None)
                .returning(jobs)
            )
            aborted = (await connection.execute(ended)).one()
            await add_event(connection, row.id, "phase", {"phase": JobPhase.ABORTED})
            if row.delivery_id is not None:
                await self.deliveries.withdraw(connection, row.delivery_id)
            return self.view(aborted)

    async def events(self, job_id: str, *, after: int = 0, limit: int = 500) -> list[JobEvent]:
        """Return the history of a job after event ``after``, oldest first."""
        statement = (
            sa.select(job_events)
            .where(job_events.c.job_id == as_uuid(job_id), job_events.c.id > after)
            .order_by(job_events.c.id)
            .limit(limit)
        )
        async with transaction(self.engine) as connection:
            rows = await connection.execute(statement)
            return [
                JobEvent(id=row.id, job_id=str(row.job_id), at=row.at, type=row.type, data=row.data) for row in rows
            ]

    async def announce(
        self, connection: AsyncConnection, job_id: uuid.UUID, *, at: datetime.datetime | None = None
    ) -> None:
        """Queue a delivery of a waiting job and note it in the row, in the caller's transaction."""
        number = await self.deliveries.announce(connection, job_id, at=at)
        await connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(delivery_id=number))

    async def queue_length(self) -> int:
        """Count jobs that wait for a worker (for scaling and monitoring)."""
        waiting = sa.select(sa.func.count()).where(jobs.c.phase.in_([JobPhase.QUEUED, JobPhase.SUSPENDED]))
        async with transaction(self.engine) as connection:
            return int((await connection.execute(waiting)).scalar_one())

    def view(self, row: Any) -> JobView:
        """Turn a row into what callers see."""
        return JobView(
            id=str(row.id),
            service=self.service,
            kind=row.kind,
            owner=row.owner,
            phase=JobPhase(row.phase),
            attempt=row.attempt,
            progress=JobProgress(fraction=row.progress_fraction, step=row.progress_step, message=row.progress_message),
            created_at=row.created_at,
            started_at=row.started_at,
            ended_at=row.ended_at,
            result=row.result,
            files={name: ObjectRef.model_validate(ref) for name, ref in row.files.items()},
            error=JobFailure.model_validate(row.error) if row.error else None,
            usage=JobUsage.model_validate(row.usage) if row.usage else None,
        )

    async def _existing(
        self, connection: AsyncConnection, owner: str, key: str, digest: str, callback_url: str | None
    ) -> JobView:
        """Return the job of a key. The callback moves to the caller's present address."""
        same_key = (jobs.c.owner == owner, jobs.c.idempotency_key == key)
        row = (await connection.execute(sa.select(jobs).where(*same_key))).one()
        if row.request_hash != digest:
            raise IdempotencyConflictError("this idempotency key was used for another request", job_id=str(row.id))
        if callback_url is not None and callback_url != row.callback_url:
            await connection.execute(sa.update(jobs).where(jobs.c.id == row.id).values(callback_url=callback_url))
        return self.view(row)

    async def _row(
        self, connection: AsyncConnection, job_id: str, owner: str | None, *, lock: bool = False
    ) -> sa.Row[Any]:
        statement = sa.select(jobs).where(jobs.c.id == as_uuid(job_id))
        row = (await connection.execute(statement.with_for_update() if lock else statement)).one_or_none()
        if row is None or (owner is not None and row.owner != owner):
            raise JobNotFoundError(f"there is no job {job_id}")
        return row


async def add_event(connection: AsyncConnection, job_id: uuid.UUID, kind: str, data: dict[str, Any]) -> None:
    """Append to the history of a job whose row this transaction holds."""
    await connection.execute(sa.insert(job_events).values(job_id=job_id, type=kind, data=data))


def request_hash(kind: str, request: dict[str, Any]) -> str:
    """Return a hash that two requests share when they ask for the same."""
    canonical = json.dumps({"kind": kind, "request": request}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def as_uuid(job_id: str) -> uuid.UUID:
    """Parse a job id; what is none can not be a job either."""
    try:
        return uuid.UUID(job_id)
    except ValueError:
        raise JobNotFoundError("there is no such job") from None
