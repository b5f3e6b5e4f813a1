"""Uploads: what is announced is what must arrive, and a frame is a FITS file."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from gateway_service.domain.uploads import Upload
from gateway_service.errors import UploadIncompleteError, UploadMismatchError
from gateway_service.workflows.receive_upload import ReceiveUpload, check_frame_magic

FRAME = b"SIMPLE  =                    T" + bytes(100)


class Uploads:
    def __init__(self) -> None:
        self.held: dict[str, Upload] = {}

    async def add(self, upload: Upload) -> None:
        self.held[upload.id] = upload

    async def get(self, upload_id: str, owner: str) -> Upload:
        return self.held[upload_id]

    async def complete(self, upload_id: str, sha256: str, size: int) -> Upload:
        self.held[upload_id] = replace(self.held[upload_id], complete=True, sha256=sha256, size=size)
        return self.held[upload_id]


class Objects:
    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}

    async def open(self, key: str) -> AsyncIterator[bytes]:
        data = self.held.get(key, b"")
        for start in range(0, len(data), 50):
            yield data[start : start + 50]


@pytest.fixture
def receive() -> ReceiveUpload:
    return ReceiveUpload(Uploads(), Objects(), max_bytes=1000)  # type: ignore[arg-type]


async def announced(receive: ReceiveUpload, data: bytes, **facts: Any) -> Upload:
    given = {"filename": "a.fits", "size": len(data), "purpose": "frame", "sha256": None} | facts
    upload = await receive.announce("ann", **given)
    receive._store.held[upload.key] = data  # type: ignore[attr-defined]
    return upload


async def test_what_arrives_as_announced_is_complete(receive: ReceiveUpload) -> None:
    digest = hashlib.sha256(FRAME).hexdigest()
    upload = await announced(receive, FRAME, sha256=digest)
    done = await receive.complete(upload.id, "ann")
    assert done.complete and done.sha256 == digest
    assert await receive.complete(upload.id, "ann") == done


async def test_a_name_of_a_path_does_not_reach_the_storage_key(receive: ReceiveUpload) -> None:
    upload = await announced(receive, FRAME, filename="../../x.fits")
    assert upload.filename == "x.fits" and ".." not in upload.key


async def test_what_is_too_large_is_refused_before_it_is_sent(receive: ReceiveUpload) -> None:
    with pytest.raises(UploadMismatchError, match="at most 1000"):
        await receive.announce("ann", filename="a.fits", size=1001, purpose="frame", sha256=None)


async def test_nothing_another_size_or_another_hash_is_refused(receive: ReceiveUpload) -> None:
    empty = await announced(receive, b"", size=10)
    with pytest.raises(UploadIncompleteError):
        await receive.complete(empty.id, "ann")
    short = await announced(receive, FRAME, size=200)
    with pytest.raises(UploadMismatchError, match="200 bytes were announced, 130 arrived"):
        await receive.complete(short.id, "ann")
    other = await announced(receive, FRAME, sha256="0" * 64)
    with pytest.raises(UploadMismatchError, match="SHA-256"):
        await receive.complete(other.id, "ann")


@pytest.mark.parametrize(
    ("head", "word"),
    [(b"BZh91AY", "bzip2"), (b"PK\x03\x04", "zip"), (b"\xfd7zXZ", "xz"), (b"Hello", "not a FITS file")],
)
def test_what_is_no_fits_file_is_refused_with_what_to_do(head: bytes, word: str) -> None:
    with pytest.raises(UploadMismatchError, match=word):
        check_frame_magic(head, "a.fits")


async def test_a_reference_list_may_be_any_file(receive: ReceiveUpload) -> None:
    upload = await announced(receive, b"ra,dec\n1,2\n", purpose="reference")
    assert (await receive.complete(upload.id, "ann")).complete
