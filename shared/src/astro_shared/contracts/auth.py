"""What the auth service says and hears: scopes, tokens, keys, revocations, accounts.

Public routes (`/api/v1/...`) and internal ones (`/v1/...`) share these models, so that
the client and the other services need nothing else to talk to auth.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

__all__ = [
    "ADMIN_SCOPES",
    "ALL_USER_SCOPES",
    "AccessTokenResponse",
    "AccountOptions",
    "AccountResponse",
    "AddressChangeRequest",
    "AddressConfirmRequest",
    "FailedLetterView",
    "InvitationList",
    "InvitationRequest",
    "InvitationView",
    "JsonWebKey",
    "JsonWebKeySet",
    "LoginRequest",
    "LogoutRequest",
    "MailState",
    "MailTestRequest",
    "NewPasswordRequest",
    "PERSONAL_TOKEN_SCOPES",
    "PasswordChangeRequest",
    "PersonalTokenCreated",
    "PersonalTokenExchangeRequest",
    "PersonalTokenList",
    "PersonalTokenRequest",
    "PersonalTokenView",
    "RecoverRequest",
    "RecoverResponse",
    "RefreshRequest",
    "RegisterRequest",
    "RevocationFeed",
    "SERVICE_SCOPES",
    "Scope",
    "SealedKey",
    "ServiceTokenRequest",
    "ServiceTokenResponse",
    "SessionTokens",
    "ThirdPartyKeyRequest",
    "ThirdPartyKeyView",
    "ThirdPartyKeyList",
    "UserSettingsDocument",
]


class Scope(StrEnum):
    """What a token may be used for."""

    ACCOUNT_READ = "account:read"
    ACCOUNT_WRITE = "account:write"
    SETTINGS_READ = "settings:read"
    SETTINGS_WRITE = "settings:write"
    KEYS_WRITE = "keys:write"
    TOKENS_WRITE = "tokens:write"
    FRAMES_READ = "frames:read"
    FRAMES_WRITE = "frames:write"
    REDUCTIONS_READ = "reductions:read"
    REDUCTIONS_WRITE = "reductions:write"
    CATALOGS_READ = "catalogs:read"
    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    JOBS_CALLBACK = "jobs:callback"
    USER_SETTINGS_READ = "user-settings:read"
    KEYS_UNSEAL = "keys:unseal"
    ADMIN = "platform:admin"


SERVICE_SCOPES = frozenset(
    {
        Scope.JOBS_READ,
        Scope.JOBS_WRITE,
        Scope.JOBS_CALLBACK,
        Scope.USER_SETTINGS_READ,
        Scope.KEYS_UNSEAL,
        Scope.CATALOGS_READ,
    }
)
"""Scopes that a service may ask for; no user ever gets one that is only here."""

ALL_USER_SCOPES = frozenset(
    {
        Scope.ACCOUNT_READ,
        Scope.ACCOUNT_WRITE,
        Scope.SETTINGS_READ,
        Scope.SETTINGS_WRITE,
        Scope.KEYS_WRITE,
        Scope.TOKENS_WRITE,
        Scope.FRAMES_READ,
        Scope.FRAMES_WRITE,
        Scope.REDUCTIONS_READ,
        Scope.REDUCTIONS_WRITE,
        Scope.CATALOGS_READ,
    }
)
"""Scopes of a session begun with a password."""

ADMIN_SCOPES = frozenset({Scope.ADMIN})
"""Further scopes of administrators: what all users share."""

PERSONAL_TOKEN_SCOPES = (ALL_USER_SCOPES | ADMIN_SCOPES) - {Scope.ACCOUNT_WRITE, Scope.TOKENS_WRITE}
"""Scopes that a personal access token may have where its maker has them: it can neither change the password nor make
further tokens."""

Username = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{1,62}$")]
Email = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,190}$", max_length=254)
]
KeyName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{1,39}$")]


class _Model(BaseModel):
    """Base of every model here: nothing that was not asked for gets in."""

    model_config = ConfigDict(extra="forbid")


class JsonWebKey(_Model):
    """A public ES256 key."""

    kty: Literal["EC"] = "EC"
    crv: Literal["P-256"] = "P-256"
    alg: Literal["ES256"] = "ES256"
    use: Literal["sig"] = "sig"
    kid: str = Field(title="Key id", pattern=r"^[A-Za-z0-9_-]{8,64}$")
    x: str = Field(title="x coordinate, base64url", pattern=r"^[A-Za-z0-9_-]{43}$")
    y: str = Field(title="y coordinate, base64url", pattern=r"^[A-Za-z0-9_-]{43}$")


class JsonWebKeySet(_Model):
    """The keys with which tokens are checked, at `/.well-known/jwks.json`."""

    keys: list[JsonWebKey]


class RevocationFeed(_Model):
    """What is no longer valid although its tokens have not expired yet.

    Entries leave the feed once every token they concern has expired.
    """

    generated_at: datetime = Field(title="Time of this answer, UTC")
    sessions: list[str] = Field(title="Ended sessions", description="Tokens whose `sid` is here are refused.")
    subjects: list[str] = Field(
        title="Disabled or deleted users", description="Tokens with this `sub` or `on_behalf_of` are refused."
    )


class RegisterRequest(_Model):
    """Opens an account."""

    username: Username = Field(
        title="Name to log in with", description="Lower case, 2 to 63 characters.", examples=["ada"]
    )
    password: SecretStr = Field(
        title="Password",
        description="8 to 128 characters of any kind; common ones are refused.",
        min_length=1,
        max_length=1024,
    )
    email: Email | None = Field(default=None, title="Address for recovery and notices")
    invitation: SecretStr | None = Field(
        default=None,
        title="Token of an invitation",
        description="Then the account has the address that was invited.",
        max_length=256,
    )


class AccountOptions(_Model):
    """How accounts are opened and recovered here."""

    registration: Literal["open", "invitation", "closed"] = Field(title="Who may open an account")
    confirm_address: bool = Field(title="Whether a new account waits for its address to be confirmed")
    recovery: bool = Field(title="Whether a lost password can be replaced by mail")


class RecoverRequest(_Model):
    """Asks for a new password."""

    account: str = Field(title="User name or address", min_length=1, max_length=254, examples=["ada"])


class RecoverResponse(_Model):
    """The answer to everybody, whether there is such an account or not."""

    detail: str = Field(
        default="If there is such an account and it has an address, a letter is on its way.", title="In words"
    )


class NewPasswordRequest(_Model):
    """Sets a new password with the token of the link that was mailed."""

    token: SecretStr = Field(title="Token", description="Behind `#token=` in the link.", min_length=1, max_length=256)
    new_password: SecretStr = Field(title="New password", min_length=1, max_length=1024)


class AddressChangeRequest(_Model):
    """Begins a change of address; the present password is asked for again."""

    email: Email = Field(title="New address")
    current_password: SecretStr = Field(title="Present password", min_length=1, max_length=1024)


class AddressConfirmRequest(_Model):
    """Proves an address with the token of the link that was mailed to it."""

    token: SecretStr = Field(title="Token", description="Behind `#token=` in the link.", min_length=1, max_length=256)


class MailTestRequest(_Model):
    """Sends a test letter."""

    to: Email = Field(title="Address", examples=["you@example.org"])


class FailedLetterView(_Model):
    """A letter that could not be delivered."""

    kind: str = Field(title="What it was about", examples=["recover"])
    recipient: str | None = Field(title="Address, where the letter names one")
    tries: int = Field(title="How often delivery was tried")
    created_at: datetime = Field(title="Written, UTC")
    failed_at: datetime = Field(title="Given up, UTC")
    reason: str = Field(title="What the mail server said last")


class MailState(_Model):
    """How mail is getting on."""

    waiting: int = Field(title="Letters that wait")
    oldest_at: datetime | None = Field(title="When the oldest of them was written, UTC")
    last_error: str | None = Field(title="What keeps letters from leaving, if anything does")
    failed: list[FailedLetterView] = Field(title="Letters given up in the last seven days, newest first, at most 50")


class InvitationRequest(_Model):
    """Invites somebody to open an account."""

    email: Email = Field(title="Address")


class InvitationView(_Model):
    """An invitation that was mailed and not used yet."""

    email: str = Field(title="Address")
    sent_at: datetime = Field(title="Mailed, UTC")
    expires_at: datetime = Field(title="Expires, UTC")


class InvitationList(_Model):
    """Open invitations."""

    items: list[InvitationView]


class LoginRequest(_Model):
    """First-party login."""

    username: str = Field(title="User name", min_length=1, max_length=128)
    password: SecretStr = Field(title="Password", min_length=1, max_length=1024)
    cookie: bool = Field(
        default=False,
        title="Keep the refresh token in a cookie",
        description="For pages in a browser: the refresh token is set as an HttpOnly cookie and not in the answer.",
    )


class RefreshRequest(_Model):
    """Swaps a refresh token for a new pair; in a browser the cookie carries it instead."""

    refresh_token: SecretStr | None = Field(default=None, title="Refresh token", max_length=256)


class LogoutRequest(_Model):
    """Ends the session of the refresh token (or of the cookie)."""

    refresh_token: SecretStr | None = Field(default=None, title="Refresh token", max_length=256)


class PersonalTokenExchangeRequest(_Model):
    """Swaps a personal access token for a short-lived access token."""

    personal_token: SecretStr = Field(title="Personal access token", min_length=1, max_length=256)


class AccessTokenResponse(_Model):
    """An access token, to be sent as `Authorization: Bearer ...`."""

    access_token: str = Field(title="ES256 JWT")
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the name of a kind
    expires_in: int = Field(title="Seconds until it expires", examples=[900])
    scope: str = Field(title="Scopes, separated by spaces")


class SessionTokens(AccessTokenResponse):
    """What login and refresh answer."""

    refresh_token: str | None = Field(
        default=None, title="Refresh token", description="Absent when it was set as a cookie."
    )


class ServiceTokenRequest(_Model):
    """Client credentials of a service."""

    client_id: str = Field(title="Service name", examples=["gateway"], pattern=r"^[a-z][a-z0-9-]{1,39}$")
    client_secret: SecretStr = Field(title="Its secret", min_length=1, max_length=256)
    scope: list[Scope] = Field(title="Scopes wanted", min_length=1, max_length=16)
    on_behalf_of: str | None = Field(default=None, title="User id the work is for", max_length=64)


class ServiceTokenResponse(AccessTokenResponse):
    """A service token."""


class AccountResponse(_Model):
    """The caller's own account."""

    id: str = Field(title="User id")
    username: str = Field(title="User name")
    email: str | None = Field(title="Address")
    email_confirmed: bool = Field(title="Whether a link mailed to the address was followed")
    role: Literal["user", "admin"] = Field(title="Role")
    created_at: datetime = Field(title="Opened, UTC")


