"""Access tokens: the only module that touches python-jose.

python-jose 3.5.0, plainly used, accepts HMAC tokens keyed with a public key, skips claims
that are absent, ignores ``crit``, decodes without a size limit and lets RecursionError and
OverflowError out. So everything that can be checked before it is called is checked here,
in order: size, alphabet, header (flat, no name twice, exactly ``alg``, ``kid``, ``typ``),
key by ``kid``, and only then the signature with ES256 and that one key; after it every claim
again, by type and value. Whatever goes wrong, the caller sees one error, a 401.

References
----------
RFC 7515 (JWS), RFC 7519 (JWT), RFC 9068 (``at+jwt``), RFC 8725 (best current practice).
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from jose import jwt

from astro_shared.web.errors import InvalidTokenError

__all__ = ["KeySource", "SigningKey", "TokenClaims", "TokenVerifier", "sign_access_token"]

ALGORITHM = "ES256"
TOKEN_TYPE = "at+jwt"  # noqa: S105 - the name of a kind
MAX_TOKEN_BYTES = 8192
MAX_HEADER_BYTES = 512
MAX_LIFETIME_S = 3600
CLOCK_TOLERANCE_S = 30
_SEGMENTS = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{86}")
_KID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_REQUIRED = ("iss", "aud", "sub", "scope", "exp", "iat", "jti")
_TEXT_CLAIMS = ("iss", "aud", "sub", "scope", "jti")
_OPTIONAL = ("sid", "on_behalf_of", "nbf", "client_id")
_JOSE_OPTIONS = {
    "verify_signature": True,
    "leeway": CLOCK_TOLERANCE_S,
    **{f"verify_{name}": True for name in ("aud", "iat", "exp", "nbf", "iss", "sub", "jti")},
    **{f"require_{name}": True for name in ("aud", "iat", "exp", "iss", "sub", "jti")},
    "verify_at_hash": False,
}


class KeySource(Protocol):
    """Where public keys come from."""

    async def key(self, kid: str) -> Mapping[str, str] | None:
        """Return the public JWK with this id, or None where there is none.

        Raises
        ------
        KeysUnavailableError
            It cannot be known, because no key set was ever fetched.
        """
        ...


@dataclass(frozen=True)
class SigningKey:
    """A private ES256 key as JWK, with the id under which its public half is published."""

    kid: str
    private_jwk: Mapping[str, str]


@dataclass(frozen=True)
class TokenClaims:
    """The claims of a token that was checked.

    Times are seconds since the epoch.
    """

    issuer: str
    audience: str
    subject: str
    scopes: frozenset[str]
    expires_at_s: int
    issued_at_s: int
    token_id: str
    session: str | None = None
    on_behalf_of: str | None = None


def sign_access_token(
    key: SigningKey,
    *,
    issuer: str,
    audience: str,
    subject: str,
    scopes: Collection[str],
    issued_at_s: int,
    lifetime_s: int,
    token_id: str,
    session: str | None = None,
    on_behalf_of: str | None = None,
) -> str:
    """Sign an access token.

    Parameters
    ----------
    issued_at_s : seconds since the epoch
    lifetime_s : seconds, at most 3600
    token_id : unique, becomes ``jti``
    session : what a logout ends, becomes ``sid``
    """
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": audience,
        "sub": subject,
        "scope": " ".join(sorted(scopes)),
        "iat": issued_at_s,
        "exp": issued_at_s + min(lifetime_s, MAX_LIFETIME_S),
        "jti": token_id,
    }
    if session is not None:
        claims["sid"] = session
    if on_behalf_of is not None:
        claims["on_behalf_of"] = on_behalf_of
    headers = {"kid": key.kid, "typ": TOKEN_TYPE}
    return str(jwt.encode(claims, dict(key.private_jwk), algorithm=ALGORITHM, headers=headers))


class TokenVerifier:
    """Checks access tokens.

    Parameters
    ----------
    issuer, audience : the only values accepted
    keys : public keys by id
    """

    def __init__(self, *, issuer: str, audience: str, keys: KeySource) -> None:
        self._issuer = issuer
        self._audience = audience
        self._keys = keys

    async def verify(self, token: str) -> TokenClaims:
        """Return the claims of a valid token.

        Raises
        ------
        InvalidTokenError
            For every token that is not perfectly valid, whatever is wrong with it.
        KeysUnavailableError
            The public keys cannot be had.
        """
        kid = _read_header(token)
        key = await self._keys.key(kid)
        if key is None:
            raise InvalidTokenError("The token was signed with an unknown key.")
        _check_key(key, kid)
        return self._check_claims(self._decode(token, key))

    def _decode(self, token: str, key: Mapping[str, str]) -> Mapping[str, Any]:
        _strict_object(_decoded(token.split(".")[1]))
        try:
            claims = jwt.decode(
                token,
                dict(key),
                algorithms=[ALGORITHM],
                audience=self._audience,
                issuer=self._issuer,
                options=_JOSE_OPTIONS,
            )
        except Exception as error:
            raise InvalidTokenError("The token is not valid.") from error
        return dict(claims)

    def _check_claims(self, claims: Mapping[str, Any]) -> TokenClaims:
        if set(claims) - {*_REQUIRED, *_OPTIONAL} or set(_REQUIRED) - set(claims):
            raise InvalidTokenError("The token does not have the claims of an access token.")
        if not all(isinstance(claims[name], str) and 0 < len(claims[name]) <= 1024 for name in _TEXT_CLAIMS):
            raise InvalidTokenError("A claim of the token has the wrong type.")
        if claims["iss"] != self._issuer or claims["aud"] != self._audience:
            raise InvalidTokenError("The token was made for something else.")
        expires, issued = _seconds(claims["exp"]), _seconds(claims["iat"])
        not_before = _seconds(claims.get("nbf", issued))
        now = time.time()
        if now >= expires + CLOCK_TOLERANCE_S:
            raise InvalidTokenError("The token has expired.")
        if max(issued, not_before) > now + CLOCK_TOLERANCE_S:
            raise InvalidTokenError("The token is not valid yet.")
        if not 0 < expires - issued <= MAX_LIFETIME_S:
            raise InvalidTokenError("The token lives longer than an access token may.")
        return TokenClaims(
            issuer=claims["iss"],
            audience=claims["aud"],
            subject=claims["sub"],
            scopes=frozenset(claims["scope"].split()),
            expires_at_s=expires,
            issued_at_s=issued,
            token_id=claims["jti"],
            session=_optional_text(claims.get("sid")),
            on_behalf_of=_optional_text(claims.get("on_behalf_of")),
        )


def _read_header(token: str) -> str:
    """Check size, alphabet and header; return the key id."""
    if len(token) > MAX_TOKEN_BYTES:
        raise InvalidTokenError("The token is too long.")
    if not _SEGMENTS.fullmatch(token):
        raise InvalidTokenError("The token is malformed.")
    encoded = token.split(".", 1)[0]
    if len(encoded) > MAX_HEADER_BYTES:
        raise InvalidTokenError("The header of the token is too long.")
    header = _strict_object(_decoded(encoded))
    if set(header) != {"alg", "kid", "typ"}:
        raise InvalidTokenError("The header of the token is not that of an access token.")
    kid = header["kid"]
    if header["alg"] != ALGORITHM or header["typ"] != TOKEN_TYPE:
        raise InvalidTokenError("The token is of another kind.")
    if not isinstance(kid, str) or not _KID.fullmatch(kid):
        raise InvalidTokenError("The key id of the token is malformed.")
    return kid


def _check_key(key: Mapping[str, str], kid: str) -> None:
    if (key.get("kty"), key.get("crv"), key.get("kid")) != ("EC", "P-256", kid) or "d" in key:
        raise InvalidTokenError("The token was signed with an unknown key.")


def _decoded(segment: str) -> bytes:
    if len(segment) % 4 == 1:
        raise InvalidTokenError("The token is malformed.")
    data = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != segment:
        raise InvalidTokenError("The token is malformed.")
    return data


def _strict_object(data: bytes) -> dict[str, Any]:
    """Parse a flat JSON object in which no name comes twice."""
    if data.count(b"{") + data.count(b"[") > 64:
        raise InvalidTokenError("The token is nested too deep.")
    try:
        value = json.loads(data, object_pairs_hook=_without_repeats, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise InvalidTokenError("The token is malformed.") from None
    if not isinstance(value, dict) or any(isinstance(item, dict | list) for item in value.values()):
        raise InvalidTokenError("The token is malformed.")
    return value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a name comes twice")
    return names


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _seconds(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 40:
        raise InvalidTokenError("A time in the token is not a number of seconds.")
    return value


def _optional_text(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= 256:
        raise InvalidTokenError("A claim of the token has the wrong type.")
    return value
