"""Catalogues that did not answer, asked again for a finished reduction."""

from __future__ import annotations

from fastapi import APIRouter

from astro_shared.contracts.gateway import ReductionView
from astro_shared.web import problem_responses
from gateway_service.api.dependencies import Factory, ReductionWriter
from gateway_service.api.schemas import reduction_view

router = APIRouter(prefix="/api/v1/reductions", tags=["reductions"])


@router.post(
    "/{reduction_id}:identify",
    status_code=202,
    summary="Ask the catalogues that failed again",
    responses=problem_responses(404, 409),
)
async def identify(reduction_id: str, user: ReductionWriter, factory: Factory) -> ReductionView:
    """The reduction goes on with its stages `identify` and `collect`: catalogues that ended `failed` or `not_asked` are
    asked, what the others said stays, and the results are written anew. Until then, and if it fails, the former
    results stay. 409 while it runs, and where no catalogue failed."""
    return reduction_view(await factory.complete_identification()(reduction_id, user.user_id))
