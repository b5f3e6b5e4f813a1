"""What is remembered of one upstream, and how it changes: rate, places, circuit breaker, counters.

Nothing here waits or looks at a clock: every change takes the state and a time and gives the new state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, Self

_FAILURES_TO_OPEN = 5
_FIRST_OPEN_S = 30.0
_LONGEST_OPEN_S = 900.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What an upstream is asked at most; ``title`` is its name for people."""

    requests_per_s: float = 2.0
    concurrency: int = 2
    title: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """Leave to send one request after ``wait_s``; ``probing``: it is the one that tries a half-open breaker."""

    wait_s: float
    probing: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nobody asks now, and until when (seconds since 1970)."""

    reason: Literal["paused", "open"]
    until: float


@dataclass(frozen=True, slots=True)
class UpstreamState:
    """Times are seconds since 1970, 0 for never; ``places`` says until when each holder has its place unless it renews it."""

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
    places: Mapping[str, float] = field(default_factory=dict)

    def breaker(self, now: float) -> Literal["closed", "open", "half_open"]:
        """closed, open or half_open."""
        if self.failures < _FAILURES_TO_OPEN:
            return "closed"
        return "open" if now < self.open_until else "half_open"

    def refusal(self, now: float) -> Refusal | None:
        """Why nobody may ask: a pause that the upstream wanted, an open breaker, or a probe under way."""
        if now < self.not_before:
            return Refusal("paused", self.not_before)
        breaker = self.breaker(now)
        if breaker == "open":
            return Refusal("open", self.open_until)
        if breaker == "half_open" and now < self.probing_until:
            return Refusal("open", self.probing_until)
        return None

    def entered(self, holder: str, now: float, limits: Limits, lease_s: float) -> tuple[Self, Turn | None]:
        """Take a place, the next turn and, of a half-open breaker, the probe; None where all places are taken."""
        places = {name: until for name, until in self.places.items() if until > now}
        if len(places) >= limits.concurrency:
            return self, None
        turn = max(now, self.next_slot)
        probing = self.breaker(now) == "half_open"
        taken = replace(self, places=places, next_slot=turn + 1.0 / limits.requests_per_s)
        return taken.renewed(holder, now, lease_s, probing=probing), Turn(turn - now, probing)

    def renewed(self, holder: str, now: float, lease_s: float, *, probing: bool) -> Self:
        """Keep a place, and the probe, for another lease."""
        until = now + lease_s
        return replace(
            self, places={**self.places, holder: until}, probing_until=until if probing else self.probing_until
        )

    def left(self, holder: str) -> Self:
        """Give a place back."""
        return replace(self, places={name: until for name, until in self.places.items() if name != holder})

    def succeeded(self, now: float) -> Self:
        """An answer came; the breaker closes."""
        return replace(self, failures=0, open_until=0.0, probing_until=0.0, last_success=now)

    def failed(self, cause: str, now: float) -> Self:
        """No answer, or a broken one; after five in a row the breaker opens, longer each time."""
        failures, open_until = self.failures + 1, self.open_until
        if failures >= _FAILURES_TO_OPEN:
            doublings = min(failures - _FAILURES_TO_OPEN, 10)
            open_until = now + min(_FIRST_OPEN_S * 2**doublings, _LONGEST_OPEN_S)
        return replace(
            self, failures=failures, open_until=open_until, probing_until=0.0, last_failure=now, last_cause=cause
        )

    def paused(self, seconds: float, now: float) -> Self:
        """The upstream wants to be left alone (Retry-After)."""
        return replace(self, not_before=max(self.not_before, now + seconds), last_failure=now, last_cause="quota")

    def counted(self, *, hit: bool) -> Self:
        """Count an answer that came from the cache, or did not."""
        return replace(self, cache_hits=self.cache_hits + hit, cache_misses=self.cache_misses + (not hit))
