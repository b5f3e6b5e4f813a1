"""What the S3 client reads from: a file, or chunks of an event loop, hashed and counted on the way."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from concurrent.futures import Future
from typing import BinaryIO

from astro_shared.storage.errors import ObjectTooLargeError, StorageUnavailableError


class HashedReader:
    """A file that knows SHA-256 and size of what was read from it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._digest.update(data)
        self.size += len(data)
        return data


class StreamReader:
    """Chunks of an event loop, read as a file by a thread.

    Parameters
    ----------
    max_bytes
        With more, reading raises ObjectTooLargeError.
    """

    def __init__(
        self, chunks: AsyncIterator[bytes], loop: asyncio.AbstractEventLoop, *, max_bytes: int | None = None
    ) -> None:
        self._chunks = chunks
        self._loop = loop
        self._max_bytes = max_bytes
        self._left = b""
        self._waiting: Future[bytes] | None = None
        self._stopped = False
        self._digest = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def stop(self) -> None:
        """Nobody waits any more: reading fails, and with it the upload."""
        self._stopped = True
        if self._waiting is not None:
            self._waiting.cancel()

    def read(self, size: int) -> bytes:
        """``size`` bytes, fewer at the end."""
        parts, have = [self._left], len(self._left)
        while have < size and (chunk := self._next_chunk()):
            parts.append(chunk)
            have += len(chunk)
        data = b"".join(parts)
        self._left = data[size:]
        return data[:size]

    def _next_chunk(self) -> bytes:
        """The next chunk that is not empty; empty at the end."""
        if self._stopped:
            raise StorageUnavailableError("the upload was given up")
        self._waiting = asyncio.run_coroutine_threadsafe(self._received(), self._loop)
        chunk = self._waiting.result()
        self._digest.update(chunk)
        self.size += len(chunk)
        if self._max_bytes is not None and self.size > self._max_bytes:
            raise ObjectTooLargeError(f"more than the {self._max_bytes} bytes allowed", max_bytes=self._max_bytes)
        return chunk

    async def _received(self) -> bytes:
        async for chunk in self._chunks:
            if chunk:
                return chunk
        return b""
