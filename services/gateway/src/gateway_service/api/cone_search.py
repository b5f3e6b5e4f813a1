"""Reference lists for the Virtual Observatory: Simple Cone Search and VOSI availability, passed on from catalogs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from astro_shared.contracts.auth import Scope
from astro_shared.errors import AlidadeError
from astro_shared.web import bearer_token, current_principal, require
from gateway_service.api.dependencies import Factory

router = APIRouter(prefix="/api/v1", tags=["virtual-observatory"])
_UNAVAILABLE = """<?xml version="1.0" encoding="UTF-8"?>
<vosi:availability xmlns:vosi="http://www.ivoa.net/xml/VOSIAvailability/v1.0">
<vosi:available>false</vosi:available><vosi:note>Catalogues cannot be reached at the moment.</vosi:note>
</vosi:availability>
"""


async def searcher(request: Request, factory: Factory) -> str | None:
    """Whose lists are searched besides those for everyone; None for a caller without a token, where that is allowed."""
    if bearer_token(request) is None and factory.settings.open_cone_search:
        return None
    caller = await require(Scope.CATALOGS_READ)(await current_principal(request))
    return caller.user_id


@router.get(
    "/scs/{name}",
    summary="Simple Cone Search 1.03 on a reference list",
    description="`RA`, `DEC`, `SR` in degrees, `VERB` 1 to 3; `SR=0` gives the columns only. What is wrong with a request is "
    "said in the VOTable, with status 200, as the standard wants it.",
    response_class=Response,
    responses={200: {"content": {"text/xml": {}}, "description": "A VOTable, also for errors"}},
)
async def cone_search(
    name: str, request: Request, user: Annotated[str | None, Depends(searcher)], factory: Factory
) -> Response:
    content, media_type = await factory.catalogs.cone_search(name, dict(request.query_params), user)
    return Response(content, media_type=media_type)


@router.get("/vosi/availability", summary="VOSI availability of the cone search", response_class=Response)
async def availability(factory: Factory) -> Response:
    try:
        content = await factory.catalogs.availability()
    except AlidadeError:
        content = _UNAVAILABLE.encode()
    return Response(content, media_type="text/xml")
