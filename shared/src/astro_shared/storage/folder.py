"""Objects as files below one folder: the store of a laptop, and of a cluster with a shared file system."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Literal

from astro_shared.contracts.objects import ObjectRef
from astro_shared.storage.errors import (
    ObjectMissingError,
    ObjectTooLargeError,
    StorageCorruptError,
    StorageFullError,
    StorageUnavailableError,
)
from astro_shared.storage.port import CHUNK_BYTES, OCTETS, ObjectStat, UploadForm, checked_key, checked_prefix
from astro_shared.storage.signing import SignedAccess, sign_url

_PARTS = ".parts"


class FolderStore:
    """An `ObjectStore` in a folder.

    Content is written beside, flushed to disk and renamed, so that a key never shows half an object, not even after
    a power cut. Files whose name begins with a dot are the store's own.

    Parameters
    ----------
    root
        Made if missing.
    url_secret
        Key of the signed addresses; the gateway verifies them with `astro_shared.storage.signing.verify_signed_url`.
    public_url
        Address under which the gateway serves the folder, ``https://host/storage``.
    """

    def __init__(self, root: Path, *, url_secret: str, public_url: str) -> None:
        self._root = root
        self._url_secret = url_secret
        self._public_url = public_url

    async def put_file(self, key: str, path: Path, media_type: str = OCTETS) -> ObjectRef:
        return await asyncio.to_thread(self._put_file, checked_key(key), path, media_type)

    async def put_stream(
        self, key: str, chunks: AsyncIterator[bytes], media_type: str = OCTETS, *, max_bytes: int | None = None
    ) -> ObjectRef:
        checked_key(key)
        part = await asyncio.to_thread(self._new_part)
        digest, size = hashlib.sha256(), 0
        try:
            with _working(key), part.open("wb") as file:
                async for chunk in chunks:
                    size += len(chunk)
                    if max_bytes is not None and size > max_bytes:
                        raise ObjectTooLargeError(f"more than the {max_bytes} bytes allowed", max_bytes=max_bytes)
                    digest.update(chunk)
                    await asyncio.to_thread(file.write, chunk)
                await asyncio.to_thread(self._publish, file, part, key)
        finally:
            part.unlink(missing_ok=True)
        return ObjectRef(key=key, sha256=digest.hexdigest(), size=size, media_type=media_type)

    async def get_to_path(self, ref: ObjectRef, path: Path) -> None:
        await asyncio.to_thread(self._get_to_path, ref, path)

    async def open(self, key: str, *, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        path = self.path_of(key)
        left = length
        with _reading(key), await asyncio.to_thread(path.open, "rb") as file:
            file.seek(offset)
            while left is None or left > 0:
                wanted = CHUNK_BYTES if left is None else min(CHUNK_BYTES, left)
                chunk = await asyncio.to_thread(file.read, wanted)
                if not chunk:
                    return
                left = None if left is None else left - len(chunk)
                yield chunk

    async def stat(self, key: str) -> ObjectStat:
        return await asyncio.to_thread(self._stat, checked_key(key))

    async def list(self, prefix: str) -> AsyncIterator[ObjectStat]:
        for stat in await asyncio.to_thread(_listed, self._root, checked_prefix(prefix)):
            yield stat

    async def delete(self, key: str) -> None:
        with contextlib.suppress(ObjectMissingError), _reading(key):
            await asyncio.to_thread(self.path_of(key).unlink, missing_ok=True)

    async def signed_url(
        self,
        key: str,
        *,
        method: Literal["GET", "PUT"] = "GET",
        expires_s: int = 300,
        filename: str | None = None,
        media_type: str | None = None,
        max_bytes: int | None = None,
    ) -> str:
        access = SignedAccess(checked_key(key), method, filename, media_type or OCTETS, max_bytes)
        return sign_url(self._public_url, self._url_secret, access, expires_s=expires_s)

    async def upload_form(self, key: str, *, max_bytes: int, expires_s: int = 300) -> UploadForm | None:
        checked_key(key)
        return None

    async def prepare(self) -> None:
        await self.check()

    async def check(self) -> None:
        part = await asyncio.to_thread(self._new_part)
        with _working("check"):
            await asyncio.to_thread(part.write_bytes, b"ok")
            await asyncio.to_thread(part.unlink, missing_ok=True)

    def path_of(self, key: str) -> Path:
        """Place of an object on disk, for a server that sends files by path."""
        return self._root.joinpath(*checked_key(key).split("/"))

    def _put_file(self, key: str, path: Path, media_type: str) -> ObjectRef:
        part = self._new_part()
        try:
            with path.open("rb") as source, _working(key), part.open("wb") as target:
                digest, size = _copy(source, target)
                self._publish(target, part, key)
        finally:
            part.unlink(missing_ok=True)
        return ObjectRef(key=key, sha256=digest, size=size, media_type=media_type)

    def _get_to_path(self, ref: ObjectRef, path: Path) -> None:
        with _reading(ref.key):
            source = self.path_of(ref.key).open("rb")
        with source, _working(ref.key), path.open("xb") as target:
            try:
                digest, size = _copy(source, target)
                if (digest, size) != (ref.sha256, ref.size):
                    raise StorageCorruptError(
                        f"object {ref.key} is not what its reference says ({size} bytes, expected {ref.size})",
                        key=ref.key,
                    )
            except (OSError, StorageCorruptError):
                path.unlink(missing_ok=True)
                raise

    def _stat(self, key: str) -> ObjectStat:
        with _reading(key):
            path = self.path_of(key)
            if path.is_dir():
                raise FileNotFoundError(key)
            facts = path.stat()
        return ObjectStat(key, facts.st_size, datetime.fromtimestamp(facts.st_mtime, UTC))

    def _new_part(self) -> Path:
        with _working(_PARTS):
            folder = self._root / _PARTS
            folder.mkdir(parents=True, exist_ok=True)
            return folder / uuid.uuid4().hex

    def _publish(self, file: BinaryIO, part: Path, key: str) -> None:
        """Make a written part durable and give it its key."""
        file.flush()
        os.fsync(file.fileno())
        path = self.path_of(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        part.replace(path)
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _listed(root: Path, prefix: str) -> list[ObjectStat]:
    """Objects whose key begins with ``prefix``, in order of key."""
    found = []
    for folder, folders, files in os.walk(root.joinpath(*prefix.split("/")[:-1])):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(folder, name)
            key = path.relative_to(root).as_posix()
            if key.startswith(prefix) and not name.startswith("."):
                with contextlib.suppress(FileNotFoundError):
                    facts = path.stat()
                    found.append(ObjectStat(key, facts.st_size, datetime.fromtimestamp(facts.st_mtime, UTC)))
    return sorted(found, key=lambda stat: stat.key)


def _copy(source: BinaryIO, target: BinaryIO) -> tuple[str, int]:
    """Copy a stream, returning SHA-256 and size."""
    digest, size = hashlib.sha256(), 0
    while chunk := source.read(CHUNK_BYTES):
        digest.update(chunk)
        target.write(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


@contextmanager
def _reading(key: str) -> Iterator[None]:
    """Give errors of finding and reading an object the names of the port."""
    try:
        with _working(key):
            yield
    except StorageUnavailableError as error:
        if isinstance(error.__cause__, (FileNotFoundError, NotADirectoryError, IsADirectoryError)):
            raise ObjectMissingError(f"there is no object {key}", key=key) from None
        raise


@contextmanager
def _working(key: str) -> Iterator[None]:
    """Give errors of the file system the name of the port."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFullError(f"storage failed: {reason}", key=key) from error
        raise StorageUnavailableError(f"storage failed: {reason}", key=key) from error
