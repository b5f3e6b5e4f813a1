"""What can go wrong at the gateway, by name.

::

    NotFoundError
    |-- UploadNotFoundError
    |-- ReductionNotFoundError
    |-- ResultNotFoundError
    `-- WorkNotFoundError
    ConflictError
    |-- UploadIncompleteError
    |-- ReductionNotFinishedError
    |-- ReductionUnfitError
    |-- MasterNotFinishedError
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


class WorkNotFoundError(NotFoundError):
    code = "work_not_found"


class ReductionNotFinishedError(ConflictError):
    """It can be used when it has ended."""

    code = "reduction_not_finished"


class ReductionUnfitError(ConflictError):
    """It lacks what is needed: says what."""

    code = "reduction_unfit"


class MasterNotFinishedError(ConflictError):
    """It can be used when it has been made."""

    code = "master_not_finished"


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
