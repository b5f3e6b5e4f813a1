"""What a plain list, a table or a frame becomes for the astrometry service."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from astro_shared.contracts.jobs import JobCreate, JobPhase, JobView
from astro_shared.contracts.solutions import SolutionCreate, SolutionRequest
from gateway_service.domain.uploads import Upload
from gateway_service.errors import SettingsInvalidError
from gateway_service.workflows.start_solution import StartSolution

STARS = {"x": [1.0, 2.0], "y": [3.0, 4.0], "flux": [5.0, 6.0]}
LIST = {"stars": STARS, "width_px": 100, "height_px": 80}


class Jobs:
    def __init__(self, kind="solution"):
        self.created: list[JobCreate] = []
        self.kind = kind

    async def create(self, job):
        self.created.append(job)
        return self.view()

    async def get(self, job_id):
        return self.view()

    def view(self):
        return JobView(
            id="j",
            service="astrometry",
            kind=self.kind,
            owner="ann",
            phase=JobPhase.QUEUED,
            attempt=0,
            created_at=datetime.now(UTC),
        )


class Files:
    async def upload(self, upload_id, owner):
        return Upload(
            upload_id, owner, f"uploads/{upload_id}", "sky.fits", 3, "frame", "0" * 64, True, datetime.now(UTC)
        )


class Saved:
    def __init__(self, **sections):
        self.sections = sections

    async def overrides(self, user):
        return self.sections


def start(jobs, **saved):
    return StartSolution("ann", Files(), Saved(**saved), jobs)


async def test_a_list_goes_inside_the_request_with_the_settings_of_the_user():
    jobs = Jobs()
    asked = SolutionCreate(**LIST, epoch_jyear=2020.5, settings={"solve": {"ra_deg": 10.0, "dec_deg": 5.0}})
    await start(jobs, solve={"limit_s": 7.0})(asked)
    request = SolutionRequest.model_validate(jobs.created[0].request)
    assert request.stars.x == (1.0, 2.0) and (request.width_px, request.height_px) == (100, 80)
    assert (request.solve.limit_s, request.solve.ra_deg, request.epoch_jyear) == (7.0, 10.0, 2020.5)


@pytest.mark.parametrize(
    ("asked", "field"),
    [({"frame_upload_id": "u"}, "frame"), ({"list_upload_id": "u", "width_px": 9, "height_px": 9}, "sources")],
)
async def test_uploads_become_references_under_their_own_names(asked, field):
    jobs = Jobs()
    await start(jobs)(SolutionCreate(**asked))
    request = SolutionRequest.model_validate(jobs.created[0].request)
    assert getattr(request, field).key == "uploads/u" and request.name == "sky.fits"


async def test_the_same_key_is_the_same_job_and_of_this_user_only():
    jobs = Jobs()
    for owner in ("ann", "ann", "bob"):
        await StartSolution(owner, Files(), Saved(), jobs)(SolutionCreate(**LIST), "key")
    first, second, third = (job.idempotency_key for job in jobs.created)
    assert first == second != third


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"stars": STARS},
        LIST | {"frame_upload_id": "u"},
        LIST | {"stars": STARS | {"x": [1.0]}},
        {"list_upload_id": "u"},
    ],
)
def test_what_is_no_one_input_is_refused(body):
    with pytest.raises(ValidationError):
        SolutionCreate(**body)


async def test_settings_that_are_none_are_named():
    with pytest.raises(SettingsInvalidError, match=r"solve\.limit_s"):
        await start(Jobs())(SolutionCreate(**LIST, settings={"solve": {"limit_s": -1}}))
