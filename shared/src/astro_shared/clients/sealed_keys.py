"""Sealing of third parties' keys: auth seals, the worker that calls out opens, nobody else can.

Envelope encryption: each value has a data key of its own, sealed with a key-encryption key that has a version.
User and name are associated data, so that a ciphertext moved to another row does not open. Rotating the
key-encryption key seals the data keys anew and leaves the values' ciphertexts alone.

References
----------
NIST SP 800-38D (AES-GCM); RFC 5869 (HKDF).
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import SecretStr

from astro_shared.contracts.auth import SealedKey
from astro_shared.errors import InternalError

__all__ = ["KeyRing", "SealedSecret", "UnsealError", "open_sealed_key"]

NONCE_BYTES = 12
KEY_BYTES = 32
MIN_SECRET_CHARACTERS = 32
_VERSION = re.compile(r"[A-Za-z0-9_-]{1,32}")


class UnsealError(InternalError):
    """A sealed value does not open: another key, another owner, or damaged."""

    code = "unseal_failed"


@dataclass(frozen=True)
class SealedSecret:
    """A sealed value with its sealed data key."""

    key_version: str
    wrapped_key: bytes
    ciphertext: bytes

    def to_bytes(self) -> bytes:
        """Write all three parts as one."""
        parts = {"v": self.key_version, "k": _text(self.wrapped_key), "c": _text(self.ciphertext)}
        return json.dumps(parts).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> SealedSecret:
        """Read what `to_bytes` wrote."""
        parts = json.loads(data)
        return cls(parts["v"], base64.b64decode(parts["k"]), base64.b64decode(parts["c"]))


class KeyRing:
    """Key-encryption keys by version; the first one seals, all of them open.

    Parameters
    ----------
    secrets : secret texts of at least 32 characters by version; the keys are derived from them
    purpose : keeps keys for different things apart
    """

    def __init__(self, secrets: Mapping[str, str], *, purpose: str) -> None:
        if not secrets:
            raise ValueError("a key ring needs at least one key")
        self._keys = {version: _derived(secret, purpose) for version, secret in secrets.items()}
        self._current = next(iter(secrets))

    @classmethod
    def from_setting(cls, setting: SecretStr, *, purpose: str) -> KeyRing:
        """Read ``version:secret`` pairs separated by commas, the current one first; a lone secret is version ``v1``.

        Raises
        ------
        ValueError
            A pair is malformed or a secret too short; the message holds no secret.
        """
        secrets: dict[str, str] = {}
        items = [item.strip() for item in setting.get_secret_value().split(",") if item.strip()]
        for number, item in enumerate(items, start=1):
            version, separator, secret = item.partition(":")
            if not separator and len(items) == 1:
                version, secret = "v1", item
            if not _VERSION.fullmatch(version) or version in secrets:
                raise ValueError(f"key {number} has no version of its own (version:secret)")
            if len(secret) < MIN_SECRET_CHARACTERS:
                raise ValueError(f"key {number} is shorter than {MIN_SECRET_CHARACTERS} characters")
            secrets[version] = secret
        return cls(secrets, purpose=purpose)

    @property
    def current_version(self) -> str:
        """Version of the key that seals."""
        return self._current

    def seal(self, value: bytes, *, owner: str, name: str) -> SealedSecret:
        """Seal a value for one owner and name."""
        data_key = AESGCM.generate_key(bit_length=8 * KEY_BYTES)
        ciphertext = _encrypt(data_key, value, _bound("value", owner, name))
        return SealedSecret(self._current, self._wrap(data_key, owner, name), ciphertext)

    def unseal(self, sealed: SealedSecret, *, owner: str, name: str) -> bytes:
        """Open a sealed value.

        Raises
        ------
        UnsealError
            The key is missing, or anything was changed.
        """
        data_key = self._unwrap(sealed, owner, name)
        return _decrypt(data_key, sealed.ciphertext, _bound("value", owner, name))

    def rewrap(self, sealed: SealedSecret, *, owner: str, name: str) -> SealedSecret:
        """Seal the data key anew with the current key."""
        data_key = self._unwrap(sealed, owner, name)
        return SealedSecret(self._current, self._wrap(data_key, owner, name), sealed.ciphertext)

    def _wrap(self, data_key: bytes, owner: str, name: str) -> bytes:
        return _encrypt(self._keys[self._current], data_key, _bound("key", self._current, owner, name))

    def _unwrap(self, sealed: SealedSecret, owner: str, name: str) -> bytes:
        key = self._keys.get(sealed.key_version)
        if key is None:
            raise UnsealError(f"There is no key-encryption key of version {sealed.key_version}.")
        return _decrypt(key, sealed.wrapped_key, _bound("key", sealed.key_version, owner, name))


def open_sealed_key(ring: KeyRing, key: SealedKey) -> SecretStr:
    """Open a key that auth handed out."""
    sealed = SealedSecret(key.key_version, base64.b64decode(key.wrapped_key), base64.b64decode(key.ciphertext))
    return SecretStr(ring.unseal(sealed, owner=key.user, name=key.name).decode())


def _derived(secret: str, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=f"alidade {purpose}".encode()).derive(
        secret.encode()
    )


def _bound(*parts: str) -> bytes:
    return json.dumps(["alidade", *parts]).encode()


def _encrypt(key: bytes, value: bytes, bound: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, value, bound)


def _decrypt(key: bytes, sealed: bytes, bound: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound)
    except (InvalidTag, ValueError) as error:
        raise UnsealError("A sealed value does not open.") from error


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
