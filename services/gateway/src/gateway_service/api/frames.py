"""Which of one's frames hold a position."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from astro_shared.contracts.frames import FramesAt
from astro_shared.web import problem_responses
from gateway_service.api.dependencies import Factory, ReductionReader
from gateway_service.workflows.find_frames import FindFrames

router = APIRouter(prefix="/api/v1/frames", tags=["astrometry"])


@router.get("", summary="One's solved frames that hold a position, newest first", responses=problem_responses(422, 503))
async def frames(
    user: ReductionReader,
    factory: Factory,
    ra: Annotated[float, Query(ge=0, lt=360, description="Degrees, ICRS.")],
    dec: Annotated[float, Query(ge=-90, le=90, description="Degrees, ICRS.")],
) -> FramesAt:
    """Exact: the outline of each frame, distortion included, is tested. Frames of removed reductions are left out."""
    found = await FindFrames(factory.astrometry, factory.reductions)(user.user_id, ra, dec)
    return FramesAt(ra_deg=ra, dec_deg=dec, items=tuple(found))
