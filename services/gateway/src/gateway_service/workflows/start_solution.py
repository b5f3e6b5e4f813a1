"""Where a frame is on the sky, as a job of the astrometry service: one request, and for a list no pixels."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

from astro_shared.contracts.jobs import JobCreate, JobView
from astro_shared.contracts.solutions import SolutionCreate
from gateway_service.ports import ServiceJobs, UserSettings
from gateway_service.workflows.create_reduction import resolved_settings
from gateway_service.workflows.find_file import FindFile, reference

KIND = "solution"
_SECTIONS = ("input", "solve", "astrometry", "reference", "products")


class StartSolution:
    """
    Parameters
    ----------
    owner : for whom all is done
    jobs : of the astrometry service, on behalf of the owner
    """

    def __init__(self, owner: str, files: FindFile, user_settings: UserSettings, jobs: ServiceJobs) -> None:
        self._owner, self._files, self._user_settings, self._jobs = owner, files, user_settings, jobs

    async def __call__(self, asked: SolutionCreate, idempotency_key: str | None = None) -> JobView:
        """Begin.

        Raises
        ------
        UploadNotFoundError, UploadIncompleteError, SettingsInvalidError
        """
        settings = resolved_settings(await self._user_settings.overrides(self._owner), asked.settings).model_dump(
            mode="json"
        )
        request: dict[str, Any] = {
            **asked.model_dump(mode="json", include={"stars", "width_px", "height_px", "epoch_jyear", "name"}),
            **{section: settings[section] for section in _SECTIONS},
        }
        for field, upload_id in (("sources", asked.list_upload_id), ("frame", asked.frame_upload_id)):
            if upload_id is not None:
                upload = await self._files.upload(upload_id, self._owner)
                request |= {field: reference(upload), "name": upload.filename}
        mark = hashlib.sha256(f"{self._owner}:{idempotency_key or uuid.uuid4()}".encode()).hexdigest()
        return await self._jobs.create(JobCreate(kind=KIND, idempotency_key=f"{KIND}:{mark}", request=request))
