"""Errors that only HTTP knows.

::

    AlidadeError
      InvalidRequestError
        PayloadTooLargeError        413
        BadJsonError                422
        BadIdempotencyKeyError      422
        PreconditionRequiredError   428
        PreconditionFailedError     412
        TooManyRequestsError        429
      UnauthorizedError
        InvalidTokenError           401
      UnavailableError
        RevocationsStaleError       503
        KeysUnavailableError        503
"""

from __future__ import annotations

from astro_shared.errors import InvalidRequestError, UnauthorizedError, UnavailableError

__all__ = [
    "BadIdempotencyKeyError",
    "BadJsonError",
    "InvalidTokenError",
    "KeysUnavailableError",
    "PayloadTooLargeError",
    "PreconditionFailedError",
    "PreconditionRequiredError",
    "RevocationsStaleError",
    "TooManyRequestsError",
]


class PayloadTooLargeError(InvalidRequestError):
    """The request body is larger than this route accepts."""

    code = "payload_too_large"
    status = 413


class BadJsonError(InvalidRequestError):
    """The body is not valid JSON (RFC 8259) or is nested too deeply."""

    code = "bad_json"
    status = 422


class BadIdempotencyKeyError(InvalidRequestError):
    """The Idempotency-Key header is missing or malformed."""

    code = "bad_idempotency_key"
    status = 422


class PreconditionRequiredError(InvalidRequestError):
    """The request needs an If-Match header."""

    code = "precondition_required"
    status = 428


class PreconditionFailedError(InvalidRequestError):
    """The resource has changed since the state named in If-Match."""

    code = "precondition_failed"
    status = 412


class TooManyRequestsError(InvalidRequestError):
    """Too many requests; try again after ``retry_after_s``."""

    code = "too_many_requests"
    status = 429
    retryable = True


class InvalidTokenError(UnauthorizedError):
    """The bearer token is missing, malformed, forged, expired or revoked."""

    code = "invalid_token"
    status = 401


class RevocationsStaleError(UnavailableError):
    """The list of revoked tokens is out of date, so no token is accepted."""

    code = "revocations_stale"
    status = 503


class KeysUnavailableError(UnavailableError):
    """The public keys of the auth service could not be fetched."""

    code = "keys_unavailable"
    status = 503
