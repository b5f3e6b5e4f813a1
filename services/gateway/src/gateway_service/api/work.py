"""Work besides reductions: start what builds on frames, look at any of it, fetch what it made."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi.responses import RedirectResponse

from astro_shared.contracts.work import ExtinctionCreate, ForcedCreate, MasterCreate, WorkView
from astro_shared.web import optional_idempotency_key, problem_responses
from gateway_service.api.dependencies import Factory, ReductionReader, ReductionWriter
from gateway_service.api.reductions import DOWNLOAD_LIFE_S
from gateway_service.api.schemas import started, work_view
from gateway_service.errors import ResultNotFoundError

router = APIRouter(prefix="/api/v1", tags=["work"])
Key = Annotated[str | None, Depends(optional_idempotency_key)]


@router.post(
    "/reductions/{reduction_id}/forced",
    status_code=202,
    summary="Fluxes at given positions of a reduced frame, with upper limits",
    responses=problem_responses(404, 409, 422),
)
async def forced(
    reduction_id: str, body: ForcedCreate, user: ReductionWriter, factory: Factory, response: Response, key: Key
) -> WorkView:
    """Signed PSF fluxes, whether something was detected there or not; the result is `forced.json` and `forced.csv`.

    The reduction must have ended and have a PSF. Positions on the sky need its astrometric solution; magnitudes need its
    zero point and hold for stars of the reference colour. The same Idempotency-Key gives the same work again.
    """
    return started(await factory.start_work(user.user_id).forced(reduction_id, body.positions, key), response)


@router.post(
    "/masters",
    status_code=202,
    summary="A master bias, dark or flat from raw frames",
    responses=problem_responses(404, 409, 422),
)
async def master(body: MasterCreate, user: ReductionWriter, factory: Factory, response: Response, key: Key) -> WorkView:
    """Clipped mean with the variance of every pixel, as `master.fits`.

    The id of the work can be given as `bias_upload_id`, `dark_upload_id` or `flat_upload_id` of a reduction, and as
    `bias_id` or `dark_id` of further masters. The same Idempotency-Key gives the same work again.
    """
    return started(await factory.start_work(user.user_id).master(body, key), response)


@router.post(
    "/extinction",
    status_code=202,
    summary="Extinction of a night from its calibrated reductions",
    responses=problem_responses(404, 409, 422),
)
async def extinction(
    body: ExtinctionCreate, user: ReductionWriter, factory: Factory, response: Response, key: Key
) -> WorkView:
    """First and second order with errors, and the zero point of every frame, from frames of one band.

    Makes `extinction.json`, `extinction.csv` and `plots/extinction.png`. The same Idempotency-Key gives the same work again.
    """
    return started(await factory.start_work(user.user_id).extinction(body, key), response)


@router.get("/work/{work_id}", summary="A piece of work and how far it is", responses=problem_responses(404))
async def get(work_id: str, user: ReductionReader, factory: Factory) -> WorkView:
    return work_view(await factory.follow_work(user.user_id).look(work_id))


@router.post("/work/{work_id}:abort", summary="Stop a piece of work", responses=problem_responses(404))
async def abort(work_id: str, user: ReductionWriter, factory: Factory) -> WorkView:
    """Finished work stays as it is."""
    return work_view(await factory.follow_work(user.user_id).abort(work_id))


@router.get(
    "/work/{work_id}/files/{name:path}",
    status_code=307,
    summary="One file that it made",
    response_class=RedirectResponse,
    responses=problem_responses(404),
)
async def file(work_id: str, name: str, user: ReductionReader, factory: Factory) -> RedirectResponse:
    """Redirects to an address that is valid for five minutes and needs no token."""
    ref = (await factory.follow_work(user.user_id).look(work_id)).files.get(name)
    if ref is None:
        raise ResultNotFoundError(f"The work {work_id} has no file {name}.")
    url = await factory.store.signed_url(
        ref.key, expires_s=DOWNLOAD_LIFE_S, filename=name.rsplit("/", 1)[-1], media_type=ref.media_type
    )
    return RedirectResponse(url, status_code=307)
