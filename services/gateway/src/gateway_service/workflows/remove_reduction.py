"""Remove a finished reduction and the files it left."""

from __future__ import annotations

from astro_shared.contracts.objects import ObjectRef
from astro_shared.errors import ConflictError
from astro_shared.storage.port import ObjectStore
from gateway_service.ports import ReductionStore


class RemoveReduction:
    def __init__(self, reductions: ReductionStore, store: ObjectStore) -> None:
        self._reductions = reductions
        self._store = store

    async def __call__(self, reduction_id: str, owner: str) -> None:
        """Raises ReductionNotFoundError where there is none, ConflictError while it runs."""
        if not (await self._reductions.get(reduction_id, owner)).final:
            raise ConflictError(f"The reduction {reduction_id} has not ended: abort it first.")
        removed = await self._reductions.delete(reduction_id, owner)
        for stage in removed.stages:
            for key in (*stage.superseded, *(ObjectRef.model_validate(ref).key for ref in stage.files.values())):
                await self._store.delete(key)
