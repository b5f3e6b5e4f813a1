"""Deliveries: queue rows of procrastinate that tell a worker to look at a job.

A delivery carries nothing but the id of a job. It may come twice, late or not at all: the ledger decides, the sweeper
announces again.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, LiteralString

import psycopg
import sqlalchemy as sa
from procrastinate import App, PsycopgConnector, sql
from procrastinate.connector import Notify
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job
from sqlalchemy.ext.asyncio import AsyncConnection

from astro_shared.database.engine import connect_arguments
from astro_shared.database.errors import DatabaseUnavailableError
from astro_shared.logs import get_logger
from astro_shared.settings import DatabaseSettings

_log = get_logger(__name__)

TASK = "alidade.run_job"

_AWAY = (psycopg.OperationalError, psycopg.errors.IdleInTransactionSessionTimeout)
_DROP_STALLED = sa.text(
    "DELETE FROM procrastinate_jobs d WHERE d.status = 'doing' AND d.queue_name = :queue AND (d.worker_id IS NULL"
    " OR EXISTS (SELECT 1 FROM procrastinate_workers w WHERE w.id = d.worker_id AND w.last_heartbeat < now() - :silent))"
)


class PatientConnector(PsycopgConnector):
    """A connector that outlives a restart of the database instead of stopping the worker."""

    async def execute_query_async(self, query: LiteralString, **arguments: Any) -> None:
        try:
            await self._patiently(super().execute_query_async, query, arguments)
        except ConnectorException as error:
            # The sweeper took the delivery away while this worker was frozen or cut off.
            if query != sql.queries["finish_job"] or not isinstance(error.__cause__, psycopg.errors.RaiseException):
                raise

    async def execute_query_one_async(self, query: LiteralString, **arguments: Any) -> dict[str, Any]:
        row: dict[str, Any] = await self._patiently(super().execute_query_one_async, query, arguments)
        return row

    async def _patiently(self, execute: Callable[..., Awaitable[Any]], query: str, arguments: dict[str, Any]) -> Any:
        """Execute; again while the database is away."""
        while True:
            try:
                return await execute(query, **arguments)
            except ConnectorException as error:
                if not isinstance(error.__cause__, _AWAY):
                    raise
                _log.warning("queue_waits_for_database", error=str(error.__cause__))
                await asyncio.sleep(1.0)

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
    ) -> int:
        """Queue a delivery for a job in the caller's transaction, not to be taken before ``at``; return its number."""
        delivery = Job(
            queue=self.queue, task_name=TASK, lock=None, queueing_lock=None,
            task_kwargs={"job_id": str(job_id)}, scheduled_at=at,
        )  # fmt: skip
        with _driver_errors():
            deferred = await self._manager.defer_job_async(delivery, connection=await _driver(connection))
        return int(deferred.id)  # type: ignore[arg-type]

    async def drop_stalled(self, connection: AsyncConnection, silent_s: float) -> None:
        """Remove deliveries that are under way at a worker which has been silent for ``silent_s`` seconds."""
        await connection.execute(_DROP_STALLED, {"queue": self.queue, "silent": datetime.timedelta(seconds=silent_s)})

    async def withdraw(self, connection: AsyncConnection, delivery_id: int) -> None:
        """Remove a delivery that waits and stop one that runs, when the caller's transaction commits."""
        driver = await _driver(connection)
        with _driver_errors():
            await self._manager.cancel_job_by_id_async(delivery_id, abort=True, delete_job=True, connection=driver)


def delivery_app(
    conninfo: str,
    service: str,
    deliver: Callable[[str], Awaitable[None]],
    *,
    settings: DatabaseSettings | None = None,
    max_connections: int = 2,
) -> App:
    """Make the procrastinate app with which a worker takes the deliveries of a service."""
    connector = PatientConnector(
        conninfo=conninfo,
        min_size=1,
        max_size=max_connections,
        kwargs=connect_arguments(settings or DatabaseSettings(), application=f"{service} queue"),
    )
    app = App(connector=connector)

    @app.task(name=TASK, queue=service)
    async def run_job(job_id: str) -> None:
        await deliver(job_id)

    return app


@contextlib.contextmanager
def _driver_errors() -> Iterator[None]:
    """Name the loss of the database below procrastinate as everywhere else."""
    try:
        yield
    except ConnectorException as error:
        if isinstance(error.__cause__, _AWAY):
            raise DatabaseUnavailableError("the database does not answer") from error
        raise


async def _driver(connection: AsyncConnection) -> Any:
    """Return psycopg's own connection below SQLAlchemy's, inside the same transaction."""
    raw = await connection.get_raw_connection()
    return raw.driver_connection
