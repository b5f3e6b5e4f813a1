"""State of the upstreams as metrics, read from their gates when somebody looks at ``/metrics``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from catalogs_service.adapters.upstream.gate import UpstreamGate
from catalogs_service.domain.upstream_state import UpstreamState

_BREAKERS = ("closed", "half_open", "open")


class UpstreamMetrics(Collector):
    """One sample per upstream and metric; the same for every process, since they share the gates."""

    def __init__(self, gates: Sequence[UpstreamGate], clock: Callable[[], float]) -> None:
        self._gates = gates
        self._clock = clock
        self._states = [UpstreamState() for _ in gates]

    async def refresh(self) -> None:
        """Read every gate once."""
        self._states = [await gate.state() for gate in self._gates]

    def collect(self) -> Iterable[Metric]:
        """What the last look at the gates showed."""
        states = list(zip(self._gates, self._states, strict=True))
        breaker = GaugeMetricFamily("upstream_breaker", "1 for the state of the breaker", labels=["upstream", "state"])
        for gate, state in states:
            now = state.breaker(self._clock())
            for word in _BREAKERS:
                breaker.add_metric([gate.name, word], float(word == now))
        yield breaker
        hits = CounterMetricFamily("upstream_cache", "Answers by where they came from", labels=["upstream", "result"])
        for gate, state in states:
            hits.add_metric([gate.name, "hit"], state.cache_hits)
            hits.add_metric([gate.name, "miss"], state.cache_misses)
        yield hits
        for name, text, value in _GAUGES:
            gauge = GaugeMetricFamily(f"upstream_{name}", text, labels=["upstream"])
            for gate, state in states:
                gauge.add_metric([gate.name], value(gate, state))
            yield gauge


_GAUGES: tuple[tuple[str, str, Callable[[UpstreamGate, UpstreamState], float]], ...] = (
    ("failures", "Failures since the last answer", lambda gate, state: state.failures),
    ("last_success_timestamp_seconds", "Last answer, 0 for never", lambda gate, state: state.last_success),
    ("last_failure_timestamp_seconds", "Last failure, 0 for never", lambda gate, state: state.last_failure),
    ("asked_again_timestamp_seconds", "Not asked before", lambda gate, state: max(state.open_until, state.not_before)),
    ("requests_per_second_limit", "Most requests a second", lambda gate, state: gate.limits.requests_per_s),
    ("concurrency_limit", "Most requests at once", lambda gate, state: gate.limits.concurrency),
)
