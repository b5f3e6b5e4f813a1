"""Settings of auth, from the environment (prefix ``AUTH_``)."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from astro_shared.clients.sealed_keys import KeyRing
from astro_shared.contracts.auth import Scope
from astro_shared.settings import ServiceSettings

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
    one_more_after_s: int = Field(
        default=60,
        ge=1,
        title="Pause between logins beyond a limit, s",
        description="So that nobody is locked out to the end of the window",
    )


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
    registration: bool = Field(default=True, title="Whether people may open accounts themselves")
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

    @property
    def issuer(self) -> str:
        """Issuer of tokens: the public address of the platform."""
        return self.public_base_url

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
