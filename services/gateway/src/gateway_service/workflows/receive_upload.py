"""Announce, receive and complete an upload."""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from datetime import UTC, datetime

from astro_shared.storage.errors import ObjectMissingError
from astro_shared.storage.port import ObjectStore
from gateway_service.domain.uploads import Upload, clean_filename
from gateway_service.errors import UploadIncompleteError, UploadMismatchError
from gateway_service.ports import UploadStore

REFUSED_FORMATS = {
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"PK\x03\x04": "zip",
    b"\x1f\x9d": "compress (.Z)",
    b"\x28\xb5\x2f\xfd": "zstd",
}
FRAME_MAGIC = (b"SIMPLE", b"\x1f\x8b")


class ReceiveUpload:
    def __init__(self, uploads: UploadStore, store: ObjectStore, *, max_bytes: int) -> None:
        self._uploads = uploads
        self._store = store
        self._max_bytes = max_bytes

    async def announce(self, owner: str, *, filename: str, size: int, purpose: str, sha256: str | None) -> Upload:
        """Reserve a place; raises UploadMismatchError where the file is larger than is taken."""
        if size > self._max_bytes:
            raise UploadMismatchError(
                f"The file has {size} bytes; at most {self._max_bytes} are taken.", size=size, max_bytes=self._max_bytes
            )
        upload_id = str(uuid.uuid4())
        upload = Upload(
            id=upload_id,
            owner=owner,
            key=f"uploads/{owner}/{upload_id}",
            filename=clean_filename(filename),
            size=size,
            purpose=purpose,
            sha256=sha256,
            complete=False,
            created_at=datetime.now(UTC),
        )
        await self._uploads.add(upload)
        return upload

    async def complete(self, upload_id: str, owner: str) -> Upload:
        """Check size, hash and first bytes of what arrived.

        Raises
        ------
        UploadIncompleteError
            Nothing arrived yet.
        UploadMismatchError
            Size or SHA-256 are not those announced, or a frame is no FITS file.
        """
        upload = await self._uploads.get(upload_id, owner)
        if upload.complete:
            return upload
        digest, size, head = hashlib.sha256(), 0, b""
        with contextlib.suppress(ObjectMissingError):
            async for chunk in self._store.open(upload.key):
                digest.update(chunk)
                size += len(chunk)
                head = head or bytes(chunk[:16])
        if size == 0:
            raise UploadIncompleteError(f"Nothing has arrived for the upload {upload_id}.")
        if size != upload.size:
            raise UploadMismatchError(
                f"{upload.size} bytes were announced, {size} arrived.", announced=upload.size, got=size
            )
        if upload.sha256 is not None and digest.hexdigest() != upload.sha256:
            raise UploadMismatchError("The SHA-256 of what arrived is not the one that was announced.")
        if upload.purpose == "frame":
            check_frame_magic(head, upload.filename)
        return await self._uploads.complete(upload_id, digest.hexdigest(), size)


def check_frame_magic(head: bytes, filename: str) -> None:
    """Refuse what is no FITS file by its first bytes; raises UploadMismatchError with what to do."""
    for magic, name in REFUSED_FORMATS.items():
        if head.startswith(magic):
            raise UploadMismatchError(
                f"{filename} is packed with {name}: unpack it first, or pack it with gzip or fpack."
            )
    if not head.startswith(FRAME_MAGIC):
        raise UploadMismatchError(f"{filename} is not a FITS file: it does not begin with 'SIMPLE  ='.")
