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
    """The body is larger than this route takes."""

    code = "payload_too_large"
    status = 413


class BadJsonError(InvalidRequestError):
    """The body is not JSON as RFC 8259 has it, or is nested too deep."""

    code = "bad_json"
    status = 422


class BadIdempotencyKeyError(InvalidRequestError):
    """The Idempotency-Key header is missing or malformed."""

    code = "bad_idempotency_key"
    status = 422


class PreconditionRequiredError(InvalidRequestError):
    """A change of a shared resource came without If-Match."""

    code = "precondition_required"
    status = 428


class PreconditionFailedError(InvalidRequestError):
    """If-Match names a state that is no longer the present one."""

    code = "precondition_failed"
    status = 412


class TooManyRequestsError(InvalidRequestError):
    """A limit is used up; ``retry_after_s`` says when to come back."""

    code = "too_many_requests"
    status = 429
    retryable = True


class InvalidTokenError(UnauthorizedError):
    """The bearer token is missing, malformed, forged, expired or revoked."""

    code = "invalid_token"
    status = 401


class RevocationsStaleError(UnavailableError):
    """It is not known whether the token was revoked, so it is not accepted."""

    code = "revocations_stale"
    status = 503


class KeysUnavailableError(UnavailableError):
    """The public keys of auth could not be fetched."""

    code = "keys_unavailable"
    status = 503
