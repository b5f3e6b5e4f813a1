"""What can go wrong with objects.

::

    AlidadeError
      InvalidRequestError
        InvalidKeyError          422  a key that no store accepts
      NotFoundError
        ObjectMissingError       404
      ForbiddenError
        BadSignatureError        403  a signed address that is wrong, changed or expired
      ObjectTooLargeError        413
      StorageCorruptError        500  content and hash differ
      UnavailableError
        StorageUnavailableError  503  unreachable, or not as it should be
          StorageFullError       503  no room
          StorageRefusedError    503  credentials, permissions or clocks
"""

from __future__ import annotations

from astro_shared.errors import (
    AlidadeError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    UnavailableError,
)


class InvalidKeyError(InvalidRequestError):
    """The key is not a valid object key."""

    code = "storage_key_invalid"


class ObjectMissingError(NotFoundError):
    """No object with this key."""

    code = "object_not_found"


class BadSignatureError(ForbiddenError):
    """The signed URL was changed, is used for something else, or has expired."""

    code = "signature_invalid"


class ObjectTooLargeError(AlidadeError):
    """The object is larger than allowed."""

    code = "object_too_large"
    status = 413


class StorageCorruptError(AlidadeError):
    """The content does not match the hash or size of its reference."""

    code = "storage_corrupt"
    status = 500


class StorageUnavailableError(UnavailableError):
    """The object store is unreachable or not working."""

    code = "storage_unavailable"


class StorageFullError(StorageUnavailableError):
    """The disk or the quota is full."""

    code = "storage_full"


class StorageRefusedError(StorageUnavailableError):
    """The object store refuses access: credentials, permissions or a wrong clock."""

    code = "storage_refused"
