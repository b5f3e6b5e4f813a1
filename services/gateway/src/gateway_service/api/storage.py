"""The folder store over HTTP: signed addresses, no other credentials."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from astro_shared.storage.signing import SignedAccess, verify_signed_url
from astro_shared.web import problem_responses
from gateway_service.api.dependencies import Factory

router = APIRouter(prefix="/storage", tags=["storage"])


@router.get("/{key:path}", summary="Fetch an object by its signed address", responses=problem_responses(403))
async def get(key: str, request: Request, factory: Factory) -> StreamingResponse:
    access = _access(key, request, factory)
    stat = await factory.store.stat(key)
    headers = {
        "Content-Disposition": access.content_disposition,
        "X-Content-Type-Options": "nosniff",
        "Content-Length": str(stat.size),
    }
    return StreamingResponse(factory.store.open(key), media_type=access.media_type, headers=headers)


@router.put(
    "/{key:path}", status_code=200, summary="Send an object to its signed address", responses=problem_responses(403)
)
async def put(key: str, request: Request, factory: Factory) -> Response:
    access = _access(key, request, factory)
    await factory.store.put_stream(key, request.stream(), max_bytes=access.max_bytes)
    return Response(status_code=200)


def _access(key: str, request: Request, factory: Factory) -> SignedAccess:
    return verify_signed_url(factory.storage_secret(), method=request.method, key=key, query=dict(request.query_params))
