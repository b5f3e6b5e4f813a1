"""What services ask auth: keys, revocations, service tokens, a user's settings and sealed keys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Generic, TypeVar

import httpx
import structlog
from pydantic import SecretStr

from astro_shared.clients.base import ServiceClient, path_segment
from astro_shared.contracts.auth import (
    AccessTokenResponse,
    JsonWebKeySet,
    PersonalTokenExchangeRequest,
    RevocationFeed,
    Scope,
    SealedKey,
    ServiceTokenRequest,
    ServiceTokenResponse,
    UserSettingsDocument,
)
from astro_shared.errors import AlidadeError
from astro_shared.web.errors import KeysUnavailableError
from astro_shared.web.security import Authenticator, RevocationSnapshot
from astro_shared.web.tokens import TokenVerifier

__all__ = [
    "AUDIENCE",
    "AuthClient",
    "Polled",
    "RemoteKeys",
    "RemoteRevocations",
    "ServiceTokens",
    "remote_authenticator",
]

AUDIENCE = "alidade"
POLL_S = 15.0
WAIT_ABOVE_S = 60.0
RETRY_S = 2.0
KEYS_KEPT_S = 3600.0
RENEW_BEFORE_S = 90.0
MAX_TOKENS = 1024
_TIMEOUT = httpx.Timeout(3.0)
_log = structlog.get_logger("astro_shared.clients")

Value = TypeVar("Value")


class AuthClient(ServiceClient):
    """The internal interface of auth."""

    async def keys(self) -> JsonWebKeySet:
        """Return the public keys."""
        return await self.request_model(JsonWebKeySet, "GET", "/.well-known/jwks.json")

    async def revocations(self) -> RevocationFeed:
        """Return what was revoked within the life of an access token."""
        return await self.request_model(RevocationFeed, "GET", "/v1/revocations")

    async def service_token(
        self, client_id: str, client_secret: SecretStr, scopes: Collection[Scope], on_behalf_of: str | None
    ) -> ServiceTokenResponse:
        """Swap client credentials for a service token."""
        body = ServiceTokenRequest(
            client_id=client_id, client_secret=client_secret, scope=sorted(scopes), on_behalf_of=on_behalf_of
        ).model_dump(mode="json") | {"client_secret": client_secret.get_secret_value()}
        return await self.request_model(ServiceTokenResponse, "POST", "/v1/tokens/service", json=body, idempotent=True)

    async def exchange_personal_token(self, personal_token: SecretStr) -> AccessTokenResponse:
        """Swap a personal access token for an access token."""
        name = next(iter(PersonalTokenExchangeRequest.model_fields))
        return await self.request_model(
            AccessTokenResponse,
            "POST",
            "/api/v1/auth/personal-token",
            json={name: personal_token.get_secret_value()},
            idempotent=True,
        )

    async def user_settings(self, user: str) -> UserSettingsDocument:
        """Return a user's saved settings: overrides by section."""
        return await self.request_model(
            UserSettingsDocument, "GET", f"/v1/users/{path_segment(user)}/settings", on_behalf_of=user
        )

    async def sealed_key(self, user: str, name: str) -> SealedKey:
        """Return a third party's key as ciphertext, for the worker that can open it."""
        return await self.request_model(
            SealedKey, "GET", f"/v1/users/{path_segment(user)}/keys/{path_segment(name)}", on_behalf_of=user
        )


