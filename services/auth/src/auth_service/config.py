"""Settings of auth, from the environment (prefix ``AUTH_``)."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from astro_shared.clients.sealed_keys import KeyRing
from astro_shared.contracts.auth import Scope
from astro_shared.settings import ServiceSettings
from auth_service.domain.accounts import Registration
from auth_service.domain.mail import is_address

DEFAULT_CLIENT_SCOPES: dict[str, frozenset[Scope]] = {
    "gateway": frozenset(
        {Scope.JOBS_READ, Scope.JOBS_WRITE, Scope.USER_SETTINGS_READ, Scope.CATALOGS_READ, Scope.JOBS_CALLBACK}
    ),
    "photometry": frozenset({Scope.JOBS_CALLBACK, Scope.CATALOGS_READ}),
    "astrometry": frozenset({Scope.JOBS_CALLBACK, Scope.CATALOGS_READ, Scope.KEYS_UNSEAL}),
    "catalogs": frozenset({Scope.JOBS_CALLBACK, Scope.KEYS_UNSEAL}),
}
"""What each of our services may ask for; a setting may say otherwise."""


class ClientSettings(BaseModel):
    """Credentials of one service."""

    model_config = ConfigDict(extra="forbid")

    secret: SecretStr = Field(title="Secret", description="At least 32 characters", min_length=32)
    scopes: frozenset[Scope] | None = Field(default=None, title="Scopes", description="By default those of its name")
    acts_for_users: bool = Field(default=True, title="Whether it may act on behalf of users")


class AttemptSettings(BaseModel):
    """Failures allowed within a window before answers are 429."""

    model_config = ConfigDict(extra="forbid")

    window_s: int = Field(default=900, ge=1, title="Window, s")
    per_pair: int = Field(default=10, ge=1, title="One name from one address")
    per_name: int = Field(default=30, ge=1, title="One name from addresses that never logged in with it")
    per_source: int = Field(default=100, ge=1, title="All names from one address")
    registrations_per_source: int = Field(default=30, ge=1, title="Registrations from one address")
    recoveries_per_source: int = Field(default=30, ge=1, title="Requests for a new password from one address")
    recoveries_per_name: int = Field(
        default=5,
        ge=1,
        title="Letters about a new password for one name or address",
        description="Beyond it the answer is the same and no letter is written",
    )
    one_more_after_s: int = Field(
        default=60,
        ge=1,
        title="Pause between logins beyond a limit, s",
        description="So that nobody is locked out to the end of the window",
    )


class MailSettings(BaseModel):
    """How letters leave: not at all, over SMTP, or as files in a folder."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["none", "smtp", "folder"] = Field(
        default="none", title="Kind of mail", description="none: no recovery by mail; folder: for a single machine"
    )
    host: str | None = Field(default=None, title="SMTP server", pattern=r"^[A-Za-z0-9.:_-]{1,253}$")
    port: int = Field(default=587, ge=1, le=65535, title="Port of the SMTP server")
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls",
        title="Encryption to the SMTP server",
        description="starttls (587) or tls (465); none only in development or to a server on this machine",
    )
    username: str | None = Field(default=None, title="User at the SMTP server", min_length=1)
    password: SecretStr | None = Field(default=None, title="Password at the SMTP server")
    ca_file: Path | None = Field(
        default=None,
        title="Certificate authority of the SMTP server",
        description="PEM file; the system's unless given",
    )
    timeout_s: float = Field(default=30.0, gt=0, le=120, title="Longest wait for one letter, s")
    sender: str = Field(default="alidade@localhost", title="Address that letters come from")
    sender_name: str = Field(default="Alidade", title="Name that letters come from", max_length=100)
    folder: Path | None = Field(default=None, title="Folder for letters", description="Kind folder only")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind == "smtp" and self.host is None:
            raise ValueError("smtp needs host")
        if self.kind == "folder" and self.folder is None:
            raise ValueError("folder needs folder")
        if not is_address(self.sender):
            raise ValueError("sender is not one plain mail address")
        if any(not character.isprintable() for character in self.sender_name):
            raise ValueError("sender_name holds characters that cannot be printed")
        if self.ca_file is not None and not self.ca_file.is_file():
            raise ValueError(f"ca_file: there is no file {self.ca_file}")
        return self

    @property
    def unprotected(self) -> bool:
        """Whether letters cross a network in clear."""
        return self.kind == "smtp" and self.security == "none" and self.host not in ("127.0.0.1", "::1", "localhost")


