"""Deliveries: queue rows of procrastinate that tell a worker to look at a job.

A delivery carries nothing but the id of a job. It may come twice, late or not at all: the ledger decides, the sweeper
announces again.
"""

from __future__ import annotations

import asyncio
import datetime
import uuid
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import sqlalchemy as sa
from procrastinate import App, PsycopgConnector
from procrastinate.connector import Notify
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job, Status
from sqlalchemy.ext.asyncio import AsyncConnection

from astro_shared.jobs.schema import jobs
from astro_shared.logs import get_logger

_log = get_logger(__name__)

TASK = "alidade.run_job"


class PatientConnector(PsycopgConnector):
    """A connector that outlives a restart of the database instead of stopping the worker."""

    async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:
        channels = list(channels)
        while True:
            try:
                await super().listen_notify(on_notification=on_notification, channels=channels)
            except ConnectorException as error:
                _log.warning("listening_interrupted", error=str(error))
                await asyncio.sleep(1.0)


class Deliveries:
    """The queue of one service.

    Parameters
    ----------
    service
        Name of the queue.
    """

    def __init__(self, service: str) -> None:
        self.queue = service
        self._manager = App(connector=PsycopgConnector()).job_manager

    async def announce(
        self, connection: AsyncConnection, job_id: uuid.UUID, *, at: datetime.datetime | None = None
    ) -> None:
        """Queue a delivery for a job in the caller's transaction, not to be taken before ``at``."""
        delivery = Job(
            queue=self.queue, task_name=TASK, lock=None, queueing_lock=None,
            task_kwargs={"job_id": str(job_id)}, scheduled_at=at,
        )  # fmt: skip
        deferred = await self._manager.defer_job_async(delivery, connection=await _driver(connection))
        await connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(delivery_id=deferred.id))

    async def withdraw(self, connection: AsyncConnection, delivery_id: int) -> None:
        """Remove a delivery that waits and stop one that runs, when the caller's transaction commits."""
        driver = await _driver(connection)
        await self._manager.cancel_job_by_id_async(delivery_id, abort=True, delete_job=True, connection=driver)


def delivery_app(
    conninfo: str, service: str, deliver: Callable[[str], Awaitable[None]], *, max_connections: int = 2
) -> App:
    """Make the procrastinate app with which a worker takes the deliveries of a service."""
    connector = PatientConnector(
        conninfo=conninfo,
        min_size=1,
        max_size=max_connections,
        kwargs={"connect_timeout": 5, "application_name": f"{service} queue"},
    )
    app = App(connector=connector)

    @app.task(name=TASK, queue=service)
    async def run_job(job_id: str) -> None:
        await deliver(job_id)

    return app


async def drop_stalled(app: App, service: str, silent_s: float) -> int:
    """Remove deliveries whose worker has been silent for ``silent_s`` seconds; return how many."""
    stalled = list(await app.job_manager.get_stalled_jobs(queue=service, seconds_since_heartbeat=silent_s))
    for delivery in stalled:
        await app.job_manager.finish_job(delivery, Status.FAILED, delete_job=True)
    return len(stalled)


async def _driver(connection: AsyncConnection) -> Any:
    """Return psycopg's own connection below SQLAlchemy's, inside the same transaction."""
    raw = await connection.get_raw_connection()
    return raw.driver_connection
