"""One table matched to another, or to a reference list, row by row on the sky."""

from __future__ import annotations

import hashlib
import uuid
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, ConfigDict, Field, model_validator

from astro_shared.contracts.catalogs import CROSSMATCH_FILE, CrossmatchRequest, ListName
from astro_shared.contracts.jobs import JobCreate, JobPhase, JobView
from astro_shared.contracts.objects import ObjectRef
from astro_shared.errors import ConflictError
from astro_shared.web import optional_idempotency_key, problem_responses
from gateway_service.api.dependencies import CatalogReader, Factory, FrameWriter
from gateway_service.errors import UploadIncompleteError
from gateway_service.factory import GatewayFactory

router = APIRouter(prefix="/api/v1/crossmatch", tags=["crossmatch"])
_DOWNLOAD_LIFE_S = 300


class CrossmatchCreate(BaseModel):
    """Two uploads (purpose `reference`), or one and a reference list: `gaia` is a list where there is a mirror."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    left_upload_id: str = Field(description="The table whose rows are looked up.")
    right_upload_id: str | None = Field(None, description="The other table.")
    reference: ListName | None = Field(None, description="In place of the other table: one's own list or one for all.")
    pairs: Literal["one_to_one", "all"] = Field("one_to_one", description="all: every pair within the radius.")
    radius_sigma: float = Field(3.0, gt=0, le=20, description="Match radius in combined errors.")
    radius_floor_arcsec: float = Field(1.0, gt=0, le=3600, description="Added to it.")
    radius_cap_arcsec: float = Field(60.0, gt=0, le=3600, description="Never farther than this.")
    epoch_jyear: float | None = Field(None, ge=1800, le=2200, description="Both sides are moved to it.")

    @model_validator(mode="after")
    def _two_sides(self) -> CrossmatchCreate:
        if (self.right_upload_id is None) == (self.reference is None):
            raise ValueError("give right_upload_id or reference, not both")
        return self


@router.post("", status_code=202, summary="Match a table", responses=problem_responses(404, 409))
async def create(
    body: CrossmatchCreate,
    user: FrameWriter,
    factory: Factory,
    key: Annotated[str | None, Depends(optional_idempotency_key)],
) -> JobView:
    """A job of the catalogs service; look at it until it has ended, then fetch its `result`. The same Idempotency-Key
    gives the same job again."""
    left = await _table(factory, body.left_upload_id, user.user_id)
    right = await _table(factory, body.right_upload_id, user.user_id) if body.right_upload_id else None
    options = body.model_dump(exclude={"left_upload_id", "right_upload_id"})
    request = CrossmatchRequest(left=left, right=right, **options)
    mark = hashlib.sha256(f"{user.user_id}:{key or uuid.uuid4().hex}".encode()).hexdigest()
    job = JobCreate(kind="crossmatch", idempotency_key=f"crossmatch:{mark}", request=request.model_dump(mode="json"))
    return await factory.stages.client("catalogs", user.user_id).create(job)


@router.get("/{job_id}", summary="How far it is; at the end how many rows found a partner")
async def get(job_id: str, user: CatalogReader, factory: Factory) -> JobView:
    return await factory.stages.client("catalogs", user.user_id).get(job_id)


@router.post("/{job_id}:abort", summary="Stop it")
async def abort(job_id: str, user: FrameWriter, factory: Factory) -> JobView:
    return await factory.stages.client("catalogs", user.user_id).abort(job_id)


@router.get(
    "/{job_id}/result",
    status_code=307,
    summary="The pairs, as Parquet",
    response_class=RedirectResponse,
    responses=problem_responses(404, 409),
)
async def result(job_id: str, user: CatalogReader, factory: Factory) -> RedirectResponse:
    """Columns `left_row, left_id, right_row, right_id, left_ra, left_dec, right_ra, right_dec, sep_arcsec, sep_sigma,
    p_chance, best`; rows count from 0. Redirects to an address that is valid for five minutes and needs no token."""
    job = await factory.stages.client("catalogs", user.user_id).get(job_id)
    if job.phase is not JobPhase.COMPLETED or CROSSMATCH_FILE not in job.files:
        raise ConflictError(f"The cross-match {job_id} has no result: its phase is {job.phase}.")
    ref = job.files[CROSSMATCH_FILE]
    url = await factory.store.signed_url(
        ref.key, expires_s=_DOWNLOAD_LIFE_S, filename=CROSSMATCH_FILE, media_type=ref.media_type
    )
    return RedirectResponse(url, status_code=307)


async def _table(factory: GatewayFactory, upload_id: str, owner: str) -> ObjectRef:
    upload = await factory.uploads.get(upload_id, owner)
    if not upload.complete or upload.sha256 is None:
        raise UploadIncompleteError(f"The upload {upload.id} is not complete: send its bytes, then complete it.")
    return ObjectRef(key=upload.key, sha256=upload.sha256, size=upload.size)
