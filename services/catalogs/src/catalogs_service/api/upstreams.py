"""State of the catalogues of others, for administrators."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from fastapi import APIRouter

from astro_shared.contracts.catalogs import UpstreamState, UpstreamStates
from catalogs_service.adapters.upstream.gate import UpstreamGate
from catalogs_service.api.reference import Parts, Reader

router = APIRouter(prefix="/v1/upstreams", tags=["upstreams"])


@router.get("", summary="Breaker, last answers, limits and cache of every upstream")
async def upstreams(caller: Reader, parts: Parts) -> UpstreamStates:
    return UpstreamStates(items=tuple([await _state(client.gate) for client in parts.upstreams.values()]))


async def _state(gate: UpstreamGate) -> UpstreamState:
    state = await gate.state()
    return UpstreamState.model_validate(
        {
            "upstream": gate.name,
            "breaker": state.breaker(time.time()),
            "failures": state.failures,
            "last_success_at": _time(state.last_success),
            "last_failure_at": _time(state.last_failure),
            "last_cause": state.last_cause or None,
            "open_until": _time(max(state.open_until, state.not_before)),
            "requests_per_s": gate.limits.requests_per_s,
            "concurrency": gate.limits.concurrency,
            "cache_hits": state.cache_hits,
            "cache_misses": state.cache_misses,
        }
    )


def _time(seconds: float) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds > 0 else None