class PasswordChangeRequest(_Model):
    """Changes the password and ends every session and personal token."""

    current_password: SecretStr = Field(title="Present password", min_length=1, max_length=1024)
    new_password: SecretStr = Field(title="New password", min_length=1, max_length=1024)


class UserSettingsDocument(_Model):
    """Saved processing settings: only what differs from the defaults, by section."""

    sections: dict[str, dict[str, Any]] = Field(
        title="Overrides by section",
        description="Validated against the processing settings; a value left out keeps its default.",
        examples=[{"detection": {"threshold_sigma": 4.0}}],
    )


class PersonalTokenRequest(_Model):
    """Makes a personal access token for scripts."""

    name: str = Field(title="Name to know it by", min_length=1, max_length=100)
    scope: list[Scope] | None = Field(default=None, title="Scopes", description="All of the caller's when absent.")
    expires_in_days: int = Field(default=90, title="Days until it expires", ge=1, le=366)


class PersonalTokenView(_Model):
    """A personal access token without its secret."""

    id: str = Field(title="Key id")
    name: str = Field(title="Name")
    scope: list[Scope] = Field(title="Scopes")
    created_at: datetime = Field(title="Made, UTC")
    expires_at: datetime = Field(title="Expires, UTC")
    last_used_at: datetime | None = Field(title="Last exchanged, UTC")


class PersonalTokenCreated(PersonalTokenView):
    """A new personal access token; its text is shown this once."""

    token: str = Field(title="The token")


class PersonalTokenList(_Model):
    """The caller's live personal access tokens."""

    items: list[PersonalTokenView]


class ThirdPartyKeyRequest(_Model):
    """Stores a key of a third party; it can be used by workers, never read back."""

    value: SecretStr = Field(title="The key", min_length=1, max_length=4096)


class ThirdPartyKeyView(_Model):
    """That a key is there, and how it ends."""

    name: str = Field(title="Name of the key", examples=["astrometry_net"])
    set: bool = Field(title="Whether it is there")
    last4: str | None = Field(title="Its last four characters", description="Only of keys with at least 12 characters.")
    updated_at: datetime | None = Field(title="Stored, UTC")


class ThirdPartyKeyList(_Model):
    """The caller's keys."""

    items: list[ThirdPartyKeyView]


class SealedKey(_Model):
    """A third party's key as ciphertext, for the worker that holds the key-encryption key."""

    name: str
    user: str
    key_version: str = Field(title="Which key-encryption key sealed it")
    wrapped_key: str = Field(title="Data key, sealed; base64")
    ciphertext: str = Field(title="Value, sealed with the data key; base64")
