"""Where the state of the upstreams is kept: a row each in the service's database, or this process where that is away."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Protocol, TypeVar

import structlog
from sqlalchemy import BigInteger, Column, Float, Integer, MetaData, String, Table, cast, func, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from astro_shared.database.engine import transaction
from astro_shared.database.errors import DatabaseUnavailableError
from catalogs_service.domain.upstream_state import UpstreamState

log = structlog.get_logger()

Answer = TypeVar("Answer")
Step = Callable[[UpstreamState, float], tuple[UpstreamState, Answer]]
"""From the state and the time to the new state and whatever the caller wants to know."""

# Long for a transaction of one row; a database that takes longer is as good as away.
_PATIENCE_S = 3.0
# So long a database that was away is not waited for again.
_AWAY_S = 10.0

upstreams = Table(
    "upstreams",
    MetaData(),
    Column("name", String(40), primary_key=True),
    Column("next_slot", Float, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("open_until", Float, nullable=False),
    Column("not_before", Float, nullable=False),
    Column("probing_until", Float, nullable=False),
    Column("last_success", Float, nullable=False),
    Column("last_failure", Float, nullable=False),
    Column("last_cause", String(40), nullable=False),
    Column("cache_hits", BigInteger, nullable=False),
    Column("cache_misses", BigInteger, nullable=False),
    Column("places", JSONB, nullable=False),
)
_NOW = cast(func.extract("epoch", func.clock_timestamp()), Float).label("now")


class BreakerStore(Protocol):
    """States by upstream, each changed by one at a time."""

    async def change(self, name: str, step: Step[Answer]) -> Answer:
        """Put the state of an upstream through a step; a step that raises changes nothing."""
        ...


class LocalBreakerStore:
    """The memory of one process."""

    def __init__(self) -> None:
        self._states: dict[str, UpstreamState] = {}

    async def change(self, name: str, step: Step[Answer]) -> Answer:
        """Put a state through a step, by the clock of this machine."""
        self._states[name], answer = step(self._states.get(name, UpstreamState()), time.time())
        return answer

    def learn(self, name: str, state: UpstreamState) -> None:
        """Begin from here at the next step."""
        self._states[name] = state


class DatabaseBreakerStore:
    """The memory of all replicas: a row per upstream, changed in one short transaction by the clock of the database.

    A database that is away stops nobody: this process goes on from what it saw last and holds the limits alone, until
    the database is back.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._local = LocalBreakerStore()
        self._away = False
        self._again_at = 0.0

    async def change(self, name: str, step: Step[Answer]) -> Answer:
        """Put a state through a step, in the database or, without it, here."""
        if time.monotonic() >= self._again_at:
            try:
                async with asyncio.timeout(_PATIENCE_S), transaction(self._engine) as connection:
                    state, answer = await _changed(connection, name, step)
            except (DatabaseUnavailableError, TimeoutError) as error:
                self._is_away(error)
            else:
                self._is_back()
                self._local.learn(name, state)
                return answer
        return await self._local.change(name, step)

    def _is_away(self, error: Exception) -> None:
        self._again_at = time.monotonic() + _AWAY_S
        if not self._away:
            log.warning("upstream_limits_held_locally", error=type(error).__name__)
        self._away = True

    def _is_back(self) -> None:
        if self._away:
            log.info("upstream_limits_shared_again")
        self._away = False


async def _changed(connection: AsyncConnection, name: str, step: Step[Answer]) -> tuple[UpstreamState, Answer]:
    query = select(upstreams, _NOW).where(upstreams.c.name == name).with_for_update()
    row = (await connection.execute(query)).mappings().first()
    if row is None:
        values = {"name": name, **asdict(UpstreamState())}
        await connection.execute(insert(upstreams).values(values).on_conflict_do_nothing())
        row = (await connection.execute(query)).mappings().one()
    known = {key: value for key, value in row.items() if key not in ("name", "now")}
    state, answer = step(UpstreamState(**known), row["now"])
    if asdict(state) != known:
        await connection.execute(update(upstreams).where(upstreams.c.name == name).values(asdict(state)))
    return state, answer
