"""News of jobs from the services."""

from __future__ import annotations

from fastapi import APIRouter

from astro_shared.contracts.jobs import JobView
from gateway_service.api.dependencies import Caller, Factory

router = APIRouter(prefix="/v1/callbacks", tags=["callbacks"], include_in_schema=False)


@router.post("/jobs", status_code=204)
async def job_ended(body: JobView, caller: Caller, factory: Factory) -> None:
    """A job reached a final phase. Only a hint: the gateway asks the service itself."""
    await factory.reductions.wake_by_job(body.id)
