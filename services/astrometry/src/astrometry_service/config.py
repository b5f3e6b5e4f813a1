"""Settings of the astrometry service, from ``ASTROMETRY_...`` variables."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from astro_shared.jobs.service import JobServiceSettings

VERSION = "0.1.0"


class AstrometrySettings(JobServiceSettings):
    """Where reference stars come from, and where index files lie."""

    model_config = SettingsConfigDict(
        env_prefix="ASTROMETRY_", env_nested_delimiter="__", extra="ignore", validate_default=True
    )

    catalogs_url: str = Field(default="http://127.0.0.1:8004", title="Catalogs", pattern=r"^https?://")
    index_folders: tuple[str, ...] = Field(
        default=(), title="Folders with index files, besides those found by themselves"
    )
