"""See how far a piece of work is, and stop it."""

from __future__ import annotations

from collections.abc import Callable

from astro_shared.contracts.jobs import JobView
from astro_shared.errors import AlidadeError, NotFoundError
from gateway_service.domain.work import WORK_KINDS, WorkId
from gateway_service.errors import WorkNotFoundError
from gateway_service.ports import ServiceJobs


class FollowWork:
    """
    Parameters
    ----------
    jobs_of : jobs of a service by its name, on behalf of the one who asks
    """

    def __init__(self, jobs_of: Callable[[str], ServiceJobs]) -> None:
        self._jobs_of = jobs_of

    async def look(self, work_id: str) -> JobView:
        """Raises WorkNotFoundError for what is no such work, also for somebody else's."""
        missing = WorkNotFoundError(f"There is no work {work_id}.")
        found = WorkId.parse(work_id)
        if found is None:
            raise missing
        try:
            job = await self._jobs_of(found.service).get(found.job)
        except AlidadeError as error:
            raise (missing if error.status == NotFoundError.status else error) from None
        if job.kind not in WORK_KINDS[found.service]:
            raise missing
        return job

    async def abort(self, work_id: str) -> JobView:
        """Stop it; what has ended stays as it is."""
        job = await self.look(work_id)
        return await self._jobs_of(job.service).abort(job.id)
