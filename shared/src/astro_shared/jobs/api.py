"""The internal HTTP of a service's jobs, the same for all services."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends, Header, Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from astro_shared.contracts.jobs import JobCreate, JobView
from astro_shared.jobs.job_types import JobType, job_type_named
from astro_shared.jobs.ledger.rows import JobLedger

_POLL_S = 0.25
_HEARTBEAT_S = 15
_STREAM_LIMIT_S = 3600.0
_EVENTS_AT_ONCE = 500


class JobPrincipal(Protocol):
    """What the router needs to know of a caller."""

    @property
    def subject(self) -> str:
        """Who calls: a user id, or ``svc:<name>``."""
        ...

    @property
    def user(self) -> str | None:
        """The user for whom the call is made, if any."""
        ...


def jobs_router(
    ledger: JobLedger, job_types: Sequence[JobType], principal: Callable[..., Any], *, poll_s: float = _POLL_S
) -> APIRouter:
    """Make the routes ``/v1/jobs`` of a service.

    Parameters
    ----------
    ledger
        Jobs of the service.
    job_types
        What it offers.
    principal
        FastAPI dependency that returns a `JobPrincipal` and refuses everyone who may not use internal routes. A
        caller that acts for a user sees that user's jobs, one that acts for itself sees all.
    """
    router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
    caller_of = Depends(principal)

    @router.post(
        "",
        operation_id="jobs_create",
        summary="Create a job",
        description="The same idempotency key with the same request gives the same job (200), with another one 409.",
        status_code=201,
        responses={200: {"model": JobView, "description": "The job that this key made before"}},
    )
    async def create(body: JobCreate, response: Response, caller: Any = caller_of) -> JobView:
        job_type_named(job_types, body.kind).parse(body.request)
        job, new = await ledger.create(
            kind=body.kind,
            owner=caller.user or caller.subject,
            request=body.request,
            idempotency_key=body.idempotency_key,
            callback_url=body.callback_url,
        )
        response.status_code = 201 if new else 200
        response.headers["Location"] = f"/v1/jobs/{job.id}"
        return job

    @router.get("/{job_id}", operation_id="jobs_get", summary="Read a job")
    async def get(job_id: str, caller: Any = caller_of) -> JobView:
        return await ledger.get(job_id, owner=caller.user)

    @router.post("/{job_id}:abort", operation_id="jobs_abort", summary="End a job that has not ended")
    async def abort(job_id: str, caller: Any = caller_of) -> JobView:
        return await ledger.abort(job_id, owner=caller.user)

    @router.get(
        "/{job_id}/events",
        operation_id="jobs_events",
        summary="Follow a job (server-sent events)",
        description="Events `phase` and `progress` with ids; resumes after `Last-Event-ID`; ends with event `end`, "
        "whose data is the job.",
        response_class=EventSourceResponse,
        responses={200: {"content": {"text/event-stream": {}}}},
    )
    async def events(
        job_id: str, last_event_id: Annotated[int | None, Header(ge=0)] = None, caller: Any = caller_of
    ) -> EventSourceResponse:
        await ledger.get(job_id, owner=caller.user)
        return EventSourceResponse(
            _follow(ledger, job_id, last_event_id or 0, poll_s),
            ping=_HEARTBEAT_S,
            headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )

    return router


async def _follow(ledger: JobLedger, job_id: str, after: int, poll_s: float) -> AsyncIterator[ServerSentEvent]:
    """Yield the history of a job until it ends. The job is read before its events, so that none is missed."""
    deadline = time.monotonic() + _STREAM_LIMIT_S
    while time.monotonic() < deadline:
        job = await ledger.get(job_id)
        news = await ledger.events(job_id, after=after, limit=_EVENTS_AT_ONCE)
        for event in news:
            after = event.id
            yield ServerSentEvent(id=str(event.id), event=event.type, data=event.model_dump_json())
        if len(news) == _EVENTS_AT_ONCE:
            continue
        if job.is_final:
            yield ServerSentEvent(event="end", data=job.model_dump_json())
            return
        await asyncio.sleep(poll_s)
