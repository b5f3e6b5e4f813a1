"""The photometry service's worker."""

from __future__ import annotations

from astro_shared.jobs.service import JobServiceParts
from astro_shared.jobs.worker.run import ServiceWorker
from astro_shared.settings import settings_or_exit
from photometry_service.config import PhotometrySettings
from photometry_service.job_types import JOB_TYPES


def build() -> ServiceWorker:
    """The worker, with settings from the environment."""
    settings = settings_or_exit(PhotometrySettings)
    parts = JobServiceParts("photometry", settings)
    return ServiceWorker(
        service="photometry",
        job_types=JOB_TYPES,
        engine=parts.engine,
        store=parts.store,
        concurrency=settings.worker_concurrency,
        token_source=parts.tokens.token,
        close=parts.close,
    )
