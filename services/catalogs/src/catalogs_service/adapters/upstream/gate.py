"""Rate, concurrency and circuit breaker of one upstream, shared by all processes that share a folder.

State is one small JSON file per upstream, changed under an exclusive lock; a place in the concurrency limit is a lock on
a file of its own, which the system takes back from a process that dies.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from catalogs_service.errors import QueryError

_FAILURES_TO_OPEN = 5
_FIRST_OPEN_S = 30.0
_LONGEST_OPEN_S = 900.0
_SLOT_POLL_S = 0.05
# A probe that has not reported by then died with its process.
_PROBE_S = 180.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What an upstream is asked at most; ``title`` is its name for people."""

    requests_per_s: float = 2.0
    concurrency: int = 2
    title: str = ""


@dataclass(slots=True)
class GateState:
    """What is remembered of an upstream; times are seconds since 1970."""

    next_slot: float = 0.0
    failures: int = 0
    open_until: float = 0.0
    not_before: float = 0.0
    probing_until: float = 0.0
    last_success: float = 0.0
    last_failure: float = 0.0
    last_cause: str = ""
    cache_hits: int = 0
    cache_misses: int = 0

    def breaker(self, now: float) -> str:
        """closed, open or half_open."""
        if self.failures < _FAILURES_TO_OPEN:
            return "closed"
        return "open" if now < self.open_until else "half_open"


class UpstreamGate:
    """Admission to one upstream.

    Parameters
    ----------
    folder : shared by all processes
    name : of the upstream
    limits : how much it is asked
    """

    def __init__(self, folder: Path, name: str, limits: Limits, *, clock: Callable[[], float] = time.time) -> None:
        self._state_file = folder / f"{name}.json"
        self._lock_file = folder / f"{name}.lock"
        self._slots = [folder / f"{name}.slot{place}" for place in range(limits.concurrency)]
        self._clock = clock
        self.name = name
        self.title = limits.title or name
        self.limits = limits
        folder.mkdir(parents=True, exist_ok=True)

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[bool]:
        """Wait for a place and a turn; inside, one request may be sent. True: it is the probe of a half-open breaker.

        Raises
        ------
        QueryError
            The breaker is open (with the cause that opened it), or the upstream asked for a pause (``quota``); says until when.
        """
        self._check_open()
        handle = await self._slot()
        try:
            probing = self._check_open(take_probe=True)
            await asyncio.sleep(self._turn_s())
            yield probing
        finally:
            os.close(handle)

    def succeeded(self) -> None:
        """An answer came; the breaker closes."""
        with self._changed() as state:
            state.failures, state.open_until, state.probing_until = 0, 0.0, 0.0
            state.last_success = self._clock()

    def failed(self, cause: str) -> None:
        """No answer, or a broken one; after five in a row the breaker opens, longer each time."""
        now = self._clock()
        with self._changed() as state:
            state.failures += 1
            state.last_failure, state.last_cause, state.probing_until = now, cause, 0.0
            if state.failures >= _FAILURES_TO_OPEN:
                doublings = min(state.failures - _FAILURES_TO_OPEN, 10)
                state.open_until = now + min(_FIRST_OPEN_S * 2**doublings, _LONGEST_OPEN_S)

    def pause(self, seconds: float) -> None:
        """The upstream wants to be left alone (Retry-After)."""
        with self._changed() as state:
            state.not_before = max(state.not_before, self._clock() + seconds)
            state.last_failure, state.last_cause = self._clock(), "quota"

    def count_cache(self, *, hit: bool) -> None:
        """Count an answer that came from the cache, or did not."""
        with self._changed() as state:
            state.cache_hits += hit
            state.cache_misses += not hit

    def state(self) -> GateState:
        """What is known now."""
        return self._read()

    def _check_open(self, *, take_probe: bool = False) -> bool:
        """Refuse while the breaker is open or its probe is under way; whether this is the probe."""
        now = self._clock()
        with self._changed() as state:
            if now < state.not_before:
                raise QueryError(
                    f"{self.title} asked not to be asked before {_clock_text(state.not_before)}.",
                    cause="quota", retry_at=_utc(state.not_before), refused_by_gate=True,
                )  # fmt: skip
            breaker = state.breaker(now)
            until = state.open_until if breaker == "open" else state.probing_until
            if breaker == "open" or (breaker == "half_open" and now < state.probing_until):
                raise QueryError(
                    f"{self.title} failed {state.failures} times in a row, last by {state.last_cause or 'an error'}; "
                    f"it is asked again after {_clock_text(until)}.",
                    cause=state.last_cause or "circuit_open", retry_at=_utc(until), refused_by_gate=True,
                )  # fmt: skip
            if breaker == "half_open" and take_probe:
                state.probing_until = now + _PROBE_S
            return breaker == "half_open"

    def _turn_s(self) -> float:
        """Take the next turn; seconds until it comes."""
        now = self._clock()
        with self._changed() as state:
            turn = max(now, state.next_slot)
            state.next_slot = turn + 1.0 / self.limits.requests_per_s
        return turn - now

    async def _slot(self) -> int:
        while True:
            for path in self._slots:
                handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(handle)
                    continue
                return handle
            await asyncio.sleep(_SLOT_POLL_S)

    def _read(self) -> GateState:
        try:
            known = json.loads(self._state_file.read_text(encoding="utf-8"))
            names = {f.name for f in fields(GateState)}
            return GateState(**{key: value for key, value in known.items() if key in names})
        except (OSError, ValueError, TypeError, AttributeError):
            return GateState()

    @contextmanager
    def _changed(self) -> Iterator[GateState]:
        handle = os.open(self._lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            state = self._read()
            before = asdict(state)
            yield state
            if asdict(state) != before:
                part = self._state_file.with_suffix(".part")
                part.write_text(json.dumps(asdict(state)), encoding="utf-8")
                part.replace(self._state_file)
        finally:
            os.close(handle)


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _clock_text(seconds: float) -> str:
    return f"{_utc(seconds):%H:%M:%S} UTC"
