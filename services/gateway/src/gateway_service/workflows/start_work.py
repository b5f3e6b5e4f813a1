"""Work besides reductions, as jobs of the photometry service."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from typing import Any

from astro_shared.contracts.jobs import JobCreate, JobView
from astro_shared.contracts.photometry import ForcedPosition
from astro_shared.errors import AlidadeError, NotFoundError
from gateway_service.errors import WorkNotFoundError
from gateway_service.ports import ReductionStore, ServiceJobs
from gateway_service.workflows.work_requests import forced_request

KINDS = frozenset({"forced"})
"""The kinds of jobs that a person may start and see; stages are seen through their reduction."""


class StartWork:
    """
    Parameters
    ----------
    owner : for whom all is done
    jobs : of the photometry service, on behalf of the owner
    """

    def __init__(self, owner: str, reductions: ReductionStore, jobs: ServiceJobs) -> None:
        self._owner = owner
        self._reductions = reductions
        self._jobs = jobs

    async def forced(
        self, reduction_id: str, positions: Sequence[ForcedPosition], idempotency_key: str | None = None
    ) -> JobView:
        """Fluxes at given positions of the frame of a finished reduction.

        Raises
        ------
        ReductionNotFoundError, ReductionNotFinishedError, ReductionUnfitError
        """
        reduction = await self._reductions.get(reduction_id, self._owner)
        return await self._start("forced", forced_request(reduction, positions), idempotency_key)

    async def look(self, work_id: str) -> JobView:
        """Raises WorkNotFoundError for what is no such work, also for somebody else's."""
        missing = WorkNotFoundError(f"There is no work {work_id}.")
        try:
            job = await self._jobs.get(work_id)
        except AlidadeError as error:
            raise (missing if error.status == NotFoundError.status else error) from None
        if job.kind not in KINDS:
            raise missing
        return job

    async def abort(self, work_id: str) -> JobView:
        """Stop it; what has ended stays as it is."""
        await self.look(work_id)
        return await self._jobs.abort(work_id)

    async def _start(self, kind: str, request: dict[str, Any], idempotency_key: str | None) -> JobView:
        text = f"{self._owner}:{idempotency_key or uuid.uuid4()}"
        key = f"{kind}:{hashlib.sha256(text.encode()).hexdigest()}"
        return await self._jobs.create(JobCreate(kind=kind, idempotency_key=key, request=request))
