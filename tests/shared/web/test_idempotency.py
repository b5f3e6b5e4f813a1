"""The form of the Idempotency-Key header."""

from __future__ import annotations

import pytest

from astro_shared.web.errors import BadIdempotencyKeyError
from astro_shared.web.idempotency import optional_idempotency_key


@pytest.mark.parametrize("key", ["short", "x" * 129, "with space", "ümlaut-key", "line\nbreak1", ""])
async def test_malformed_keys_are_refused(key: str) -> None:
    with pytest.raises(BadIdempotencyKeyError):
        await optional_idempotency_key(key)


@pytest.mark.parametrize("key", ["x" * 128, "request-1", None])
async def test_good_keys_and_none_pass(key: str | None) -> None:
    assert await optional_idempotency_key(key) == key
