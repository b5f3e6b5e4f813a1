"""Reference lists of one's own."""

from __future__ import annotations

import hashlib
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from astro_shared.contracts.catalogs import ImportReferenceRequest, ListName, ReferenceConeRequest, ReferenceLists
from astro_shared.contracts.jobs import JobCreate
from astro_shared.contracts.objects import ObjectRef
from astro_shared.contracts.work import WorkView
from astro_shared.web import problem_responses
from gateway_service.api.dependencies import CatalogReader, Factory, FrameWriter
from gateway_service.api.schemas import started
from gateway_service.errors import UploadIncompleteError

router = APIRouter(prefix="/api/v1/references", tags=["references"])


class ReferenceImport(BaseModel):
    """A list that was uploaded with purpose `reference` gets a name."""

    model_config = ConfigDict(extra="forbid")

    name: ListName
    upload_id: str
    format: str = Field("auto", description="auto, csv, ecsv, fits, votable, parquet or tycho2_index.")
    columns: dict[str, str] = Field(default_factory=dict, description="Gaia name to column of the file.")
    ref_epoch: float | None = Field(None, description="Epoch of rows without one, Julian year; default 2000.")


@router.get("", summary="Reference lists at hand")
async def list_references(user: CatalogReader, factory: Factory) -> ReferenceLists:
    return await factory.catalogs.lists(user.user_id)


@router.post("", status_code=202, summary="Make a reference list of an uploaded file", responses=problem_responses(409))
async def import_reference(body: ReferenceImport, user: FrameWriter, factory: Factory, response: Response) -> WorkView:
    """Work: look at it until it has ended. A list of the same name is replaced."""
    upload = await factory.uploads.get(body.upload_id, user.user_id)
    if not upload.complete or upload.sha256 is None:
        raise UploadIncompleteError(f"The upload {upload.id} is not complete: send its bytes, then complete it.")
    request: dict[str, Any] = ImportReferenceRequest(
        name=body.name,
        file=ObjectRef(key=upload.key, sha256=upload.sha256, size=upload.size),
        file_name=upload.filename,
        **body.model_dump(include={"format", "columns", "ref_epoch"}),
    ).model_dump(mode="json")
    key = "import:" + hashlib.sha256(f"{upload.id}:{body.model_dump_json()}".encode()).hexdigest()
    job = JobCreate(kind="import_reference", idempotency_key=key, request=request)
    return started(await factory.stages.client("catalogs", user.user_id).create(job), response)


@router.delete("/{name}", status_code=204, summary="Remove a reference list")
async def remove(name: str, user: FrameWriter, factory: Factory) -> None:
    await factory.catalogs.remove(name, user.user_id)


@router.post("/cone", summary="Reference stars around a position or in a polygon", response_class=Response)
async def cone(body: ReferenceConeRequest, user: CatalogReader, factory: Factory) -> Response:
    """Answers one FITS binary table with Gaia's column names and units; `X-Reference-Layer` and `X-Reference-Rows` say
    where its rows come from and how many there are."""
    content, headers = await factory.catalogs.cone(body, user.user_id)
    return Response(content, media_type="application/fits", headers=headers)
