"""Texts of opaque tokens: a prefix that secret scanners find, a key id where there is one, 256 random bits.

With 256 bits there is nothing to guess, so a plain SHA-256 is enough at rest.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

REFRESH_PREFIX = "ald_rt_"
PERSONAL_PREFIX = "ald_pat_"
LINK_PREFIX = "ald_ln_"
SECRET_BYTES = 32
_RANDOM_PART = r"[A-Za-z0-9_-]{43}"
_PERSONAL = re.compile(rf"{PERSONAL_PREFIX}([0-9a-f]{{16}})_({_RANDOM_PART})")
_REFRESH = re.compile(rf"{REFRESH_PREFIX}({_RANDOM_PART})")
_LINK = re.compile(rf"{LINK_PREFIX}({_RANDOM_PART})")
_ANY = re.compile(rf"({REFRESH_PREFIX}|{PERSONAL_PREFIX}|{LINK_PREFIX})[A-Za-z0-9_-]+")


def refresh_text(secret: bytes) -> str:
    """Write a refresh token; ``secret`` is 32 random bytes."""
    return REFRESH_PREFIX + _encoded(secret)


def personal_text(token_id: str, secret: bytes) -> str:
    """Write a personal access token; ``token_id`` is 16 hexadecimal digits, ``secret`` 32 random bytes."""
    return f"{PERSONAL_PREFIX}{token_id}_{_encoded(secret)}"


def link_text(secret: bytes) -> str:
    """Write the token of a link that is mailed; ``secret`` is 32 random bytes."""
    return LINK_PREFIX + _encoded(secret)


def is_link_text(text: str) -> bool:
    """Return whether the text has the form of a mailed token."""
    return _LINK.fullmatch(text) is not None


def personal_token_id(text: str) -> str | None:
    """Return the key id of a personal access token, None where the text is not one."""
    match = _PERSONAL.fullmatch(text)
    return match[1] if match else None


def is_refresh_text(text: str) -> bool:
    """Return whether the text has the form of a refresh token."""
    return _REFRESH.fullmatch(text) is not None


def without_tokens(text: str) -> str:
    """Return a text from elsewhere with our tokens taken out."""
    return _ANY.sub(r"\1***", text)


def digest(text: str) -> bytes:
    """Return what is stored of a token."""
    return hashlib.sha256(text.encode()).digest()


def same_digest(left: bytes, right: bytes) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(left, right)


def _encoded(secret: bytes) -> str:
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a secret has {SECRET_BYTES} bytes, not {len(secret)}")
    return base64.urlsafe_b64encode(secret).rstrip(b"=").decode()
