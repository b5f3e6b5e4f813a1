"""Solving engines, and positions through a WCS."""

from __future__ import annotations

from fastapi import APIRouter

from astro_shared.contracts.astrometry import EnginesView, TransformRequest, TransformResult
from astro_shared.web import problem_responses
from gateway_service.api.dependencies import Factory, ReductionReader

router = APIRouter(prefix="/api/v1", tags=["astrometry"])


@router.get("/engines", summary="Solving engines: which can be used, why not, and how to install what is missing")
async def engines(user: ReductionReader, factory: Factory) -> EnginesView:
    """Nothing is asked of the network, and no solver is started."""
    return await factory.astrometry.engines(user.user_id)


@router.post("/transform", summary="Pixels to the sky or back, with covariances", responses=problem_responses(422, 503))
async def transform(body: TransformRequest, user: ReductionReader, factory: Factory) -> TransformResult:
    """Positions are ICRS at the epoch of the header's solution; a header without a usable WCS is refused."""
    return await factory.astrometry.transform(body, user.user_id)
