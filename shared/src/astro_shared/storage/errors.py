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
    """A key that could leave the store or that not every store accepts."""

    code = "storage_key_invalid"


class ObjectMissingError(NotFoundError):
    """There is no object of this key."""

    code = "object_not_found"


class BadSignatureError(ForbiddenError):
    """A signed address was changed, is used for something else, or has expired."""

    code = "signature_invalid"


class ObjectTooLargeError(AlidadeError):
    """More bytes than were allowed."""

    code = "object_too_large"
    status = 413


class StorageCorruptError(AlidadeError):
    """The content does not have the hash or size of its reference."""

    code = "storage_corrupt"
    status = 500


class StorageUnavailableError(UnavailableError):
    """The store is full, unreachable or refuses."""

    code = "storage_unavailable"


class StorageFullError(StorageUnavailableError):
    """There is no room left, on the disk or in the quota."""

    code = "storage_full"


class StorageRefusedError(StorageUnavailableError):
    """The store does not accept who asks: credentials, permissions, or a clock that is wrong."""

    code = "storage_refused"
