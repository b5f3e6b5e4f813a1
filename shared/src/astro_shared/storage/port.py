"""What services need of object storage, whatever keeps the bytes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from astro_shared.contracts.objects import ObjectRef
from astro_shared.storage.errors import InvalidKeyError

CHUNK_BYTES = 1 << 20
OCTETS = "application/octet-stream"

_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._=+@-]{0,199}(/[A-Za-z0-9_][A-Za-z0-9._=+@-]{0,199}){0,15}")


@dataclass(frozen=True)
class ObjectStat:
    """What a store knows of an object without reading it."""

    key: str
    size: int
    modified_at: datetime


@dataclass(frozen=True)
class UploadForm:
    """What a browser sends by POST as multipart/form-data: these fields, then the file as ``file``."""

    url: str
    fields: dict[str, str]


class ObjectStore(Protocol):
    """Objects by key. Writing is atomic: a key shows the whole new content or what was there before."""

    async def put_file(self, key: str, path: Path, media_type: str = OCTETS) -> ObjectRef:
        """Store a file; it stays where it is."""
        ...

    async def put_stream(
        self, key: str, chunks: AsyncIterator[bytes], media_type: str = OCTETS, *, max_bytes: int | None = None
    ) -> ObjectRef:
        """Store what an iterator yields; beyond ``max_bytes`` nothing is kept and ObjectTooLargeError is raised."""
        ...

    async def get_to_path(self, ref: ObjectRef, path: Path) -> None:
        """Write an object to a new file, checking size and SHA-256.

        Raises StorageCorruptError (and leaves no file) where they differ, ObjectMissingError where there is none.
        """
        ...

    def open(self, key: str, *, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Yield the content, or a range of it, in chunks; unchecked, for those who check themselves."""
        ...

    async def stat(self, key: str) -> ObjectStat:
        """Size and time of an object; ObjectMissingError where there is none."""
        ...

    def list(self, prefix: str) -> AsyncIterator[ObjectStat]:
        """Yield the objects whose key begins with ``prefix``, in order of key."""
        ...

    async def delete(self, key: str) -> None:
        """Remove an object; absent is as good."""
        ...

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
        """Return an address that lets its holder read or write this one object for a while.

        ``filename`` and ``media_type`` are what a download announces. ``max_bytes`` bounds an upload; S3 can not sign
        a bound, there it is the exact length.
        """
        ...

    async def upload_form(self, key: str, *, max_bytes: int, expires_s: int = 300) -> UploadForm | None:
        """Return a form by which a browser may upload this one object; None where only a signed PUT is taken."""
        ...

    async def check(self) -> None:
        """Raise StorageUnavailableError where the store can not be used now (for readiness)."""
        ...

    async def prepare(self) -> None:
        """Make what is missing (folder, bucket) and try writing; raises StorageUnavailableError with one clear line."""
        ...


def checked_key(key: str) -> str:
    """Return a key that is safe in every store.

    At most 16 segments of ``A-Z a-z 0-9 . _ = + @ -`` that begin with a letter, digit or underscore; 900 characters.
    """
    if len(key) > 900 or not _KEY.fullmatch(key):
        raise InvalidKeyError("an object key has a form that storage does not accept")
    return key


def checked_prefix(prefix: str) -> str:
    """Return a prefix whose complete segments are safe; the last may be cut anywhere, or empty."""
    if prefix:
        checked_key(prefix.rstrip("/") or "/")
    return prefix
