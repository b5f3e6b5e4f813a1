"""Settings of the gateway, from ``GATEWAY_...`` variables."""

from __future__ import annotations

from pydantic import Field, IPvAnyNetwork, SecretStr
from pydantic_settings import SettingsConfigDict

from astro_shared.settings import ServiceSettings, StorageSettings

VERSION = "0.1.0"
SERVICES = ("photometry", "astrometry", "catalogs")
MAX_UPLOAD_BYTES = 2 << 30
MAX_FORM_BYTES = 64 << 20
MAX_JSON_BYTES = 4 << 20  # ten thousand named positions


class GatewaySettings(ServiceSettings):
    """What the gateway must know of its surroundings."""

    model_config = SettingsConfigDict(
        env_prefix="GATEWAY_", env_nested_delimiter="__", extra="ignore", validate_default=True
    )

    storage: StorageSettings = Field(title="Object storage")
    client_secret: SecretStr = Field(title="This service's secret at auth")
    auth_url: str = Field(default="http://127.0.0.1:8001", title="Auth", pattern=r"^https?://")
    photometry_url: str = Field(default="http://127.0.0.1:8002", title="Photometry", pattern=r"^https?://")
    astrometry_url: str = Field(default="http://127.0.0.1:8003", title="Astrometry", pattern=r"^https?://")
    catalogs_url: str = Field(default="http://127.0.0.1:8004", title="Catalogs", pattern=r"^https?://")
    gateway_url: str = Field(
        default="http://127.0.0.1:8000", title="This service, as the others reach it", pattern=r"^https?://"
    )
    forwarded_allow_ips: tuple[IPvAnyNetwork, ...] = Field(
        default=(),
        title="Networks of the proxies in front",
        description="Whose X-Forwarded-For is believed about where a log in comes from: those of the ingress. Without "
        "them all who come through a proxy count as one address",
    )
    cors_origins: tuple[str, ...] = Field(default=(), title="Origins of web frontends")
    open_cone_search: bool = Field(
        default=False,
        title="Cone search without a token",
        description="Lists for everyone can then be searched by anybody who reaches the gateway, as VO clients expect",
    )
    max_upload_bytes: int = Field(default=MAX_UPLOAD_BYTES, ge=1, title="Largest upload")
    worker_concurrency: int = Field(default=2, ge=1, le=64, title="Collect jobs at a time")

    def service_url(self, service: str) -> str:
        """Address of another service by its name."""
        return str(getattr(self, f"{service}_url"))
