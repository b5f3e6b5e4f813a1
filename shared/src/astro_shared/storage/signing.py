"""Signed addresses of the folder store: made by any service, honoured by the gateway's ``/storage`` route."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from astro_shared.storage.errors import BadSignatureError, InvalidKeyError
from astro_shared.storage.port import OCTETS, checked_key

_PARAMETERS = ("method", "exp", "name", "type", "max")


@dataclass(frozen=True)
class SignedAccess:
    """What the holder of a signed address may do."""

    key: str
    method: str
    filename: str | None = None
    media_type: str = OCTETS
    max_bytes: int | None = None

    @property
    def content_disposition(self) -> str:
        """Header value of a download (RFC 6266)."""
        if self.filename is None:
            return "attachment"
        plain = "".join(c if c.isascii() and (c.isalnum() or c in "._- ") else "_" for c in self.filename)
        return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(self.filename, safe='')}"


def sign_url(base_url: str, secret: str, access: SignedAccess, *, expires_s: int, now: float | None = None) -> str:
    """Return ``{base_url}/{key}?method&exp&...&sig`` for ``access``, valid for ``expires_s`` seconds."""
    query = {"method": access.method, "exp": str(int((time.time() if now is None else now) + expires_s))}
    if access.filename is not None:
        query["name"] = access.filename
    if access.media_type != OCTETS:
        query["type"] = access.media_type
    if access.max_bytes is not None:
        query["max"] = str(access.max_bytes)
    query["sig"] = _signature(secret, access.key, query)
    return f"{base_url.rstrip('/')}/{quote(access.key)}?{urlencode(query)}"


def verify_signed_url(
    secret: str, *, method: str, key: str, query: Mapping[str, str], now: float | None = None
) -> SignedAccess:
    """Check the query of a signed address and say what it allows.

    Parameters
    ----------
    method
        Of the HTTP request; HEAD passes where GET does.
    key
        Path after ``/storage/``, decoded.
    query
        Parameters of the address, decoded.

    Raises
    ------
    BadSignatureError
        Changed, for another method or key, or expired.
    """
    try:
        checked_key(key)
        expires = int(query.get("exp", ""))
        max_bytes = int(query["max"]) if "max" in query else None
    except (ValueError, InvalidKeyError):
        raise BadSignatureError("this storage address is not valid") from None
    if not hmac.compare_digest(_signature(secret, key, query).encode(), query.get("sig", "").encode()):
        raise BadSignatureError("this storage address is not valid")
    if expires < (time.time() if now is None else now):
        raise BadSignatureError("this storage address has expired; ask for a new one")
    if query.get("method") != ("GET" if method == "HEAD" else method):
        raise BadSignatureError(f"this storage address is not for {method}")
    return SignedAccess(key, query["method"], query.get("name"), query.get("type", OCTETS), max_bytes)


def _signature(secret: str, key: str, query: Mapping[str, str]) -> str:
    lines = [key, *(f"{name}={query[name]}" for name in _PARAMETERS if name in query)]
    signed = "\n".join(f"{len(line.encode())}:{line}" for line in lines)
    return hmac.new(secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
