"""State of the catalogues of others, for administrators."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from astro_shared.contracts.auth import Scope
from astro_shared.contracts.catalogs import UpstreamStates
from astro_shared.web import Principal, require
from gateway_service.api.dependencies import Factory

router = APIRouter(prefix="/api/v1/admin", tags=["administration"])


@router.get("/upstreams", summary="Breaker, last answers, limits and cache of every remote catalogue")
async def upstreams(caller: Annotated[Principal, Depends(require(Scope.ADMIN))], factory: Factory) -> UpstreamStates:
    """For administrators (scope `platform:admin`). Nothing is asked of the network."""
    return await factory.catalogs.upstreams()
