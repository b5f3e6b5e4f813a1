"""What the gateway passes on: engines of this machine, and positions through a WCS."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request

from astro_shared.contracts.astrometry import EnginesView, TransformRequest, TransformResult
from astro_shared.contracts.auth import Scope
from astro_shared.web import Principal, problem_responses, require_service
from astrometry_service.adapters.engines import engine_list
from astrometry_service.workflows.transform_positions import transform_positions

router = APIRouter(prefix="/v1", tags=["solving"])

Reader = Annotated[Principal, Depends(require_service(Scope.JOBS_READ))]


@router.get("/engines", summary="Solving engines: which can be used, why not, and how to install what is missing")
async def engines(caller: Reader, request: Request) -> EnginesView:
    settings = request.app.state.parts.settings
    online = settings.nova.mode == "online"
    return await asyncio.to_thread(engine_list, settings.index_folders, settings.sky_folder, nova_online=online)


@router.post(
    "/transform",
    summary="Pixels to the sky or back, with covariances",
    description="Any WCS that is read elsewhere is read here: TAN, SIP, TPV, ZPN, plates; other frames are carried to ICRS. "
    "A header without a usable WCS is refused with its problems.",
    responses=problem_responses(422),
)
async def transform(body: TransformRequest, caller: Reader) -> TransformResult:
    return await asyncio.to_thread(transform_positions, body)
