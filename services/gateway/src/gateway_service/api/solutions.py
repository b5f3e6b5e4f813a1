"""Where a frame is on the sky, without photometry: from a list of stars, a table, or the frame itself."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Response
from fastapi.responses import RedirectResponse

from astro_shared.contracts.solutions import SolutionCreate
from astro_shared.contracts.work import WorkView
from astro_shared.web import optional_idempotency_key, problem_responses
from gateway_service.api.dependencies import Factory, ReductionReader, ReductionWriter
from gateway_service.api.reductions import DOWNLOAD_LIFE_S
from gateway_service.api.work import work_view
from gateway_service.errors import ResultNotFoundError

PREFIX = "/api/v1/solutions"
router = APIRouter(prefix=PREFIX, tags=["astrometry"])
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
    job = await factory.start_solution(user.user_id)(body, key)
    response.headers["Location"] = f"{PREFIX}/{job.id}"
    return work_view(job, PREFIX)


@router.get("/{solution_id}", summary="A solution and how far it is", responses=problem_responses(404))
async def get(solution_id: UUID, user: ReductionReader, factory: Factory) -> WorkView:
    return work_view(await factory.start_solution(user.user_id).look(str(solution_id)), PREFIX)


@router.post("/{solution_id}:abort", summary="Stop a solution", responses=problem_responses(404))
async def abort(solution_id: UUID, user: ReductionWriter, factory: Factory) -> WorkView:
    """A finished one stays as it is."""
    return work_view(await factory.start_solution(user.user_id).abort(str(solution_id)), PREFIX)


@router.get(
    "/{solution_id}/files/{name:path}",
    status_code=307,
    summary="One file of a solution",
    response_class=RedirectResponse,
    responses=problem_responses(404),
)
async def file(solution_id: UUID, name: str, user: ReductionReader, factory: Factory) -> RedirectResponse:
    """Redirects to an address that is valid for five minutes and needs no token."""
    ref = (await factory.start_solution(user.user_id).look(str(solution_id))).files.get(name)
    if ref is None:
        raise ResultNotFoundError(f"The solution {solution_id} has no file {name}.")
    url = await factory.store.signed_url(
        ref.key, expires_s=DOWNLOAD_LIFE_S, filename=name.rsplit("/", 1)[-1], media_type=ref.media_type
    )
    return RedirectResponse(url, status_code=307)
