"""Files that a request names: uploads, and masters that were made here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from astro_shared.contracts import products
from astro_shared.contracts.jobs import JobPhase
from astro_shared.contracts.objects import ObjectRef
from gateway_service.domain.uploads import Upload
from gateway_service.errors import (
    MasterNotFinishedError,
    UploadIncompleteError,
    UploadNotFoundError,
    WorkNotFoundError,
)
from gateway_service.ports import UploadStore
from gateway_service.workflows.follow_work import FollowWork


class FindFile:
    """
    Parameters
    ----------
    work_of : work of a user
    """

    def __init__(self, uploads: UploadStore, work_of: Callable[[str], FollowWork]) -> None:
        self._uploads = uploads
        self._work_of = work_of

    async def upload(self, upload_id: str, owner: str) -> Upload:
        """A completed upload.

        Raises
        ------
        UploadNotFoundError, UploadIncompleteError
        """
        upload = await self._uploads.get(upload_id, owner)
        if not upload.complete:
            raise UploadIncompleteError(f"The upload {upload_id} is not complete: send its bytes, then complete it.")
        return upload

    async def master(self, file_id: str, owner: str) -> dict[str, Any]:
        """A completed upload, or what finished master work made, as JSON of an `ObjectRef`.

        Raises
        ------
        UploadNotFoundError, UploadIncompleteError, MasterNotFinishedError
        """
        try:
            return reference(await self.upload(file_id, owner))
        except UploadNotFoundError:
            made = await self._made(file_id, owner)
        if made is None:
            raise UploadNotFoundError(f"There is no upload and no master {file_id}.")
        return made.model_dump()

    async def _made(self, work_id: str, owner: str) -> ObjectRef | None:
        try:
            job = await self._work_of(owner).look(work_id)
        except WorkNotFoundError:
            return None
        if job.kind != "master":
            return None
        if job.phase is not JobPhase.COMPLETED:
            raise MasterNotFinishedError(f"The master {work_id} is {job.phase}: it can be used when it is COMPLETED.")
        return job.files[products.MASTER]


def reference(upload: Upload) -> dict[str, Any]:
    """JSON of the `ObjectRef` of a completed upload."""
    ref = ObjectRef(key=upload.key, sha256=upload.sha256 or "", size=upload.size, media_type="application/fits")
    return ref.model_dump()
