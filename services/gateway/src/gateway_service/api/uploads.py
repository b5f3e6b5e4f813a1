"""Uploads: announce, send straight to storage, complete."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, File, Form, UploadFile

from astro_shared.contracts.gateway import UploadCreate, UploadView
from astro_shared.web import problem_responses
from gateway_service.api.dependencies import Factory, FrameReader, FrameWriter
from gateway_service.api.schemas import upload_view
from gateway_service.config import MAX_FORM_BYTES

router = APIRouter(prefix="/api/v1/uploads", tags=["uploads"])
URL_LIFE_S = 900


@router.post("", status_code=201, summary="Announce a file", responses=problem_responses(409, 413))
async def create(body: UploadCreate, user: FrameWriter, factory: Factory) -> UploadView:
    """Returns an address that takes the bytes by PUT for 15 minutes (and a form for browsers, where storage is S3).

    The length is part of what is signed. Then complete the upload.
    """
    upload = await factory.receive_upload().announce(
        user.user_id, filename=body.filename, size=body.size, purpose=body.purpose, sha256=body.sha256
    )
    url = await factory.store.signed_url(upload.key, method="PUT", expires_s=URL_LIFE_S, max_bytes=upload.size)
    form = await factory.store.upload_form(upload.key, expires_s=URL_LIFE_S, max_bytes=upload.size)
    return upload_view(upload, url=url, form=form, expires_at=datetime.now(UTC) + timedelta(seconds=URL_LIFE_S))


@router.post("/form", status_code=201, summary="Send a small file in one request", responses=problem_responses(413))
async def form(
    user: FrameWriter,
    factory: Factory,
    file: Annotated[UploadFile, File(description="At most 64 MiB.")],
    purpose: Annotated[str, Form(pattern="^(frame|reference)$")] = "frame",
) -> UploadView:
    """For browsers and one-line scripts; the answer is a completed upload."""
    receive = factory.receive_upload()
    upload = await receive.announce(
        user.user_id, filename=file.filename or "", size=file.size or 0, purpose=purpose, sha256=None
    )
    await factory.store.put_stream(upload.key, _chunks(file), max_bytes=MAX_FORM_BYTES)
    return upload_view(await receive.complete(upload.id, user.user_id))


@router.get("/{upload_id}", summary="An upload")
async def get(upload_id: str, user: FrameReader, factory: Factory) -> UploadView:
    return upload_view(await factory.uploads.get(upload_id, user.user_id))


@router.post("/{upload_id}:complete", summary="Say that the bytes are all there", responses=problem_responses(409))
async def complete(upload_id: str, user: FrameWriter, factory: Factory) -> UploadView:
    """Checks size, SHA-256 and the first bytes; only then can the file be used."""
    return upload_view(await factory.receive_upload().complete(upload_id, user.user_id))


async def _chunks(file: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await file.read(1 << 20):
        yield chunk
