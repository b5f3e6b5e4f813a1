"""What the workflows need from the world outside."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from astro_shared.contracts.gateway import StageName
from astro_shared.contracts.jobs import JobCreate, JobView
from gateway_service.domain.reductions import Reduction
from gateway_service.domain.uploads import Upload


class UploadStore(Protocol):
    async def add(self, upload: Upload) -> None: ...

    async def get(self, upload_id: str, owner: str) -> Upload:
        """Raises UploadNotFoundError, also for somebody else's."""
        ...

    async def complete(self, upload_id: str, sha256: str, size: int) -> Upload: ...


class ReductionStore(Protocol):
    async def add(self, reduction: Reduction, idempotency_key: str | None) -> Reduction:
        """Keep a new reduction, or return the one that the same owner made with the same key."""
        ...

    async def get(self, reduction_id: str, owner: str | None = None) -> Reduction: ...

    async def newest(self, owner: str, *, limit: int, before: tuple[str, str] | None) -> list[Reduction]:
        """Newest first; ``before`` is (creation time, id) of the last one seen."""
        ...

    async def request_abort(self, reduction_id: str, owner: str) -> Reduction: ...

    async def delete(self, reduction_id: str, owner: str) -> Reduction: ...

    async def wake(self, reduction_id: str) -> None:
        """Have a worker look at it now."""
        ...

    async def wake_by_job(self, job_id: str) -> None:
        """The same, by the job of one of its stages; unknown jobs are ignored."""
        ...

    async def claim_due(self, limit: int) -> list[str]:
        """Reductions that want a look, each given to one caller only, again after the sweep interval."""
        ...

    def locked(self, reduction_id: str) -> AbstractAsyncContextManager[LockedReduction]:
        """One reduction, held so that nobody else advances it."""
        ...


class LockedReduction(Protocol):
    reduction: Reduction

    async def save(self, reduction: Reduction) -> None: ...


class StageRunner(Protocol):
    """Starts and watches the job of a stage at the service that owns it."""

    async def start(self, stage: StageName, *, key: str, owner: str, request: Mapping[str, Any]) -> JobView: ...

    async def look(self, stage: StageName, *, job_id: str, owner: str) -> JobView: ...

    async def abort(self, stage: StageName, *, job_id: str, owner: str) -> JobView: ...


class ServiceJobs(Protocol):
    """Jobs of another service, on behalf of one user."""

    async def create(self, job: JobCreate) -> JobView: ...

    async def get(self, job_id: str) -> JobView: ...

    async def abort(self, job_id: str) -> JobView: ...


class UserSettings(Protocol):
    async def overrides(self, user: str) -> Mapping[str, Any]:
        """What the user saved, section by section; empty when nothing was."""
        ...
