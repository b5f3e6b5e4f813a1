"""Open a finished reduction again for the catalogues that did not answer."""

from __future__ import annotations

from dataclasses import replace

from astro_shared.contracts.gateway import ReductionPhase, StageName
from astro_shared.errors import ConflictError
from gateway_service.domain.reductions import Reduction, again, lacks_identifications
from gateway_service.ports import ReductionStore

_REPEATED = (StageName.IDENTIFY, StageName.COLLECT)


class CompleteIdentification:
    def __init__(self, reductions: ReductionStore) -> None:
        self._reductions = reductions

    async def __call__(self, reduction_id: str, owner: str) -> Reduction:
        """Have ``identify`` and ``collect`` done once more.

        Raises
        ------
        ReductionNotFoundError
            There is none of that owner.
        ConflictError
            It has not ended well, its sources were never looked up, or every catalogue answered.
        """
        await self._reductions.get(reduction_id, owner)
        async with self._reductions.locked(reduction_id) as held:
            reduction = held.reduction
            if reduction.phase is not ReductionPhase.COMPLETED:
                raise ConflictError(f"The reduction {reduction_id} is {reduction.phase}, not COMPLETED.")
            if not lacks_identifications(reduction):
                raise ConflictError("There is no catalogue left to ask: none of them failed.")
            stages = tuple(again(stage) if stage.name in _REPEATED else stage for stage in reduction.stages)
            opened = replace(reduction, stages=stages, phase=ReductionPhase.EXECUTING, ended_at=None)
            await held.save(opened)
        await self._reductions.wake(reduction_id)
        return opened
