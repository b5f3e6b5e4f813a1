"""Frames that hold a position, with the reduction or solution that each came from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from astro_shared.contracts.frames import FrameFootprint, FrameView

__all__ = ["FindFrames"]


class Sky(Protocol):
    """The astrometry service."""

    async def frames_at(self, user: str, ra_deg: float, dec_deg: float) -> list[FrameFootprint]: ...


class ReductionsByJob(Protocol):
    """Where reductions are kept."""

    async def ids_by_job(self, owner: str, job_ids: Collection[str]) -> Mapping[str, str]:
        """Reduction by the job of one of its stages."""
        ...


class FindFrames:
    def __init__(self, sky: Sky, reductions: ReductionsByJob) -> None:
        self._sky, self._reductions = sky, reductions

    async def __call__(self, owner: str, ra_deg: float, dec_deg: float) -> list[FrameView]:
        """Newest first; frames of reductions that were removed are left out."""
        found = await self._sky.frames_at(owner, ra_deg, dec_deg)
        known = await self._reductions.ids_by_job(owner, [frame.job_id for frame in found])
        views = []
        for frame in found:
            alone = frame.kind == "solution"
            if alone or frame.job_id in known:
                shared = frame.model_dump(exclude={"job_id", "kind"})
                ids = {"solution_id": frame.job_id} if alone else {"reduction_id": known[frame.job_id]}
                views.append(FrameView(**shared, **ids))
        return views
