"""What can go wrong at the gateway, by name.

::

    NotFoundError
    |-- UploadNotFoundError
    |-- ReductionNotFoundError
    `-- ResultNotFoundError
    ConflictError
    |-- UploadIncompleteError
    `-- IdempotencyConflictError
    InvalidRequestError
    |-- UploadMismatchError
    |-- SettingsInvalidError
    `-- UnknownPresetError
"""

from __future__ import annotations

from astro_shared.errors import ConflictError, InvalidRequestError, NotFoundError


class UploadNotFoundError(NotFoundError):
    code = "upload_not_found"


class ReductionNotFoundError(NotFoundError):
    code = "reduction_not_found"


class ResultNotFoundError(NotFoundError):
    code = "result_not_found"


class UploadIncompleteError(ConflictError):
    """The bytes are not there yet."""

    code = "upload_incomplete"


class IdempotencyConflictError(InvalidRequestError):
    """The same key came with another request."""

    code = "idempotency_key_reused"


class UploadMismatchError(InvalidRequestError):
    """What arrived is not what was announced."""

    code = "upload_mismatch"


class SettingsInvalidError(InvalidRequestError):
    """A setting is unknown or outside its range."""

    code = "settings_invalid"


class UnknownPresetError(InvalidRequestError):
    code = "preset_unknown"
