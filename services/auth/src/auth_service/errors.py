"""What can go wrong in auth, by name.

::

    AlidadeError
      UnauthorizedError    BadCredentialsError, SessionEndedError, RefreshReplayedError, BadPersonalTokenError,
                           BadClientError
      ForbiddenError       ScopeNotAllowedError, RegistrationClosedError, InvitationNeededError, ForeignOriginError,
                           AddressNotConfirmedError, MailNotConfiguredError
      ConflictError        UsernameTakenError, TooManyTokensError, SettingsChangedError
      NotFoundError        UnknownAccountError, UnknownPersonalTokenError, UnknownKeyError, UnknownInvitationError
      InvalidRequestError  WeakPasswordError, BadSettingsError, BadUsernameError, BadAddressError, LinkInvalidError,
                           TooManyAttemptsError
      UpstreamError        MailRefusedError, MailUnreachableError
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
    UpstreamError,
)


class BadCredentialsError(UnauthorizedError):
    """Wrong user name or password, or the account is not active; the answer does not tell which."""

    code = "bad_credentials"


class SessionEndedError(UnauthorizedError):
    """The refresh token is unknown or expired, or its session has ended."""

    code = "session_ended"


class RefreshReplayedError(UnauthorizedError):
    """A refresh token was used twice, so its session was ended."""

    code = "refresh_replayed"


class BadPersonalTokenError(UnauthorizedError):
    """The personal access token is unknown, expired or revoked."""

    code = "bad_personal_token"


class BadClientError(UnauthorizedError):
    """The service's credentials are wrong."""

    code = "bad_client"


class ScopeNotAllowedError(ForbiddenError):
    """The requested scope exceeds what the caller has."""

    code = "scope_not_allowed"


class RegistrationClosedError(ForbiddenError):
    """Registration is closed; the operator creates accounts."""

    code = "registration_closed"


class InvitationNeededError(ForbiddenError):
    """Accounts are opened by invitation here, and the request has none."""

    code = "invitation_needed"


class AddressNotConfirmedError(ForbiddenError):
    """The password is right, but the account's address was not confirmed yet."""

    code = "address_not_confirmed"


class MailNotConfiguredError(ForbiddenError):
    """This server sends no mail."""

    code = "mail_not_configured"


class ForeignOriginError(ForbiddenError):
    """The request comes from a page of another origin."""

    code = "foreign_origin"


class UsernameTakenError(ConflictError):
    """The user name is in use."""

    code = "username_taken"


class TooManyTokensError(ConflictError):
    """The user has reached the limit of tokens or keys."""

    code = "too_many_tokens"


class SettingsChangedError(ConflictError):
    """The settings were changed in the meantime."""

    code = "precondition_failed"
    status = 412


class UnknownAccountError(NotFoundError):
    """There is no such account, or it is not active."""

    code = "unknown_account"


class UnknownPersonalTokenError(NotFoundError):
    """The caller has no such personal access token."""

    code = "unknown_personal_token"


class UnknownKeyError(NotFoundError):
    """No key of that name is stored."""

    code = "unknown_key"


class UnknownInvitationError(NotFoundError):
    """There is no open invitation for the address."""

    code = "unknown_invitation"


class WeakPasswordError(InvalidRequestError):
    """The password is too short, too long or too common."""

    code = "weak_password"


class BadUsernameError(InvalidRequestError):
    """The user name is reserved."""

    code = "bad_username"


class BadAddressError(InvalidRequestError):
    """The address is missing, or not one plain mail address."""

    code = "bad_address"


class LinkInvalidError(InvalidRequestError):
    """The mailed link was used, is too old, or was replaced by a newer one."""

    code = "link_invalid"


class BadSettingsError(InvalidRequestError):
    """The saved settings are not valid processing settings; ``errors`` lists the fields."""

    code = "bad_settings"


class TooManyAttemptsError(InvalidRequestError):
    """Too many failed attempts; try again after ``retry_after_s``."""

    code = "too_many_attempts"
    status = 429
    retryable = True


class MailRefusedError(UpstreamError):
    """The mail server refused the letter; ``permanent`` says that it always will."""

    code = "mail_refused"


class MailUnreachableError(UpstreamError):
    """The mail server cannot be reached, does not answer in time, or closed the connection."""

    code = "mail_unreachable"


class BusyError(UnavailableError):
    """Too many passwords are waiting to be checked."""

    code = "busy"
