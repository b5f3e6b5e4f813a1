"""Opening of a user's keys of third parties, by the services that may."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx
from pydantic import SecretStr

from astro_shared.clients.auth import AuthClient, ServiceTokens
from astro_shared.clients.sealed_keys import KeyRing, open_sealed_key
from astro_shared.contracts.auth import Scope

__all__ = ["OpenKey", "key_opener"]

OpenKey = Callable[[str, str], Awaitable[str]]
"""Fetches and opens the key of a user by name."""


def key_opener(
    ring: KeyRing, *, auth_url: str, http: httpx.AsyncClient, client_id: str, client_secret: SecretStr
) -> OpenKey:
    """What fetches a sealed key from auth and opens it here; nothing is kept.

    Parameters
    ----------
    ring : opens what auth hands out
    client_id, client_secret : of this service at auth
    """
    plain = AuthClient(auth_url, http=http)
    tokens = ServiceTokens(plain, client_id=client_id, client_secret=client_secret, scopes=(Scope.KEYS_UNSEAL,))
    auth = AuthClient(auth_url, tokens=tokens, http=http)

    async def open_key(user: str, name: str) -> str:
        return open_sealed_key(ring, await auth.sealed_key(user, name)).get_secret_value()

    return open_key
