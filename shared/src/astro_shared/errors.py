"""What can go wrong, by name; every error of Alidade derives from one class.

::

    AlidadeError
    |-- InvalidRequestError   422  the caller asked for something impossible
    |-- UnauthorizedError     401  no or no valid credentials
    |-- ForbiddenError        403  known, but not allowed
    |-- NotFoundError         404  absent, or somebody else's
    |-- ConflictError         409  contradicts what is already there
    |-- UpstreamError         502  a remote service failed; retry
    |-- UnavailableError      503  something of ours is away for a moment; retry
    |-- InternalError         500  a defect
    `-- RelayedError          any  an error that crossed a process or HTTP boundary with its code

``code`` is stable and for programs, the message is one sentence for people with the numbers in it. Whether a retry
can help is a property of the class.
"""

from __future__ import annotations

from typing import Any


class AlidadeError(Exception):
    """Base of all errors.

    Parameters
    ----------
    message
        One sentence for the person who reads it, with the numbers in it.
    attributes
        Typed facts (``found=4, needed=6``); readable as attributes and through ``details``.
    """

    code: str = "error"
    status: int = 500
    retryable: bool = False

    def __init__(self, message: str, **attributes: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Any] = attributes

    def __getattr__(self, name: str) -> Any:
        """Facts given to the constructor read as attributes."""
        try:
            return self.__dict__["details"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __str__(self) -> str:
        return self.message


class InvalidRequestError(AlidadeError):
    """The request is not valid."""

    code = "invalid_request"
    status = 422


class UnauthorizedError(AlidadeError):
    """Credentials are missing, expired or wrong."""

    code = "unauthorized"
    status = 401


class ForbiddenError(AlidadeError):
    """The caller is authenticated but not allowed to do this."""

    code = "forbidden"
    status = 403


class NotFoundError(AlidadeError):
    """The resource does not exist or belongs to another user."""

    code = "not_found"
    status = 404


class ConflictError(AlidadeError):
    """The request conflicts with the current state."""

    code = "conflict"
    status = 409


class UpstreamError(AlidadeError):
    """An external service failed or gave an invalid response."""

    code = "upstream_failed"
    status = 502
    retryable = True


class UnavailableError(AlidadeError):
    """A part of Alidade is temporarily unavailable."""

    code = "unavailable"
    status = 503
    retryable = True


class InternalError(AlidadeError):
    """A defect in Alidade; the details are in the log."""

    code = "internal_error"
    status = 500


class RelayedError(AlidadeError):
    """An error of another process, with its own code, status and readiness for retries.

    What is a class attribute elsewhere in the family belongs to the instance here: the class itself did not travel.
    """

    code = "relayed_error"

    def __init__(self, message: str, *, code: str, status: int = 500, retryable: bool = False, **details: Any) -> None:
        super().__init__(message, **details)
        self.code = code
        self.status = status
        self.retryable = retryable


def error_to_dict(error: AlidadeError) -> dict[str, Any]:
    """Describe an error so that `error_from_dict` can raise it elsewhere."""
    return {
        "code": error.code,
        "message": error.message,
        "status": error.status,
        "retryable": error.retryable,
        "details": error.details,
    }


def error_from_dict(description: dict[str, Any]) -> RelayedError:
    """Rebuild an error described by `error_to_dict`."""
    reserved = ("code", "message", "status", "retryable")
    details = {key: value for key, value in (description.get("details") or {}).items() if key not in reserved}
    return RelayedError(
        str(description.get("message", "")),
        code=str(description.get("code", "internal_error")),
        status=int(description.get("status", 500)),
        retryable=bool(description.get("retryable", False)),
        **details,
    )
