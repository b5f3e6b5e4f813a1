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
    """No such upload, or it belongs to another user."""

    code = "upload_not_found"


class ReductionNotFoundError(NotFoundError):
    """No such reduction, or it belongs to another user."""

    code = "reduction_not_found"


class ResultNotFoundError(NotFoundError):
    """The reduction has no result file of that name."""

    code = "result_not_found"


class WorkNotFoundError(NotFoundError):
    """No such job, or it belongs to another user."""

    code = "work_not_found"


class ReductionNotFinishedError(ConflictError):
    """The reduction is still running; use it when it has ended."""

    code = "reduction_not_finished"


class ReductionUnfitError(ConflictError):
    """The reduction lacks something that the request needs; the message says what."""

    code = "reduction_unfit"


class MasterNotFinishedError(ConflictError):
    """The master is still being made; use it when its job has ended."""

    code = "master_not_finished"


class UploadIncompleteError(ConflictError):
    """The file has not been uploaded yet."""

    code = "upload_incomplete"


class IdempotencyConflictError(InvalidRequestError):
    """The idempotency key was already used for another request."""

    code = "idempotency_key_reused"


class UploadMismatchError(InvalidRequestError):
    """Size or hash of the uploaded file differs from what was announced."""

    code = "upload_mismatch"


class SettingsInvalidError(InvalidRequestError):
    """A processing setting is unknown or out of range."""

    code = "settings_invalid"


class UnknownPresetError(InvalidRequestError):
    """No preset of that name."""

    code = "preset_unknown"
