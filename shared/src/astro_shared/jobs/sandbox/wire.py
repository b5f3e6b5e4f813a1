"""Messages between a worker, its fork server and the children: JSON with a length before it.

A child may have been taken over by the file it reads. So nothing but JSON is accepted from it, of bounded length.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from typing import Any

from astro_shared.jobs.plain import plain

MAX_BYTES = 16 << 20
_LENGTH = struct.Struct("!I")


class WireError(ValueError):
    """The other side sent something that is not a message."""


def encode(message: Mapping[str, Any], *, max_bytes: int | None = MAX_BYTES) -> bytes:
    """Return a message as bytes with its length; ``max_bytes`` binds what a child sends, not what it is sent."""
    body = json.dumps(plain(message), allow_nan=False, separators=(",", ":")).encode()
    if max_bytes is not None and len(body) > max_bytes:
        raise WireError(f"a message of {len(body)} bytes; at most {max_bytes} are allowed: put big data in files")
    return _LENGTH.pack(len(body)) + body


def decode(body: bytes) -> dict[str, Any]:
    """Return the message in ``body``."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        raise WireError("not JSON") from None
    if not isinstance(message, dict):
        raise WireError("not an object")
    return message


def send(channel: socket.socket, message: Mapping[str, Any]) -> None:
    """Write a message to a blocking socket."""
    channel.sendall(encode(message))


def receive(channel: socket.socket) -> dict[str, Any]:
    """Read a message from a blocking socket; EOFError where the other side has closed."""
    (length,) = _LENGTH.unpack(_exactly(channel, _LENGTH.size))
    return decode(_exactly(channel, length))


async def receive_async(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    """Read a message, as plain values; None where the other side has closed, in mid-message too."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if length > MAX_BYTES:
            raise WireError(f"a message of {length} bytes")
        message: dict[str, Any] = plain(decode(await reader.readexactly(length)))
        return message
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def _exactly(channel: socket.socket, count: int) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        chunk = channel.recv(count - len(parts))
        if not chunk:
            raise EOFError
        parts += chunk
    return bytes(parts)
