"""Key pairs that sign access tokens: made here, sealed in the database, published as JWKS."""

from __future__ import annotations

import base64
import json
import secrets
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec

from astro_shared.clients.sealed_keys import KeyRing, SealedSecret
from astro_shared.web.tokens import SigningKey, sign_access_token
from auth_service.domain.sessions import StoredSigningKey
from auth_service.ports import OpenUnit

CACHE_S = 10.0
ANNOUNCED_FOR = timedelta(minutes=2)
KEPT_FOR = timedelta(hours=1)
_OWNER = "auth"


class SigningKeyRing:
    """Signs tokens and knows the public keys; `astro_shared.web.tokens.KeySource` and `ports.TokenSigner` at once.

    Notes
    -----
    A new key is published two minutes before it signs, so that every service has fetched it by then, and an old one
    stays published for an hour after. What this process knows is at most ten seconds old.
    """

    def __init__(
        self,
        open_unit: OpenUnit,
        ring: KeyRing,
        clock: Callable[[], datetime],
        *,
        issuer: str,
        audience: str,
        lifetime_s: int,
    ) -> None:
        self._open_unit = open_unit
        self._ring = ring
        self._clock = clock
        self._issuer = issuer
        self._audience = audience
        self._lifetime_s = lifetime_s
        self._known: list[StoredSigningKey] = []
        self._read_at_s = float("-inf")
        self._opened: dict[str, SigningKey] = {}

    @property
    def lifetime_s(self) -> int:
        """Seconds that an access token lives."""
        return self._lifetime_s

    async def ensure(self) -> None:
        """Make a key pair if there is none yet."""
        now = self._clock()
        async with self._open_unit() as unit:
            await unit.signing_keys.lock()
            if not any(key.active_from <= now for key in await unit.signing_keys.published(now)):
                await unit.signing_keys.add(self._new(now))
        self._read_at_s = float("-inf")

    async def rotate(self) -> str:
        """Make a new key pair that signs in two minutes; return its id."""
        now = self._clock()
        key = self._new(now + ANNOUNCED_FOR)
        async with self._open_unit() as unit:
            await unit.signing_keys.lock()
            await unit.signing_keys.add(key)
            await unit.signing_keys.retire_others(key.kid, now + ANNOUNCED_FOR + KEPT_FOR)
        self._read_at_s = float("-inf")
        return key.kid

    async def published(self) -> list[dict[str, str]]:
        """Return the public keys."""
        return [key.public_jwk for key in await self._keys()]

    async def key(self, kid: str) -> Mapping[str, str] | None:
        """Return a public key by its id."""
        return next((key.public_jwk for key in await self._keys() if key.kid == kid), None)

    async def sign(
        self, *, subject: str, scopes: Collection[str], session: str | None = None, on_behalf_of: str | None = None
    ) -> str:
        """Return an access token, signed with the newest key that is active."""
        now = self._clock()
        newest = max((key for key in await self._keys() if key.active_from <= now), key=lambda key: key.active_from)
        return sign_access_token(
            self._open(newest),
            issuer=self._issuer,
            audience=self._audience,
            subject=subject,
            scopes=scopes,
            issued_at_s=int(now.timestamp()),
            lifetime_s=self._lifetime_s,
            token_id=uuid.uuid4().hex,
            session=session,
            on_behalf_of=on_behalf_of,
        )

    async def _keys(self) -> list[StoredSigningKey]:
        now_s = time.monotonic()
        if now_s - self._read_at_s > CACHE_S or not self._known:
            async with self._open_unit() as unit:
                self._known = await unit.signing_keys.published(self._clock())
            self._read_at_s = now_s
        return self._known

    def _new(self, active_from: datetime) -> StoredSigningKey:
        kid = secrets.token_hex(8)
        private = ec.generate_private_key(ec.SECP256R1()).private_numbers()
        public = private.public_numbers
        public_jwk = {
            "kty": "EC",
            "crv": "P-256",
            "alg": "ES256",
            "use": "sig",
            "kid": kid,
            "x": _encoded(public.x),
            "y": _encoded(public.y),
        }
        text = json.dumps({**public_jwk, "d": _encoded(private.private_value)}).encode()
        sealed = self._ring.seal(text, owner=_OWNER, name=kid)
        return StoredSigningKey(kid, public_jwk, sealed.to_bytes(), active_from)

    def _open(self, key: StoredSigningKey) -> SigningKey:
        if key.kid not in self._opened:
            text = self._ring.unseal(SealedSecret.from_bytes(key.sealed_private), owner=_OWNER, name=key.kid)
            self._opened[key.kid] = SigningKey(key.kid, json.loads(text))
        return self._opened[key.kid]


def _encoded(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode()
