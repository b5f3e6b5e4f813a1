"""Settings that every service has, and reading them with one clear line when something is missing."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from astro_shared.errors import AlidadeError
from astro_shared.logs import LogFormat

_S3_ADDRESS = re.compile(r"https?://[A-Za-z0-9._\-\[\]:]+")

SettingsType = TypeVar("SettingsType", bound="ServiceSettings")


class SettingsError(AlidadeError):
    """A setting is missing or invalid; the message is one line that names it."""

    code = "settings_invalid"


class StorageSettings(BaseModel):
    """Where objects are kept: a folder, or an S3-compatible service."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["folder", "s3"] = Field(default="folder", title="Kind of store")
    folder: Path | None = Field(default=None, title="Folder", description="Root of the folder store")
    url_secret: SecretStr | None = Field(
        default=None, title="Secret of signed addresses", description="Folder store only; at least 32 characters"
    )
    public_url: str | None = Field(
        default=None,
        title="Public address",
        description="What browsers reach: the gateway's /storage for a folder, the endpoint for S3",
    )
    s3_endpoint: str | None = Field(
        default=None, title="S3 endpoint", description="Address the services use: http(s)://host[:port]"
    )
    s3_bucket: str = Field(default="alidade", title="Bucket", pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    s3_region: str = Field(default="us-east-1", title="Region")
    s3_access_key: SecretStr | None = Field(default=None, title="Access key")
    s3_secret_key: SecretStr | None = Field(default=None, title="Secret key")
    s3_ca_file: Path | None = Field(
        default=None, title="Certificate authority of the endpoint", description="PEM file; the system's unless given"
    )

    @model_validator(mode="after")
    def _complete(self) -> StorageSettings:
        needed = (
            ("folder", "url_secret") if self.kind == "folder" else ("s3_endpoint", "s3_access_key", "s3_secret_key")
        )
        missing = [name for name in needed if getattr(self, name) is None]
        if missing:
            raise ValueError(f"a {self.kind} store needs {' and '.join(missing)}")
        if self.url_secret is not None and len(self.url_secret.get_secret_value()) < 32:
            raise ValueError("url_secret needs at least 32 characters")
        if self.kind == "s3":
            self._check_s3()
        return self

    def _check_s3(self) -> None:
        for name in ("s3_endpoint", "public_url"):
            address = getattr(self, name)
            if address is not None and not _S3_ADDRESS.fullmatch(address):
                raise ValueError(f"{name} must be http(s)://host[:port] without a path")
        if self.s3_ca_file is not None and not self.s3_ca_file.is_file():
            raise ValueError(f"s3_ca_file: there is no file {self.s3_ca_file}")


class DatabaseSettings(BaseModel):
    """Size of the connection pool of one process."""

    model_config = ConfigDict(extra="forbid")

    pool_size: int = Field(default=2, ge=1, le=50, title="Connections kept open")
    pool_overflow: int = Field(default=3, ge=0, le=50, title="Further connections under load")
    pool_timeout_s: float = Field(default=10.0, gt=0, title="Longest wait for a free connection, s")
    idle_transaction_s: float = Field(
        default=10.0,
        gt=0,
        title="Longest pause inside a transaction, s",
        description="After it the server ends the session: a process that is frozen or cut off gives up its locks",
    )


class ServiceSettings(BaseSettings):
    """Base of the settings of a service; the subclass adds its own and the prefix of its environment variables.

    ``PHOTOMETRY_DATABASE_URL`` sets ``database_url``, ``PHOTOMETRY_STORAGE__FOLDER``
    sets ``storage.folder``.
    """

    model_config = SettingsConfigDict(env_nested_delimiter="__", extra="ignore", validate_default=True)

    environment: Literal["development", "production"] = Field(
        default="production", title="Environment", description="Unsafe defaults start in development only"
    )
    log_format: LogFormat = Field(default="json", title="Log format")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", title="Log level")
    public_base_url: str = Field(
        default="http://127.0.0.1:8000", title="Public address of the platform", pattern=r"^https?://[^/]+.*[^/]$"
    )
    database_url: SecretStr = Field(
        title="Database", description="postgresql://user:password@host/name, one per service"
    )
    database: DatabaseSettings = Field(default_factory=DatabaseSettings, title="Connection pool")
    auth_jwks_url: str = Field(
        default="http://127.0.0.1:8001/.well-known/jwks.json", title="Public keys of auth", pattern=r"^https?://"
    )

    @model_validator(mode="after")
    def _safe(self) -> ServiceSettings:
        address = self.public_base_url
        if self.environment == "production" and address.startswith("http://") and "//127.0.0.1" not in address:
            raise ValueError("public_base_url must be https outside development")
        return self


def load_settings(settings_class: type[SettingsType], **values: Any) -> SettingsType:
    """Read settings from the environment; ``values`` win over it.

    Raises
    ------
    SettingsError
        With one line that names every variable that is missing or invalid, never its value.
    """
    try:
        return settings_class(**values)
    except ValidationError as error:
        prefix = str(settings_class.model_config.get("env_prefix") or "").upper()
        problems = [
            _problem(prefix, item["loc"], item["type"], item["msg"]) for item in error.errors(include_input=False)
        ]
        raise SettingsError("settings: " + "; ".join(problems)) from None


def settings_or_exit(settings_class: type[SettingsType], **values: Any) -> SettingsType:
    """Like `load_settings`, for the start of a process: ends it with the line and status 78 (configuration error)."""
    try:
        return load_settings(settings_class, **values)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(78) from None


def _problem(prefix: str, place: tuple[int | str, ...], kind: str, message: str) -> str:
    name = prefix + "__".join(str(part) for part in place).upper() if place else prefix.rstrip("_") or "settings"
    if kind == "missing":
        return f"{name} is not set"
    return f"{name}: {message.removeprefix('Value error, ')}"
