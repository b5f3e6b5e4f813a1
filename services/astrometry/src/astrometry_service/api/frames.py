"""Which frames hold a position."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from astro_shared.contracts.auth import Scope
from astro_shared.contracts.frames import FrameFootprint
from astro_shared.errors import ForbiddenError
from astro_shared.web import Principal, require_service
from astrometry_service.adapters.footprint_store import FootprintStore
from astrometry_service.workflows.find_frames import FindFrames

router = APIRouter(prefix="/v1", tags=["frames"])


@router.get("/frames", summary="Solved frames of a user that hold a position, newest first")
async def frames(
    caller: Annotated[Principal, Depends(require_service(Scope.JOBS_READ))],
    request: Request,
    ra: Annotated[float, Query(ge=0, lt=360)],
    dec: Annotated[float, Query(ge=-90, le=90)],
) -> list[FrameFootprint]:
    if caller.on_behalf_of is None:
        raise ForbiddenError("The token speaks for no user.")
    return await FindFrames(FootprintStore(request.app.state.parts.engine))(caller.on_behalf_of, ra, dec)
