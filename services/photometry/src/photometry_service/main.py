"""The photometry service's web process."""

from __future__ import annotations

from fastapi import FastAPI

from astro_shared.jobs.service import JobServiceParts, job_service_app
from astro_shared.settings import settings_or_exit
from photometry_service.config import VERSION, PhotometrySettings
from photometry_service.job_types import JOB_TYPES


def create_app(settings: PhotometrySettings | None = None) -> FastAPI:
    """The application; settings come from the environment unless given."""
    parts = JobServiceParts("photometry", settings or settings_or_exit(PhotometrySettings))
    return job_service_app(parts, JOB_TYPES, title="Alidade photometry", version=VERSION)
