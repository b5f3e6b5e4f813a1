"""One table matched to another, or to a reference list, row by row on the sky."""

from __future__ import annotations

import hashlib
import uuid
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from astro_shared.contracts.catalogs import CrossmatchRequest, ListName, MatchSurveysRequest
from astro_shared.contracts.jobs import JobCreate
from astro_shared.contracts.objects import ObjectRef
from astro_shared.contracts.work import WorkView
from astro_shared.web import optional_idempotency_key, problem_responses
from gateway_service.api.dependencies import Factory, FrameWriter
from gateway_service.api.schemas import started
from gateway_service.errors import UploadIncompleteError
from gateway_service.factory import GatewayFactory

router = APIRouter(prefix="/api/v1/crossmatch", tags=["crossmatch"])


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
    response: Response,
    key: Annotated[str | None, Depends(optional_idempotency_key)],
) -> WorkView:
    """Work that makes `crossmatch.parquet` with the columns `left_row, left_id, right_row, right_id, left_ra, left_dec,
    right_ra, right_dec, sep_arcsec, sep_sigma, p_chance, best`; rows count from 0. The same Idempotency-Key gives the same
    work again."""
    left = await _table(factory, body.left_upload_id, user.user_id)
    right = await _table(factory, body.right_upload_id, user.user_id) if body.right_upload_id else None
    options = body.model_dump(exclude={"left_upload_id", "right_upload_id"})
    request = CrossmatchRequest(left=left, right=right, **options)
    return await _begun(factory, "crossmatch", request, user.user_id, key, response)


@router.post("/surveys", status_code=202, summary="Match a reference list to another", responses=problem_responses(422))
async def create_survey_match(
    body: MatchSurveysRequest,
    user: FrameWriter,
    factory: Factory,
    response: Response,
    key: Annotated[str | None, Depends(optional_idempotency_key)],
) -> WorkView:
    """Work for surveys of more rows than `POST /api/v1/crossmatch` holds; it makes `matched.tar`, a HATS catalogue. It ends
    with the code `surveys_not_installed` where the workers have no LSDB. The same Idempotency-Key gives the same work again."""
    return await _begun(factory, "match_surveys", body, user.user_id, key, response)


async def _begun(
    factory: GatewayFactory, kind: str, request: BaseModel, user_id: str, key: str | None, response: Response
) -> WorkView:
    mark = hashlib.sha256(f"{user_id}:{key or uuid.uuid4().hex}".encode()).hexdigest()
    job = JobCreate(kind=kind, idempotency_key=f"{kind}:{mark}", request=request.model_dump(mode="json"))
    return started(await factory.stages.client("catalogs", user_id).create(job), response)


async def _table(factory: GatewayFactory, upload_id: str, owner: str) -> ObjectRef:
    upload = await factory.uploads.get(upload_id, owner)
    if not upload.complete or upload.sha256 is None:
        raise UploadIncompleteError(f"The upload {upload.id} is not complete: send its bytes, then complete it.")
    return ObjectRef(key=upload.key, sha256=upload.sha256, size=upload.size)
