"""The astrometry service's web process."""

from __future__ import annotations

from fastapi import FastAPI

from astro_shared.jobs.service import JobServiceParts, job_service_app
from astro_shared.settings import settings_or_exit
from astrometry_service.api import frames, solving
from astrometry_service.config import VERSION, AstrometrySettings
from astrometry_service.job_types import job_types


def create_app(settings: AstrometrySettings | None = None) -> FastAPI:
    """The application; settings come from the environment unless given."""
    parts = JobServiceParts("astrometry", settings or settings_or_exit(AstrometrySettings))
    return job_service_app(
        parts, job_types(), title="Alidade astrometry", version=VERSION, routers=(solving.router, frames.router)
    )
