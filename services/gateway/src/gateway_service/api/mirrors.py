"""A region of Gaia for nights without a network."""

from __future__ import annotations

import uuid
from typing import Annotated

from fastapi import APIRouter, Depends

from astro_shared.contracts.auth import Scope
from astro_shared.contracts.catalogs import MirrorGaiaRequest
from astro_shared.contracts.jobs import JobCreate, JobView
from astro_shared.errors import NotFoundError
from astro_shared.web import Principal, optional_idempotency_key, require_user
from gateway_service.api.dependencies import Factory

router = APIRouter(prefix="/api/v1/admin/mirrors", tags=["administration"])
_KIND = "mirror_gaia"
Administrator = Annotated[Principal, Depends(require_user(Scope.ADMIN, Scope.FRAMES_WRITE))]


@router.post("", status_code=202, summary="Mirror a region of Gaia")
async def create(
    body: MirrorGaiaRequest,
    caller: Administrator,
    factory: Factory,
    key: Annotated[str | None, Depends(optional_idempotency_key)],
) -> JobView:
    """Replaces the list `gaia` that everyone sees; for administrators. The same Idempotency-Key gives the same job."""
    request = body.model_dump(mode="json")
    job = JobCreate(kind=_KIND, idempotency_key=f"mirror:{key or uuid.uuid4().hex}"[:128], request=request)
    return await factory.stages.client("catalogs", None).create(job)


@router.get("/{job_id}", summary="How far a mirror is")
async def get(job_id: str, caller: Administrator, factory: Factory) -> JobView:
    job = await factory.stages.client("catalogs", None).get(job_id)
    if job.kind != _KIND:
        raise NotFoundError(f"There is no mirror job {job_id}.")
    return job
