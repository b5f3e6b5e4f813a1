"""Tokens for tests of routes: a mint with its own key, and an authenticator that trusts it."""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Collection, Mapping

from cryptography.hazmat.primitives.asymmetric import ec

from astro_shared.contracts.auth import ALL_USER_SCOPES, SERVICE_SCOPES
from astro_shared.web.security import Authenticator, RevocationSnapshot
from astro_shared.web.tokens import SigningKey, TokenVerifier, sign_access_token

__all__ = ["TEST_AUDIENCE", "TEST_ISSUER", "FixedKeys", "FixedRevocations", "TokenMint", "make_jwk"]

TEST_ISSUER = "http://auth.test"
TEST_AUDIENCE = "alidade"


def make_jwk(kid: str = "test-key-1") -> dict[str, str]:
    """Return a new private ES256 key as JWK."""
    private = ec.generate_private_key(ec.SECP256R1())
    numbers = private.private_numbers()
    public = numbers.public_numbers
    d, x, y = (_encoded(number) for number in (numbers.private_value, public.x, public.y))
    return {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid, "d": d, "x": x, "y": y}


def _encoded(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode()


class FixedKeys:
    """A key source with a fixed set; counts what it was asked."""

    def __init__(self, *jwks: Mapping[str, str]) -> None:
        self._keys = {jwk["kid"]: {name: value for name, value in jwk.items() if name != "d"} for jwk in jwks}
        self.asked: list[str] = []

    async def key(self, kid: str) -> Mapping[str, str] | None:
        """Return the public key, or None."""
        self.asked.append(kid)
        return self._keys.get(kid)


class FixedRevocations:
    """A revocation source whose contents and age a test sets."""

    def __init__(self) -> None:
        self.sessions: set[str] = set()
        self.subjects: set[str] = set()
        self.age_s = 0.0
        self.known = True

    async def snapshot(self) -> RevocationSnapshot | None:
        """Return the present contents with the age that was set."""
        if not self.known:
            return None
        return RevocationSnapshot(
            sessions=frozenset(self.sessions),
            subjects=frozenset(self.subjects),
            fetched_at_s=time.monotonic() - self.age_s,
        )


class TokenMint:
    """Makes valid tokens, and the authenticator that accepts them.

    Use ``create_app(..., authenticator=mint.authenticator)`` and ``headers=mint.user("u1")``.
    """

    def __init__(self) -> None:
        self.jwk = make_jwk()
        self.keys = FixedKeys(self.jwk)
        self.revocations = FixedRevocations()
        self.verifier = TokenVerifier(issuer=TEST_ISSUER, audience=TEST_AUDIENCE, keys=self.keys)
        self.authenticator = Authenticator(self.verifier, self.revocations)

    def token(
        self, subject: str, scopes: Collection[str], *, session: str | None = None, on_behalf_of: str | None = None
    ) -> str:
        """Return a valid access token."""
        return sign_access_token(
            SigningKey(self.jwk["kid"], self.jwk),
            issuer=TEST_ISSUER,
            audience=TEST_AUDIENCE,
            subject=subject,
            scopes=[str(scope) for scope in scopes],
            issued_at_s=int(time.time()),
            lifetime_s=900,
            token_id=uuid.uuid4().hex,
            session=session,
            on_behalf_of=on_behalf_of,
        )

    def user(self, user: str = "user-1", scopes: Collection[str] = ALL_USER_SCOPES) -> dict[str, str]:
        """Return the Authorization header of a user."""
        return {"Authorization": f"Bearer {self.token(user, scopes, session='session-' + user)}"}

    def service(
        self, name: str = "gateway", scopes: Collection[str] = SERVICE_SCOPES, *, on_behalf_of: str | None = None
    ) -> dict[str, str]:
        """Return the Authorization header of a service."""
        return {"Authorization": f"Bearer {self.token('svc:' + name, scopes, on_behalf_of=on_behalf_of)}"}
