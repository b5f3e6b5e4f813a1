"""Frames that hold a position carry the id of what they came from."""

from dataclasses import replace
from datetime import UTC, datetime

from astro_shared.contracts.frames import FrameFootprint
from astro_shared.contracts.gateway import StageName, StageState
from gateway_service.adapters.reduction_store import PostgresReductionStore
from gateway_service.workflows.find_frames import FindFrames


def footprint(job_id, kind="solve"):
    return FrameFootprint(
        job_id=job_id, kind=kind, frame_name=f"{job_id}.fits", scale_arcsec_px=1.0, outline_deg=((0.0, 0.0),),
        created_at=datetime.now(UTC),
    )  # fmt: skip


def solved_by(reduction, job_id):
    """The reduction, with its stage ``solve`` done by a job."""
    stages = tuple(
        replace(s, state=StageState.DONE, job_id=job_id) if s.name is StageName.SOLVE else s for s in reduction.stages
    )
    return replace(reduction, stages=stages)


class Sky:
    def __init__(self, *found):
        self.found = found

    async def frames_at(self, user, ra_deg, dec_deg):
        return list(self.found)


async def test_reductions_and_solutions_are_named_and_removed_reductions_left_out(engine, make_reduction):
    store = PostgresReductionStore(engine)
    reduction = solved_by(make_reduction(), "j1")
    other = solved_by(make_reduction(owner="bob"), "j2")
    for kept in (reduction, other):
        await store.add(kept, None)
    sky = Sky(footprint("j1"), footprint("j2"), footprint("gone"), footprint("s1", "solution"))
    found = await FindFrames(sky, store)("ann", 10.0, 20.0)
    assert [(view.reduction_id, view.solution_id) for view in found] == [(reduction.id, None), (None, "s1")]
    assert await FindFrames(Sky(), store)("ann", 10.0, 20.0) == []
