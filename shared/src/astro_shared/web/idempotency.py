"""The Idempotency-Key header of requests that create something.

What a key stands for is remembered by the store of the thing that is made, in the same transaction: the jobs engine and
the gateway's reductions keep the key in a column with a unique index. Here is only the form of the header.
"""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Header

from astro_shared.web.errors import BadIdempotencyKeyError

__all__ = ["optional_idempotency_key"]

_KEY = re.compile(r"[\x21-\x7e]{8,128}")


async def optional_idempotency_key(
    idempotency_key: Annotated[
        str | None, Header(description="8 to 128 printable characters; makes it safe to send the request again.")
    ] = None,
) -> str | None:
    """FastAPI dependency: the checked header, None where absent."""
    if idempotency_key is not None and not _KEY.fullmatch(idempotency_key):
        raise BadIdempotencyKeyError("Idempotency-Key must be 8 to 128 printable characters without spaces.")
    return idempotency_key
