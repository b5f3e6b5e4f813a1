"""Reference stars and reference lists, for the other services."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from astro_shared.contracts.auth import Scope
from astro_shared.contracts.catalogs import (
    REFERENCE_LAYER_HEADER,
    REFERENCE_ROWS_HEADER,
    ReferenceConeRequest,
    ReferenceLists,
)
from astro_shared.web import Principal, problem_responses, require_service
from catalogs_service.adapters.reference_view import list_info, stars_to_fits
from catalogs_service.api.schemas import region_of, selection_of
from catalogs_service.factory import CatalogsParts
from catalogs_service.ports import Scope as ScopeName

router = APIRouter(prefix="/v1/reference", tags=["reference"])

Reader = Annotated[Principal, Depends(require_service(Scope.CATALOGS_READ))]
Writer = Annotated[Principal, Depends(require_service(Scope.JOBS_WRITE))]


def parts_of(request: Request) -> CatalogsParts:
    """What the process holds."""
    parts: CatalogsParts = request.app.state.parts
    return parts


Parts = Annotated[CatalogsParts, Depends(parts_of)]


@router.post(
    "/cone",
    summary="Reference stars around a position or in a polygon",
    description="Own lists of the user come before global ones. `gaia` is looked for in a mirror, the tile cache, the "
    "archive and VizieR, in this order; the header of the table says which of them answered.",
    response_class=Response,
    responses={
        200: {"content": {"application/fits": {}}, "description": "One FITS binary table with Gaia's column names"},
        **problem_responses(404, 422, 503),
    },
)
async def cone(body: ReferenceConeRequest, caller: Reader, parts: Parts) -> Response:
    owner = caller.user if caller.user is not None else body.owner
    found = await parts.find_stars.find(
        body.name, region_of(body), selection_of(body), owner=owner, release=body.release
    )
    content = await asyncio.to_thread(stars_to_fits, found, body)
    headers = {REFERENCE_LAYER_HEADER: found.layer, REFERENCE_ROWS_HEADER: str(len(found.stars))}
    return Response(content, media_type="application/fits", headers=headers)


@router.get("", summary="Reference lists that the user sees")
async def lists(caller: Reader, parts: Parts) -> ReferenceLists:
    found = await asyncio.to_thread(parts.lists.list, caller.user)
    return ReferenceLists(items=tuple(list_info(item.facts) for item in found))


@router.delete(
    "/{name}",
    status_code=204,
    summary="Remove a list of the user; a service that works for nobody removes a global one",
    responses=problem_responses(404),
)
async def remove(name: str, caller: Writer, parts: Parts) -> None:
    owned: ScopeName = "global" if caller.user is None else "user"
    await asyncio.to_thread(parts.lists.delete, name, scope=owned, owner=caller.user)
