"""Liveness, readiness and metrics.

Liveness looks at nothing: a database that is away must not get the process killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

import structlog
from fastapi import APIRouter, FastAPI, Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from pydantic import BaseModel, Field

from astro_shared.errors import UnavailableError
from astro_shared.web.middleware import HttpMetrics

__all__ = ["HealthResponse", "ReadinessCheck", "install_health_routes"]

ReadinessCheck = Callable[[], Awaitable[object]]
"""Returns when what it stands for works, raises when it does not."""

CHECK_TIMEOUT_S = 2.0
_log = structlog.get_logger("astro_shared.web")


class HealthResponse(BaseModel):
    """The process is alive, or ready."""

    status: Literal["ok"] = "ok"
    checks: list[str] = Field(default_factory=list, title="What was looked at")


def install_health_routes(app: FastAPI, *, checks: Mapping[str, ReadinessCheck], metrics: HttpMetrics) -> None:
    """Add ``/healthz``, ``/readyz`` and ``/metrics``."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz", summary="Is the process alive", operation_id="health_live")
    async def live() -> HealthResponse:
        """Answer without looking at anything else."""
        return HealthResponse()

    @router.get("/readyz", summary="Can it serve", operation_id="health_ready")
    async def ready() -> HealthResponse:
        """Look at what the service needs; 503 names what does not answer."""
        failing = [name for name, check in checks.items() if not await _works(name, check)]
        if failing:
            raise UnavailableError(f"Not ready: {', '.join(failing)}.", failing=failing)
        return HealthResponse(checks=list(checks))

    @router.get("/metrics", include_in_schema=False)
    async def exposition() -> Response:
        return Response(await metrics.exposition(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    app.include_router(router)


async def _works(name: str, check: ReadinessCheck) -> bool:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check()
    except Exception as error:  # noqa: BLE001 - whatever a dependency raises, the answer is "not ready"
        _log.warning("not_ready", check=name, error=type(error).__name__)
        return False
    return True
