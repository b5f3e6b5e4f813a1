"""Addresses of S3 objects with a signature in their query (AWS Signature Version 4).

The `minio` client signs the host only. Here further headers can be part of the signature, so that the holder of an
address must send exactly the length that was announced.

References
----------
Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit, urlunsplit

_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True)
class S3Credentials:
    """Whose signature it is."""

    access_key: str
    secret_key: str
    region: str


def presigned_url(
    url: str,
    credentials: S3Credentials,
    *,
    method: str,
    expires_s: int,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    now: datetime | None = None,
) -> str:
    """Return ``url`` with a signed query.

    Parameters
    ----------
    url
        Address of the object, path already encoded, without a query.
    query
        Further parameters (``response-content-type``), not encoded.
    headers
        What the request must carry besides ``Host``; names in lower case.
    now
        Time of the signature; the present unless given.
    """
    parts = urlsplit(url)
    moment = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{moment[:8]}/{credentials.region}/s3/aws4_request"
    signed = {"host": parts.netloc, **(headers or {})}
    names = ";".join(sorted(signed))
    parameters = {
        **(query or {}),
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{credentials.access_key}/{scope}",
        "X-Amz-Date": moment,
        "X-Amz-Expires": str(expires_s),
        "X-Amz-SignedHeaders": names,
    }
    encoded = "&".join(f"{_encoded(name)}={_encoded(value)}" for name, value in sorted(parameters.items()))
    lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    request = f"{method}\n{parts.path or '/'}\n{encoded}\n{lines}\n{names}\nUNSIGNED-PAYLOAD"
    text = f"{_ALGORITHM}\n{moment}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    signature = hmac.new(_key(credentials, moment[:8]), text.encode(), hashlib.sha256).hexdigest()
    return urlunsplit((parts.scheme, parts.netloc, parts.path, f"{encoded}&X-Amz-Signature={signature}", ""))


def _encoded(text: str) -> str:
    return quote(text, safe="-_.~")


def _key(credentials: S3Credentials, day: str) -> bytes:
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (day, credentials.region, "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
