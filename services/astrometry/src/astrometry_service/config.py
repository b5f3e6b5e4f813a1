"""Settings of the astrometry service, from ``ASTROMETRY_...`` variables."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from astro_shared.clients.sealed_keys import KeyRing
from astro_shared.jobs.service import JobServiceSettings

VERSION = "0.1.0"


class NovaSettings(BaseModel):
    """How nova.astrometry.net is asked, for users who switch it on with ``solve.remote``."""

    model_config = ConfigDict(extra="forbid")

    mode: Literal["online", "offline"] = Field(
        default="online", title="Whether it is asked at all", description="offline: never, whatever users set"
    )
    url: str = Field(default="https://nova.astrometry.net", title="The site, or another that speaks its language")
    poll_s: float = Field(default=5.0, gt=0, title="Pause between two questions after a submission, s")
    proxy: str | None = Field(default=None, title="Proxy for it", pattern=r"^https?://")
    ca_file: Path | None = Field(default=None, title="Certificate authorities, where they are not the system's")


class AstrometrySettings(JobServiceSettings):
    """Where reference stars come from, and where index files lie."""

    model_config = SettingsConfigDict(
        env_prefix="ASTROMETRY_", env_nested_delimiter="__", extra="ignore", validate_default=True
    )

    catalogs_url: str = Field(default="http://127.0.0.1:8004", title="Catalogs", pattern=r"^https?://")
    index_folders: tuple[str, ...] = Field(
        default=(), title="Folders with index files, besides those found by themselves"
    )
    sky_folder: Path = Field(
        default=Path("/tmp/alidade-sky"),  # noqa: S108 - an emptyDir
        title="Folder of the all-sky star patterns, made from an index file when they are first wanted",
    )
    sealing_secret: SecretStr | None = Field(
        default=None, title="Key-encryption keys of third-party keys", description="The same as auth's; None: not used"
    )
    nova: NovaSettings = Field(default_factory=NovaSettings)

    def key_ring(self) -> KeyRing | None:
        """What opens the keys that auth hands out, if this process may."""
        if self.sealing_secret is None:
            return None
        return KeyRing.from_setting(self.sealing_secret, purpose="third-party keys")
