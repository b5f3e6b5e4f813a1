"""What a finished reduction gives to the work that builds on it, and what it must have."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from astro_shared.contracts.gateway import ReductionPhase, StageName, StageState
from astro_shared.contracts.jobs import JobCreate, JobPhase, JobView
from astro_shared.contracts.photometry import ForcedPosition, ForcedRequest, ZeroPointTerms
from astro_shared.errors import RelayedError
from gateway_service.domain.reductions import Reduction, Stage
from gateway_service.errors import ReductionNotFinishedError, ReductionUnfitError
from gateway_service.workflows.start_work import StartWork
from gateway_service.workflows.work_requests import forced_request, zero_point_of_frame

TERMS = {"coefficients": [25.0, 0.1, 0.0], "covariance": [[1e-4, 0, 0], [0, 1, 0], [0, 0, 1]], "spatial_order": 1}
PIXEL, SKY = ForcedPosition(x=10.0, y=20.0), ForcedPosition(ra_deg=150.0, dec_deg=2.0)


def reference(name: str) -> dict[str, Any]:
    return {"key": f"jobs/{name}", "sha256": "0" * 64, "size": 3, "media_type": "application/fits"}


def finished(
    plain: Reduction,
    *,
    solved: bool = True,
    files: tuple[str, ...] = ("psf.fits", "sources.fits"),
    told: dict[str, Any] | None = None,
) -> Reduction:
    def ended(stage: Stage) -> Stage:
        if stage.name is StageName.MEASURE:
            return replace(stage, state=StageState.DONE, files={name: reference(name) for name in files})
        if stage.name is StageName.SOLVE:
            files_of = {"wcs.fits": reference("wcs.fits")} if solved else {}
            return replace(stage, state=StageState.DONE, files=files_of)
        if stage.name is StageName.CALIBRATE:
            report = {"value": 25.0, "airmass": 2.0, "terms": TERMS, **(told or {})}
            return replace(stage, state=StageState.DONE, result={"zero_point": report})
        return replace(stage, state=StageState.DONE)

    return replace(plain, phase=ReductionPhase.COMPLETED, stages=tuple(map(ended, plain.stages)))


class Reductions:
    def __init__(self, held: Reduction) -> None:
        self.held = held

    async def get(self, reduction_id: str, owner: str | None = None) -> Reduction:
        return self.held


class Jobs:
    """Keeps what was created; answers for one job."""

    def __init__(self, kind: str = "forced") -> None:
        self.created: list[JobCreate] = []
        self.kind = kind

    async def create(self, job: JobCreate) -> JobView:
        self.created.append(job)
        return await self.get("1")

    async def get(self, job_id: str) -> JobView:
        if job_id != "1":
            raise RelayedError("There is no job.", code="job_not_found", status=404)
        return JobView(
            id="1", service="photometry", kind=self.kind, owner="ann", phase=JobPhase.QUEUED, attempt=0,
            created_at=datetime.now(UTC),
        )  # fmt: skip

    async def abort(self, job_id: str) -> JobView:
        raise AssertionError("nothing is to be aborted")


def work(reduction: Reduction, jobs: Jobs) -> StartWork:
    return StartWork("ann", None, Reductions(reduction), jobs)  # type: ignore[arg-type]


def test_the_request_holds_what_the_reduction_used(make_reduction: Any) -> None:
    plain = finished(make_reduction(frame={**reference("sky"), "masters": {"flat": reference("flat")}}))
    settings = {**plain.settings, "cosmic_rays": {**plain.settings["cosmic_rays"], "enabled": "off"}}
    request = ForcedRequest.model_validate(forced_request(replace(plain, settings=settings), [SKY, PIXEL]))
    assert request.flat is not None and request.flat.key == "jobs/flat"
    assert request.cosmic_rays.enabled == "off"
    assert request.wcs is not None and request.sources is not None
    assert request.zero_point == ZeroPointTerms.model_validate(TERMS)
    assert request.extinction_mag == 0


@pytest.mark.parametrize(
    ("changes", "told", "extinction_mag"),
    [
        ({}, {}, 0.0),
        ({"extinction": "fixed", "extinction_mag": 0.3}, {"extinction": "fixed"}, 0.6),
        ({"extinction": "fixed", "extinction_mag": 0.3}, {"extinction": "absorbed"}, 0.0),
        ({"mode": "classic", "extinction_mag": 0.1}, {"extinction": "fixed"}, 0.2),
        ({"mode": "classic", "extinction_mag": 0.1}, {"extinction": "absorbed"}, 0.0),
    ],
)
def test_a_zero_point_above_the_atmosphere_goes_with_its_extinction(
    make_reduction: Any, changes: dict, told: dict, extinction_mag: float
) -> None:
    plain = finished(make_reduction(), told=told)
    settings = {**plain.settings, "zero_point": {**plain.settings["zero_point"], **changes}}
    request = zero_point_of_frame(replace(plain, settings=settings))
    assert request["extinction_mag"] == pytest.approx(extinction_mag)
    assert "extinction_per_airmass_mag" not in request


def test_places_have_airmasses_of_their_own_where_the_stars_had(make_reduction: Any) -> None:
    plain = finished(make_reduction(), told={"extinction": "fixed", "differential_extinction": True})
    request = zero_point_of_frame(plain)
    assert request["extinction_per_airmass_mag"] == plain.settings["zero_point"]["extinction_mag"]
    assert request["airmass"] == 2.0
    assert request["airmass_formula"] == plain.settings["zero_point"]["airmass_formula"]


def test_a_frame_that_was_not_calibrated_has_no_zero_point(make_reduction: Any) -> None:
    assert zero_point_of_frame(make_reduction()) == {}


def test_what_is_missing_is_named(make_reduction: Any) -> None:
    with pytest.raises(ReductionNotFinishedError, match="QUEUED: wait"):
        forced_request(make_reduction(), [PIXEL])
    with pytest.raises(ReductionUnfitError, match="no PSF"):
        forced_request(finished(make_reduction(), files=()), [PIXEL])
    unsolved = finished(make_reduction(), solved=False)
    with pytest.raises(ReductionUnfitError, match="1 positions are on the sky"):
        forced_request(unsolved, [SKY, PIXEL])
    assert forced_request(unsolved, [PIXEL])["wcs"] is None


async def test_one_idempotency_key_is_one_job_and_none_is_a_new_one_each_time(make_reduction: Any) -> None:
    jobs, reduction = Jobs(), finished(make_reduction())
    for key in ("key-of-mine", "key-of-mine", None, None):
        await work(reduction, jobs).forced(reduction.id, [PIXEL], key)
    keys = [job.idempotency_key for job in jobs.created]
    assert keys[0] == keys[1] and len(set(keys)) == 3
