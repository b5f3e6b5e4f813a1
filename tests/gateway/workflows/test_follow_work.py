"""One address for the work of all services."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from astro_shared.contracts.jobs import JobPhase, JobView
from astro_shared.errors import RelayedError
from gateway_service.domain.work import WorkId
from gateway_service.errors import WorkNotFoundError
from gateway_service.workflows.follow_work import FollowWork

JOB = str(UUID(int=7))


class Jobs:
    """One job of one kind."""

    def __init__(self, service: str, kind: str) -> None:
        self.service, self.kind = service, kind
        self.aborted: list[str] = []

    async def get(self, job_id: str) -> JobView:
        if job_id != JOB:
            raise RelayedError("There is no job.", code="job_not_found", status=404)
        return JobView(
            id=JOB, service=self.service, kind=self.kind, owner="ann", phase=JobPhase.QUEUED, attempt=0,
            created_at=datetime.now(UTC),
        )  # fmt: skip

    async def abort(self, job_id: str) -> JobView:
        self.aborted.append(job_id)
        return await self.get(job_id)


@pytest.mark.parametrize(
    ("service", "kind"), [("photometry", "master"), ("astrometry", "solution"), ("catalogs", "crossmatch")]
)
async def test_work_is_found_and_stopped_at_its_service(service: str, kind: str) -> None:
    services = {service: Jobs(service, kind)}
    follow = FollowWork(services.__getitem__)
    name = str(WorkId(service, JOB))
    assert (await follow.look(name)).kind == kind
    assert (await follow.abort(name)).id == JOB
    assert services[service].aborted == [JOB]


@pytest.mark.parametrize("kind", ["measure", "solve", "identify", "mirror_gaia"])
async def test_stages_and_the_jobs_of_administrators_are_no_work(kind: str) -> None:
    for service in ("photometry", "astrometry", "catalogs"):
        with pytest.raises(WorkNotFoundError):
            await FollowWork(lambda name: Jobs(name, kind)).look(f"{service}-{JOB}")


@pytest.mark.parametrize(
    "name", ["", JOB, "auth-" + JOB, "photometry", "photometry-1", "photometry-" + str(UUID(int=8))]
)
async def test_what_is_no_name_of_work_is_not_found(name: str) -> None:
    with pytest.raises(WorkNotFoundError, match="no work"):
        await FollowWork(lambda service: Jobs(service, "master")).look(name)
