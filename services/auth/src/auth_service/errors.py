"""What can go wrong in auth, by name.

::

    AlidadeError
      UnauthorizedError    BadCredentialsError, SessionEndedError, RefreshReplayedError, BadPersonalTokenError,
                           BadClientError
      ForbiddenError       ScopeNotAllowedError, RegistrationClosedError, ForeignOriginError
      ConflictError        UsernameTakenError, TooManyTokensError, SettingsChangedError
      NotFoundError        UnknownAccountError, UnknownPersonalTokenError, UnknownKeyError
      InvalidRequestError  WeakPasswordError, BadSettingsError, BadUsernameError, TooManyAttemptsError
      UnavailableError     BusyError
"""

from __future__ import annotations

from astro_shared.errors import (
    ConflictError,
    ForbiddenError,
    InvalidRequestError,
    NotFoundError,
    UnauthorizedError,
    UnavailableError,
)


class BadCredentialsError(UnauthorizedError):
    """User name and password do not belong together, or the account is not active; the two are not told apart."""

    code = "bad_credentials"


class SessionEndedError(UnauthorizedError):
    """The refresh token is unknown, expired, or its session was ended."""

    code = "session_ended"


class RefreshReplayedError(UnauthorizedError):
    """A refresh token was used a second time, so its whole session was ended."""

    code = "refresh_replayed"


class BadPersonalTokenError(UnauthorizedError):
    """The personal access token is unknown, expired or revoked."""

    code = "bad_personal_token"


class BadClientError(UnauthorizedError):
    """The service's credentials are wrong."""

    code = "bad_client"


class ScopeNotAllowedError(ForbiddenError):
    """More was asked for than the caller may give or have."""

    code = "scope_not_allowed"


class RegistrationClosedError(ForbiddenError):
    """Accounts are opened by the operator here."""

    code = "registration_closed"


class ForeignOriginError(ForbiddenError):
    """A cookie came with a request from a page of another origin."""

    code = "foreign_origin"


class UsernameTakenError(ConflictError):
    """The user name is in use."""

    code = "username_taken"


class TooManyTokensError(ConflictError):
    """The user has as many tokens or keys as one may have."""

    code = "too_many_tokens"


class SettingsChangedError(ConflictError):
    """Somebody saved settings in the meantime."""

    code = "precondition_failed"
    status = 412


class UnknownAccountError(NotFoundError):
    """There is no such account, or it is not active."""

    code = "unknown_account"


class UnknownPersonalTokenError(NotFoundError):
    """The caller has no such personal access token."""

    code = "unknown_personal_token"


class UnknownKeyError(NotFoundError):
    """No such key of a third party is stored."""

    code = "unknown_key"


class WeakPasswordError(InvalidRequestError):
    """The password is too short, too long or too common."""

    code = "weak_password"


class BadUsernameError(InvalidRequestError):
    """The user name is reserved."""

    code = "bad_username"


class BadSettingsError(InvalidRequestError):
    """Saved settings do not fit the processing settings; ``errors`` says which."""

    code = "bad_settings"


class TooManyAttemptsError(InvalidRequestError):
    """Too many failures; ``retry_after_s`` says when to come back."""

    code = "too_many_attempts"
    status = 429
    retryable = True


class BusyError(UnavailableError):
    """More passwords are waiting to be checked than is good."""

    code = "busy"
