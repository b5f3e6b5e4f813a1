"""Settings of the photometry service, from ``PHOTOMETRY_...`` variables."""

from __future__ import annotations

from pydantic_settings import SettingsConfigDict

from astro_shared.jobs.service import JobServiceSettings

VERSION = "0.1.0"


class PhotometrySettings(JobServiceSettings):
    """Nothing beyond what every service of jobs has."""

    model_config = SettingsConfigDict(
        env_prefix="PHOTOMETRY_", env_nested_delimiter="__", extra="ignore", validate_default=True
    )