class Polled(Generic[Value]):
    """A value that is fetched again when it is older than ``poll_s``.

    Up to ``wait_above_s`` the old value is returned at once and the new one fetched behind the
    caller's back; beyond that the caller waits for it. One fetch at a time; after a failure the
    next one comes after two seconds at the earliest. Failures leave the old value in place, with its age.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Value]],
        *,
        poll_s: float = POLL_S,
        wait_above_s: float = WAIT_ABOVE_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._poll_s = poll_s
        self._wait_above_s = wait_above_s
        self._monotonic = monotonic
        self._value: Value | None = None
        self._fetched_at_s = float("-inf")
        self._tried_at_s = float("-inf")
        self._running: asyncio.Task[None] | None = None

    async def get(self) -> tuple[Value | None, float]:
        """Return the value (None if there never was one) and the monotonic time of its fetch."""
        now_s = self._monotonic()
        age_s = now_s - self._fetched_at_s
        if age_s > self._poll_s and (self._running is not None or now_s - self._tried_at_s > RETRY_S):
            if self._running is None:
                self._tried_at_s = now_s
                self._running = asyncio.create_task(self._refresh())
            if age_s > self._wait_above_s:
                await asyncio.shield(self._running)
        return self._value, self._fetched_at_s

    async def _refresh(self) -> None:
        asked_at_s = self._monotonic()
        try:
            self._value = await self._fetch()
            # The answer is as old as the question: what was revoked meanwhile may be missing.
            self._fetched_at_s = asked_at_s
        except AlidadeError as error:
            _log.warning("poll_failed", code=error.code, error=str(error))
        finally:
            self._running = None


class RemoteKeys:
    """The public keys of auth, polled; an unknown key id never causes a request."""

    def __init__(self, auth: AuthClient, *, poll_s: float = POLL_S) -> None:
        self._polled: Polled[dict[str, Mapping[str, str]]] = Polled(self._fetch_by(auth), poll_s=poll_s)

    async def key(self, kid: str) -> Mapping[str, str] | None:
        """Return the public JWK with this id, or None."""
        keys, fetched_at_s = await self._polled.get()
        if keys is None or time.monotonic() - fetched_at_s > KEYS_KEPT_S:
            raise KeysUnavailableError("Tokens cannot be checked at the moment.")
        return keys.get(kid)

    @staticmethod
    def _fetch_by(auth: AuthClient) -> Callable[[], Awaitable[dict[str, Mapping[str, str]]]]:
        async def fetch() -> dict[str, Mapping[str, str]]:
            answer = await auth.keys()
            return {key.kid: key.model_dump() for key in answer.keys}

        return fetch


class RemoteRevocations:
    """The revocation feed of auth, polled."""

    def __init__(self, auth: AuthClient, *, poll_s: float = POLL_S) -> None:
        self._polled: Polled[RevocationFeed] = Polled(auth.revocations, poll_s=poll_s)

    async def snapshot(self) -> RevocationSnapshot | None:
        """Return what is known, None if nothing ever was."""
        feed, fetched_at_s = await self._polled.get()
        if feed is None:
            return None
        return RevocationSnapshot(
            sessions=frozenset(feed.sessions), subjects=frozenset(feed.subjects), fetched_at_s=fetched_at_s
        )


class ServiceTokens:
    """A service's own tokens, by user they are for, renewed before they expire.

    Parameters
    ----------
    client_id, client_secret : the service's credentials at auth
    scopes : what it asks for, as narrow as it can work with
    """

    def __init__(
        self, auth: AuthClient, *, client_id: str, client_secret: SecretStr, scopes: Collection[Scope]
    ) -> None:
        self._auth = auth
        self._client_id = client_id
        self._client_secret = client_secret
        self._scopes = frozenset(scopes)
        self._tokens: dict[str | None, tuple[str, float]] = {}
        self._locks: dict[str | None, asyncio.Lock] = {}

    async def token(self, on_behalf_of: str | None = None) -> str:
        """Return a token that is valid for another minute and a half at least."""
        async with self._locks.setdefault(on_behalf_of, asyncio.Lock()):
            known = self._tokens.get(on_behalf_of)
            if known is not None and known[1] - time.monotonic() > RENEW_BEFORE_S:
                return known[0]
            asked_at_s = time.monotonic()
            answer = await self._auth.service_token(self._client_id, self._client_secret, self._scopes, on_behalf_of)
            if len(self._tokens) >= MAX_TOKENS:
                self._drop_expired()
            self._tokens[on_behalf_of] = (answer.access_token, asked_at_s + answer.expires_in)
            return answer.access_token

    def _drop_expired(self) -> None:
        now_s = time.monotonic()
        self._tokens = {user: item for user, item in self._tokens.items() if item[1] > now_s}
        self._locks = {user: lock for user, lock in self._locks.items() if user in self._tokens or lock.locked()}


def remote_authenticator(
    auth_url: str,
    *,
    issuer: str,
    audience: str = AUDIENCE,
    poll_s: float = POLL_S,
    http: httpx.AsyncClient | None = None,
) -> Authenticator:
    """Build what checks the tokens of a service's callers against auth at ``auth_url``.

    Nothing is fetched before the first request that carries a token.
    """
    auth = AuthClient(auth_url, http=http, timeout=_TIMEOUT, attempts=2)
    verifier = TokenVerifier(issuer=issuer, audience=audience, keys=RemoteKeys(auth, poll_s=poll_s))
    return Authenticator(verifier, RemoteRevocations(auth, poll_s=poll_s))
