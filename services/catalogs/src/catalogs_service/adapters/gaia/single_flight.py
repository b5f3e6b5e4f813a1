"""Only one at a time fetches a tile: among the processes of a folder, or of a database that all replicas share."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

import structlog
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

log = structlog.get_logger()

_POLL_S = 0.1
# A flight holds a connection: this many of them leave a small pool room for the rest of the process.
_FLIGHTS_AT_ONCE = 2


class SingleFlight(Protocol):
    """Locks by name that are given back when their holder dies."""

    def only(self, names: Sequence[str]) -> AbstractAsyncContextManager[None]:
        """Hold all names; wait for those that somebody else holds."""
        ...


class FolderSingleFlight:
    """Locks of files in a folder, for processes of one machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @asynccontextmanager
    async def only(self, names: Sequence[str]) -> AsyncIterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        handles: list[int] = []
        try:
            # always in ascending order, so that two processes cannot wait for each other
            for name in sorted(names):
                handles.append(os.open(self._folder / name, os.O_RDWR | os.O_CREAT, 0o600))
                await _locked(handles[-1])
            yield
        finally:
            for handle in handles:
                os.close(handle)


class DatabaseSingleFlight:
    """Advisory locks of PostgreSQL, for all replicas of the service.

    Who waits holds no connection. Without the database everybody flies: fetching twice is better than not at all.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._room = asyncio.Semaphore(_FLIGHTS_AT_ONCE)

    @asynccontextmanager
    async def only(self, names: Sequence[str]) -> AsyncIterator[None]:
        while True:
            async with self._room, AsyncExitStack() as stack:
                if await self._may_fly(names, stack):
                    yield
                    return
            await asyncio.sleep(_POLL_S)

    async def _may_fly(self, names: Sequence[str], stack: AsyncExitStack) -> bool:
        """Take the locks on a connection that ``stack`` gives back, with its locks."""
        try:
            plain = await stack.enter_async_context(self._engine.connect())
            connection = await plain.execution_options(isolation_level="AUTOCOMMIT")
            stack.push_async_callback(_released, connection)
            return await _taken(connection, names)
        except (OperationalError, PoolTimeoutError) as error:
            log.warning("flight_without_lock", error=type(error).__name__)
            return True


async def _taken(connection: AsyncConnection, names: Sequence[str]) -> bool:
    """Take all names or, where somebody has one of them, not all; `_released` gives back what was taken."""
    query = text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))")
    for name in sorted(names):
        if not (await connection.execute(query, {"name": name})).scalar_one():
            return False
    return True


async def _released(connection: AsyncConnection) -> None:
    try:
        await connection.execute(text("SELECT pg_advisory_unlock_all()"))
    except OperationalError:
        # the locks went with the connection
        await connection.invalidate()


async def _locked(handle: int) -> None:
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await asyncio.sleep(_POLL_S)
        else:
            return
