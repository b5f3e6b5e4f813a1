"""Where a frame is on the sky, without photometry: from a list of stars, a table, or the frame itself."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from astro_shared.contracts.solutions import SolutionCreate
from astro_shared.contracts.work import WorkView
from astro_shared.web import optional_idempotency_key, problem_responses
from gateway_service.api.dependencies import Factory, ReductionWriter
from gateway_service.api.schemas import started

router = APIRouter(prefix="/api/v1/solutions", tags=["astrometry"])
Key = Annotated[str | None, Depends(optional_idempotency_key)]


@router.post(
    "", status_code=202, summary="Find and refine the WCS of a list or frame", responses=problem_responses(404, 422)
)
async def create(
    body: SolutionCreate, user: ReductionWriter, factory: Factory, response: Response, key: Key
) -> WorkView:
    """One request per frame; a list of x, y, flux (0-based pixels) goes in the request itself and needs no pixels.

    The result is the astrometry report, with `solved`, the reasons and what to try; files are `wcs.fits`, `wcs_sip.fits`,
    positions, pairs and plots. The same Idempotency-Key gives the same solution again.
    """
    return started(await factory.start_solution(user.user_id)(body, key), response)
