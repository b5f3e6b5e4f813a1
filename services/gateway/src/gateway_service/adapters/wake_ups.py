"""Listening for news of reductions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import structlog

from gateway_service.adapters.reduction_store import CHANNEL

log = structlog.get_logger()
_LOOK_ANYWAY_S = 2.0


async def wake_ups(conninfo: str, stop: asyncio.Event) -> AsyncIterator[None]:
    """Yield at once, at every notification, and every two seconds, until ``stop`` is set.

    A lost connection is made again; what was missed meanwhile is found by looking anyway.
    """
    while not stop.is_set():
        yield
        try:
            async with await psycopg.AsyncConnection.connect(
                conninfo, autocommit=True, connect_timeout=5
            ) as connection:
                await connection.execute(f"LISTEN {CHANNEL}")
                while not stop.is_set():
                    yield
                    async for _ in connection.notifies(timeout=_LOOK_ANYWAY_S, stop_after=1):
                        pass
        except (psycopg.Error, OSError) as error:
            log.warning("wake_ups_lost", error=str(error))
            await asyncio.sleep(_LOOK_ANYWAY_S)
