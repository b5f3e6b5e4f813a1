"""Reductions: start, watch, abort, fetch."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse
from sse_starlette import EventSourceResponse, ServerSentEvent

from astro_shared.contracts.gateway import ReductionCreate, ReductionView, ResultFile
from astro_shared.contracts.objects import ObjectRef
from astro_shared.web import optional_idempotency_key, problem_responses
from gateway_service.api.dependencies import Factory, ReductionReader, ReductionWriter
from gateway_service.api.schemas import ReductionPage, decode_cursor, encode_cursor, reduction_view
from gateway_service.domain.reductions import Reduction
from gateway_service.domain.results import result_files
from gateway_service.errors import ReductionNotFoundError, ResultNotFoundError
from gateway_service.factory import GatewayFactory

router = APIRouter(prefix="/api/v1/reductions", tags=["reductions"])
LOOK_S = 0.4
DOWNLOAD_LIFE_S = 300


@router.post("", status_code=201, summary="Reduce a frame", responses=problem_responses(409))
async def create(
    body: ReductionCreate,
    user: ReductionWriter,
    factory: Factory,
    response: Response,
    key: Annotated[str | None, Depends(optional_idempotency_key)],
) -> ReductionView:
    """Answers at once; the work is done by workers. The same Idempotency-Key gives the same reduction again."""
    reduction = await factory.create_reduction()(
        user.user_id,
        body.upload_id,
        settings=body.settings,
        preset=body.preset,
        idempotency_key=key,
        masters={"bias": body.bias_upload_id, "dark": body.dark_upload_id, "flat": body.flat_upload_id},
    )
    response.headers["Location"] = f"/api/v1/reductions/{reduction.id}"
    return reduction_view(reduction)


@router.get("", summary="One's reductions, newest first")
async def list_reductions(
    user: ReductionReader,
    factory: Factory,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> ReductionPage:
    before = decode_cursor(cursor) if cursor else None
    found = await factory.reductions.newest(user.user_id, limit=limit + 1, before=before)
    more = encode_cursor(found[limit - 1]) if len(found) > limit else None
    if more:
        response.headers["Link"] = f'</api/v1/reductions?limit={limit}&cursor={more}>; rel="next"'
    return ReductionPage(items=[reduction_view(reduction) for reduction in found[:limit]], next=more)


@router.get("/{reduction_id}", summary="A reduction and how far it is")
async def get(reduction_id: str, user: ReductionReader, factory: Factory) -> ReductionView:
    return await _view(factory, await factory.reductions.get(reduction_id, user.user_id))


@router.post("/{reduction_id}:abort", summary="Stop a reduction")
async def abort(reduction_id: str, user: ReductionWriter, factory: Factory) -> ReductionView:
    """A finished reduction stays as it is."""
    return reduction_view(await factory.reductions.request_abort(reduction_id, user.user_id))


@router.delete("/{reduction_id}", status_code=204, summary="Remove a finished reduction and its files")
async def delete(reduction_id: str, user: ReductionWriter, factory: Factory) -> None:
    await factory.remove_reduction()(reduction_id, user.user_id)


@router.get("/{reduction_id}/events", summary="Progress as server-sent events", response_class=EventSourceResponse)
async def events(reduction_id: str, user: ReductionReader, factory: Factory, request: Request) -> EventSourceResponse:
    """One event `reduction` per change, with the same body as the reduction itself; closes after the final one."""
    reduction = await factory.reductions.get(reduction_id, user.user_id)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return EventSourceResponse(_changes(factory, reduction, request), ping=15, headers=headers)


@router.get("/{reduction_id}/results", summary="Files of a finished reduction")
async def results(reduction_id: str, user: ReductionReader, factory: Factory) -> list[ResultFile]:
    files = _files(await factory.reductions.get(reduction_id, user.user_id))
    return [
        ResultFile(
            name=name,
            size=ref.size,
            media_type=ref.media_type,
            sha256=ref.sha256,
            url=f"/api/v1/reductions/{reduction_id}/results/{name}",
        )
        for name, ref in sorted(files.items())
    ]


@router.get("/{reduction_id}/results/{name:path}", status_code=307, summary="One file", response_class=RedirectResponse)
async def result(reduction_id: str, name: str, user: ReductionReader, factory: Factory) -> RedirectResponse:
    """Redirects to an address that is valid for five minutes and needs no token."""
    reduction = await factory.reductions.get(reduction_id, user.user_id)
    ref = _files(reduction).get(name)
    if ref is None:
        raise ResultNotFoundError(f"The reduction {reduction_id} has no file {name}.")
    url = await factory.store.signed_url(
        ref.key, expires_s=DOWNLOAD_LIFE_S, filename=name.rsplit("/", 1)[-1], media_type=ref.media_type
    )
    return RedirectResponse(url, status_code=307)


def _files(reduction: Reduction) -> dict[str, ObjectRef]:
    return {name: ObjectRef.model_validate(ref) for name, ref in result_files(reduction).items()}


async def _view(factory: GatewayFactory, reduction: Reduction) -> ReductionView:
    return reduction_view(reduction, live=await factory.live_job(reduction))


async def _changes(factory: GatewayFactory, reduction: Reduction, request: Request) -> AsyncIterator[ServerSentEvent]:
    last, number = "", 0
    while not await request.is_disconnected():
        view = await _view(factory, reduction)
        text = view.model_dump_json()
        if text != last:
            number += 1
            last = text
            yield ServerSentEvent(json.dumps(json.loads(text)), event="reduction", id=str(number))
        if reduction.final:
            return
        await asyncio.sleep(LOOK_S)
        try:
            reduction = await factory.reductions.get(reduction.id)
        except ReductionNotFoundError:
            return
