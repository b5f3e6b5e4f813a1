"""The Idempotency-Key header of requests that create something.

Same key and same body: the first answer again. Same key, another body: 422. First one
still running: 409 with Retry-After. A key belongs to one user and one route and is kept a day.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from fastapi import Header
from pydantic import BaseModel

from astro_shared.errors import ConflictError
from astro_shared.web.errors import BadIdempotencyKeyError

__all__ = [
    "IdempotencyStore",
    "StoredAnswer",
    "fingerprint",
    "optional_idempotency_key",
    "replayed_or_new",
]

_KEY = re.compile(r"[\x21-\x7e]{8,128}")


@dataclass(frozen=True)
class StoredAnswer:
    """What is known of a key: the body it came with, and the answer unless it is still being made."""

    fingerprint: str
    status: int | None = None
    body: dict[str, Any] | None = None


class IdempotencyStore(Protocol):
    """Where keys are remembered."""

    async def begin(self, owner: str, route: str, key: str, fingerprint: str) -> StoredAnswer | None:
        """Remember the key; return what was there before, None if it is new. Atomic."""
        ...

    async def finish(self, owner: str, route: str, key: str, status: int, body: dict[str, Any]) -> None:
        """Store the answer."""
        ...

    async def forget(self, owner: str, route: str, key: str) -> None:
        """Drop a key whose request failed, so that it may be tried again."""
        ...


async def optional_idempotency_key(
    idempotency_key: Annotated[
        str | None, Header(description="8 to 128 printable characters; makes it safe to send the request again.")
    ] = None,
) -> str | None:
    """FastAPI dependency: the checked header, None where absent."""
    if idempotency_key is not None and not _KEY.fullmatch(idempotency_key):
        raise BadIdempotencyKeyError("Idempotency-Key must be 8 to 128 printable characters without spaces.")
    return idempotency_key


def fingerprint(request: BaseModel | dict[str, Any]) -> str:
    """Return the SHA-256 of a request body, independent of the order of its fields."""
    plain = request.model_dump(mode="json") if isinstance(request, BaseModel) else request
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


async def replayed_or_new(
    store: IdempotencyStore,
    *,
    owner: str,
    route: str,
    key: str | None,
    request: BaseModel | dict[str, Any],
    create: Callable[[], Awaitable[tuple[int, dict[str, Any]]]],
) -> tuple[int, dict[str, Any]]:
    """Run ``create`` once per key.

    Parameters
    ----------
    owner, route : whose key and for what
    key : from `optional_idempotency_key`; None runs ``create`` unprotected
    create : makes the thing; returns status and JSON body

    Returns
    -------
    Status and body, of this call or of the first one with this key.

    Raises
    ------
    BadIdempotencyKeyError
        The key was used for another body.
    ConflictError
        The first request with this key is still running.
    """
    if key is None:
        return await create()
    print_of_body = fingerprint(request)
    known = await store.begin(owner, route, key, print_of_body)
    if known is None:
        try:
            status, body = await create()
        except BaseException:
            await store.forget(owner, route, key)
            raise
        await store.finish(owner, route, key, status, body)
        return status, body
    if known.fingerprint != print_of_body:
        raise BadIdempotencyKeyError("This Idempotency-Key was used for another request.")
    if known.status is None or known.body is None:
        raise ConflictError("The first request with this Idempotency-Key is still running.", retry_after_s=2)
    return known.status, known.body
