"""Admission to one upstream: its rate, places and circuit breaker, as a memory that others share knows them.

A place is a lease that its holder renews; one that died, or was cut off, gives it back by not doing so.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from catalogs_service.adapters.upstream.breaker_store import BreakerStore
from catalogs_service.domain.upstream_state import Limits, Turn, UpstreamState
from catalogs_service.errors import QueryError

LEASE_S = 20.0
_POLL_S = 0.1


class UpstreamGate:
    """Admission to one upstream.

    Parameters
    ----------
    memory : of the state, shared with whoever else asks
    name : of the upstream
    limits : how much it is asked
    lease_s : after which a place is free again that nobody renewed
    """

    def __init__(self, memory: BreakerStore, name: str, limits: Limits, *, lease_s: float = LEASE_S) -> None:
        self._memory = memory
        self._lease_s = lease_s
        # only so many of this process look for a place at a time, the others wait in line for that
        self._line = asyncio.Semaphore(limits.concurrency)
        self.name = name
        self.title = limits.title or name
        self.limits = limits

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[bool]:
        """Wait for a place and a turn; inside, one request may be sent. True: it is the probe of a half-open breaker.

        Raises
        ------
        QueryError
            The breaker is open (with the cause that opened it), or the upstream asked for a pause (``quota``); says until when.
        """
        holder = uuid.uuid4().hex
        async with self._line:
            try:
                turn = await self._entered(holder)
                renewal = asyncio.create_task(self._renew(holder, probing=turn.probing))
                try:
                    await asyncio.sleep(turn.wait_s)
                    yield turn.probing
                finally:
                    renewal.cancel()
                    await asyncio.wait([renewal])
            finally:
                await self._memory.change(self.name, lambda state, now: (state.left(holder), None))

    async def succeeded(self) -> None:
        """An answer came; the breaker closes."""
        await self._memory.change(self.name, lambda state, now: (state.succeeded(now), None))

    async def failed(self, cause: str) -> None:
        """No answer, or a broken one; after five in a row the breaker opens, longer each time."""
        await self._memory.change(self.name, lambda state, now: (state.failed(cause, now), None))

    async def pause(self, seconds: float) -> None:
        """The upstream wants to be left alone (Retry-After)."""
        await self._memory.change(self.name, lambda state, now: (state.paused(seconds, now), None))

    async def count_cache(self, *, hit: bool) -> None:
        """Count an answer that came from the cache, or did not."""
        await self._memory.change(self.name, lambda state, now: (state.counted(hit=hit), None))

    async def state(self) -> UpstreamState:
        """What is known now."""
        return await self._memory.change(self.name, lambda state, now: (state, state))

    async def _entered(self, holder: str) -> Turn:
        def enter(state: UpstreamState, now: float) -> tuple[UpstreamState, Turn | None]:
            self._check_open(state, now)
            return state.entered(holder, now, self.limits, self._lease_s)

        while (turn := await self._memory.change(self.name, enter)) is None:
            await asyncio.sleep(_POLL_S)
        return turn

    async def _renew(self, holder: str, *, probing: bool) -> None:
        while True:
            await asyncio.sleep(self._lease_s / 4)
            await self._memory.change(
                self.name, lambda state, now: (state.renewed(holder, now, self._lease_s, probing=probing), None)
            )

    def _check_open(self, state: UpstreamState, now: float) -> None:
        refusal = state.refusal(now)
        if refusal is None:
            return
        until = datetime.fromtimestamp(refusal.until, UTC)
        if refusal.reason == "paused":
            raise QueryError(
                f"{self.title} asked not to be asked before {until:%H:%M:%S} UTC.", cause="quota", retry_at=until
            )
        raise QueryError(
            f"{self.title} failed {state.failures} times in a row, last by {state.last_cause or 'an error'}; "
            f"it is asked again after {until:%H:%M:%S} UTC.",
            cause=state.last_cause or "circuit_open", retry_at=until,
        )  # fmt: skip
