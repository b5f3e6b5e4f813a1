"""What every HTTP service has in common: errors, limits, logs, health, token checks."""

from astro_shared.web.application import create_app, problem_responses
from astro_shared.web.body import BodyLimits, load_strict_json
from astro_shared.web.context import current_request, new_context, outgoing_headers, request_scope
from astro_shared.web.errors import (
    BadIdempotencyKeyError,
    BadJsonError,
    InvalidTokenError,
    KeysUnavailableError,
    PayloadTooLargeError,
    PreconditionFailedError,
    PreconditionRequiredError,
    RevocationsStaleError,
    TooManyRequestsError,
)
from astro_shared.web.etags import check_if_match, etag_of, is_not_modified
from astro_shared.web.idempotency import optional_idempotency_key
from astro_shared.web.problems import FieldProblem, Problem, problem_response
from astro_shared.web.security import (
    Authenticator,
    Principal,
    RevocationSnapshot,
    RevocationSource,
    bearer_token,
    current_principal,
    require,
    require_service,
    require_user,
)

__all__ = [
    "Authenticator",
    "BadIdempotencyKeyError",
    "BadJsonError",
    "BodyLimits",
    "FieldProblem",
    "InvalidTokenError",
    "KeysUnavailableError",
    "PayloadTooLargeError",
    "PreconditionFailedError",
    "PreconditionRequiredError",
    "Principal",
    "Problem",
    "RevocationSnapshot",
    "RevocationSource",
    "RevocationsStaleError",
    "TooManyRequestsError",
    "check_if_match",
    "create_app",
    "bearer_token",
    "current_principal",
    "current_request",
    "etag_of",
    "is_not_modified",
    "load_strict_json",
    "new_context",
    "optional_idempotency_key",
    "outgoing_headers",
    "problem_response",
    "problem_responses",
    "request_scope",
    "require",
    "require_service",
    "require_user",
]
