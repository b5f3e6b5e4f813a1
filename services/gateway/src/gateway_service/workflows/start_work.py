"""Work besides reductions, as jobs of the photometry service."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from typing import Any

from astro_shared.contracts.jobs import JobCreate, JobView
from astro_shared.contracts.photometry import ForcedPosition
from astro_shared.contracts.work import ExtinctionCreate, MasterCreate
from gateway_service.ports import ReductionStore, ServiceJobs
from gateway_service.workflows.find_file import FindFile, reference
from gateway_service.workflows.work_requests import extinction_request, forced_request


class StartWork:
    """
    Parameters
    ----------
    owner : for whom all is done
    jobs : of the photometry service, on behalf of the owner
    """

    def __init__(self, owner: str, files: FindFile, reductions: ReductionStore, jobs: ServiceJobs) -> None:
        self._owner = owner
        self._files = files
        self._reductions = reductions
        self._jobs = jobs

    async def forced(
        self, reduction_id: str, positions: Sequence[ForcedPosition], idempotency_key: str | None = None
    ) -> JobView:
        """Fluxes at given positions of the frame of a finished reduction.

        Raises
        ------
        ReductionNotFoundError, ReductionNotFinishedError, ReductionUnfitError
        """
        reduction = await self._reductions.get(reduction_id, self._owner)
        return await self._start("forced", forced_request(reduction, positions), idempotency_key)

    async def master(self, asked: MasterCreate, idempotency_key: str | None = None) -> JobView:
        """A master bias, dark or flat from raw frames.

        Raises
        ------
        UploadNotFoundError, UploadIncompleteError, MasterNotFinishedError
        """
        uploads = [await self._files.upload(upload_id, self._owner) for upload_id in asked.upload_ids]
        request: dict[str, Any] = {
            "frames": [reference(upload) for upload in uploads],
            "frame_names": [upload.filename for upload in uploads],
            **asked.model_dump(mode="json", include={"kind", "clip_sigma", "input"}),
        }
        for kind, file_id in (("bias", asked.bias_id), ("dark", asked.dark_id)):
            if file_id is not None:
                request[kind] = await self._files.master(file_id, self._owner)
        return await self._start("master", request, idempotency_key)

    async def extinction(self, asked: ExtinctionCreate, idempotency_key: str | None = None) -> JobView:
        """Extinction of a night from its calibrated reductions.

        Raises
        ------
        ReductionNotFoundError, ReductionNotFinishedError, ReductionUnfitError
        """
        reductions = [await self._reductions.get(reduction_id, self._owner) for reduction_id in asked.reduction_ids]
        return await self._start("extinction", extinction_request(reductions, asked), idempotency_key)

    async def _start(self, kind: str, request: dict[str, Any], idempotency_key: str | None) -> JobView:
        text = f"{self._owner}:{idempotency_key or uuid.uuid4()}"
        key = f"{kind}:{hashlib.sha256(text.encode()).hexdigest()}"
        return await self._jobs.create(JobCreate(kind=kind, idempotency_key=key, request=request))
