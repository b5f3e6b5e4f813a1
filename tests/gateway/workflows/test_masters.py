"""Master frames travel from their uploads to the request of the measure stage."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from astro_shared.contracts.gateway import StageName
from astro_shared.contracts.jobs import JobPhase, JobView
from astro_shared.contracts.objects import ObjectRef
from astro_shared.contracts.photometry import MeasureRequest
from astro_shared.errors import RelayedError
from gateway_service.domain.reductions import Reduction
from gateway_service.domain.uploads import Upload
from gateway_service.domain.work import WorkId
from gateway_service.errors import MasterNotFinishedError, UploadIncompleteError, UploadNotFoundError
from gateway_service.workflows.create_reduction import CreateReduction
from gateway_service.workflows.find_file import FindFile
from gateway_service.workflows.follow_work import FollowWork
from gateway_service.workflows.stage_requests import stage_request


def upload(name: str) -> Upload:
    return Upload(
        id=name, owner="ann", key=f"uploads/ann/{name}", filename=f"{name}.fits", size=10, purpose="frame",
        sha256="0" * 64, complete=True, created_at=datetime.now(UTC),
    )  # fmt: skip


class Uploads:
    def __init__(self, *uploads: Upload) -> None:
        self.held = {item.id: item for item in uploads}

    async def get(self, upload_id: str, owner: str) -> Upload:
        if upload_id not in self.held:
            raise UploadNotFoundError(f"There is no upload {upload_id}.")
        return self.held[upload_id]


MADE, RUNNING, MEASURED, ABSENT = (str(uuid.UUID(int=number)) for number in range(4))


def work(job: str) -> str:
    return str(WorkId("photometry", job))


class Jobs:
    """Three jobs of ann: a finished master, one that runs, and a measure stage."""

    def __init__(self, owner: str) -> None:
        self.owner = owner

    async def get(self, job_id: str) -> JobView:
        held = {
            MADE: ("master", JobPhase.COMPLETED),
            RUNNING: ("master", JobPhase.EXECUTING),
            MEASURED: ("measure", JobPhase.COMPLETED),
        }
        if self.owner != "ann" or job_id not in held:
            raise RelayedError("There is no such job.", code="job_not_found", status=404)
        kind, phase = held[job_id]
        files = {"master.fits": ObjectRef(key="jobs/master.fits", sha256="0" * 64, size=3)}
        return JobView(
            id=job_id, service="photometry", kind=kind, owner="ann", phase=phase, attempt=1,
            created_at=datetime.now(UTC), files=files,
        )  # fmt: skip


class Reductions:
    async def add(self, reduction: Reduction, key: str | None) -> Reduction:
        return reduction


class Settings:
    async def overrides(self, owner: str) -> dict[str, Any]:
        return {}


def workflow(*uploads: Upload) -> CreateReduction:
    files = FindFile(Uploads(*uploads), lambda owner: FollowWork(lambda service: Jobs(owner)))  # type: ignore[arg-type]
    return CreateReduction(files, Reductions(), Settings())  # type: ignore[arg-type]


async def test_masters_reach_the_measure_stage_and_not_the_others() -> None:
    create = workflow(upload("frame"), upload("b"), upload("f"))
    reduction = await create("ann", "frame", settings={}, masters={"bias": "b", "dark": None, "flat": "f"})
    request = MeasureRequest.model_validate(stage_request(reduction, StageName.MEASURE))
    assert request.bias is not None and request.bias.key == "uploads/ann/b"
    assert request.flat is not None and request.flat.key == "uploads/ann/f"
    assert request.dark is None
    assert set(reduction.frame_reference) == set((await create("ann", "frame", settings={})).frame)


async def test_unfinished_master_is_refused() -> None:
    unfinished = replace(upload("b"), complete=False)
    with pytest.raises(UploadIncompleteError, match="upload b"):
        await workflow(upload("frame"), unfinished)("ann", "frame", settings={}, masters={"bias": "b"})


async def test_a_master_that_was_made_here_is_named_by_its_work() -> None:
    reduction = await workflow(upload("frame"))("ann", "frame", settings={}, masters={"bias": work(MADE)})
    assert reduction.masters["bias"]["key"] == "jobs/master.fits"


@pytest.mark.parametrize("file_id", [work(MEASURED), work(ABSENT), MADE, "nonsense/../1"])
async def test_other_work_is_no_master(file_id: str) -> None:
    with pytest.raises(UploadNotFoundError, match="no upload and no master"):
        await workflow(upload("frame"))("ann", "frame", settings={}, masters={"bias": file_id})


async def test_a_master_is_not_found_by_another_user() -> None:
    with pytest.raises(UploadNotFoundError):
        await workflow(upload("frame"))("bob", "frame", settings={}, masters={"bias": work(MADE)})


async def test_a_master_in_the_making_is_refused() -> None:
    with pytest.raises(MasterNotFinishedError, match="EXECUTING"):
        await workflow(upload("frame"))("ann", "frame", settings={}, masters={"flat": work(RUNNING)})