class AuthSettings(ServiceSettings):
    """Settings of auth."""

    model_config = SettingsConfigDict(env_prefix="AUTH_", env_nested_delimiter="__", extra="ignore")

    host: str = Field(default="127.0.0.1", title="Address to listen on")
    port: int = Field(default=8001, ge=1, le=65535, title="Port to listen on")
    audience: str = Field(default="alidade", title="Audience of tokens")
    access_lifetime_s: int = Field(default=900, ge=60, le=900, title="Life of an access token, s")
    signing_secret: SecretStr = Field(
        title="Secret that seals signing keys", description="version:secret pairs, the current one first"
    )
    sealing_secret: SecretStr = Field(
        title="Secret that seals third parties' keys",
        description="version:secret pairs, the current one first; workers that call out have the same",
    )
    service_clients: dict[str, ClientSettings] = Field(default_factory=dict, title="Services that may ask for tokens")
    registration: Registration = Field(
        default=Registration.OPEN,
        title="Who may open an account",
        description="open: everybody; invitation: whom an administrator invites by mail; closed: the operator alone",
    )
    confirm_address: bool = Field(
        default=False,
        title="Whether new accounts wait for their address to be confirmed",
        description="Needs mail; whoever registers must then give an address",
    )
    mail: MailSettings = Field(default_factory=MailSettings, title="Mail")
    account_pages_url: str | None = Field(
        default=None,
        title="Pages that mailed links lead to",
        description="A frontend's own: new-password, confirm and register below it read the token behind #token=. By "
        "default /account of the public address, which this service has",
        pattern=r"^https?://[^/#?]+[^#?]*[^/#?]$",
    )
    attempts: AttemptSettings = Field(default_factory=AttemptSettings, title="Limits of attempts")
    trusted_proxies: tuple[IPvAnyNetwork, ...] = Field(
        default=(IPv4Network("127.0.0.0/8"), IPv6Network("::1/128")),
        title="Networks whose X-Forwarded-For is believed",
        description="Those of the gateway, which makes the header anew",
    )
    allowed_origins: list[str] = Field(
        default_factory=list, title="Origins of web pages, besides the public address, that may use the cookie"
    )
    argon2_memory_kib: int = Field(default=32768, ge=19456, le=1 << 20, title="Memory of one password hash, KiB")
    argon2_time_cost: int = Field(default=2, ge=2, le=20, title="Passes of one password hash")

    @field_validator("registration", mode="before")
    @classmethod
    def _as_it_was_before(cls, value: object) -> object:
        """Releases before invitations had true and false."""
        return {"true": Registration.OPEN, "false": Registration.CLOSED}.get(str(value).lower(), value)

    @property
    def issuer(self) -> str:
        """Issuer of tokens: the public address of the platform."""
        return self.public_base_url

    @property
    def pages_url(self) -> str:
        """Where mailed links lead."""
        return self.account_pages_url or f"{self.public_base_url}/account"

    def signing_ring(self) -> KeyRing:
        """Keys that seal signing keys."""
        return KeyRing.from_setting(self.signing_secret, purpose="signing keys")

    def sealing_ring(self) -> KeyRing:
        """Keys that seal third parties' keys."""
        return KeyRing.from_setting(self.sealing_secret, purpose="third-party keys")

    @model_validator(mode="after")
    def _readable(self) -> Self:
        for name, read in (("signing_secret", self.signing_ring), ("sealing_secret", self.sealing_ring)):
            try:
                read()
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        for name, client in self.service_clients.items():
            if client.scopes is None and name not in DEFAULT_CLIENT_SCOPES:
                raise ValueError(f"service_clients: {name} needs its scopes, it is none of ours")
        return self

    @model_validator(mode="after")
    def _mail_where_it_is_needed(self) -> Self:
        if self.mail.kind == "none":
            if self.confirm_address:
                raise ValueError("confirm_address needs mail (AUTH_MAIL__KIND)")
            if self.registration is Registration.INVITATION:
                raise ValueError("registration by invitation needs mail (AUTH_MAIL__KIND)")
        if self.environment == "production":
            if self.mail.unprotected:
                raise ValueError("mail: security none outside development is for a server on this machine alone")
            if (self.account_pages_url or "").startswith("http://"):
                raise ValueError("account_pages_url must be https outside development")
        return self
