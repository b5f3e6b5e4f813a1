"""The gateway's worker: collects results, and moves reductions along."""

from __future__ import annotations

import asyncio

import structlog

from astro_shared.database.engine import conninfo
from astro_shared.errors import AlidadeError
from astro_shared.jobs.worker.run import ServiceWorker
from astro_shared.settings import settings_or_exit
from gateway_service.adapters.wake_ups import wake_ups
from gateway_service.config import GatewaySettings
from gateway_service.factory import GatewayFactory
from gateway_service.job_types import JOB_TYPES

log = structlog.get_logger()
CLAIMED_AT_ONCE = 20


def build() -> ServiceWorker:
    """The worker, with settings from the environment."""
    settings = settings_or_exit(GatewaySettings)
    factory = GatewayFactory(settings)

    async def drive() -> None:
        await drive_reductions(factory, asyncio.Event())

    return ServiceWorker(
        service="gateway",
        job_types=JOB_TYPES,
        engine=factory.engine,
        store=factory.store,
        concurrency=settings.worker_concurrency,
        token_source=factory.tokens.token,
        background=(drive,),
        close=factory.close,
    )


async def drive_reductions(factory: GatewayFactory, stop: asyncio.Event) -> None:
    """Advance every reduction that is due, as long as the worker lives."""
    advance = factory.advance_reduction()

    async def one(reduction_id: str) -> None:
        try:
            await advance(reduction_id)
        except AlidadeError as error:
            log.warning("reduction_not_advanced", reduction=reduction_id, error=str(error))
        except Exception:
            log.exception("reduction_defect", reduction=reduction_id)

    async for _ in wake_ups(conninfo(factory.settings.database_url), stop):
        try:
            while due := await factory.reductions.claim_due(CLAIMED_AT_ONCE):
                await asyncio.gather(*(one(reduction_id) for reduction_id in due))
        except Exception:
            log.exception("reductions_not_claimed")
            await asyncio.sleep(1.0)
