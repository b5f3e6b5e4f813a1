"""The astrometry service's worker."""

from __future__ import annotations

from astro_shared.contracts.auth import Scope
from astro_shared.jobs.service import JobServiceParts
from astro_shared.jobs.worker import ServiceWorker
from astro_shared.settings import settings_or_exit
from astrometry_service.adapters.catalogs import CatalogsClient
from astrometry_service.adapters.engine_settings import ENGINE_SETTINGS, engine_settings
from astrometry_service.config import AstrometrySettings
from astrometry_service.kinds import kinds


def build() -> ServiceWorker:
    """The worker, with settings from the environment."""
    settings = settings_or_exit(AstrometrySettings)
    parts = JobServiceParts("astrometry", settings, scopes=(Scope.JOBS_CALLBACK, Scope.CATALOGS_READ))
    catalogs = CatalogsClient(settings.catalogs_url, tokens=parts.tokens, http=parts.http)
    return ServiceWorker(
        service="astrometry",
        kinds=kinds({"reference_stars": catalogs.answer, ENGINE_SETTINGS: engine_settings(settings.index_folders)}),
        engine=parts.engine,
        store=parts.store,
        concurrency=settings.worker_concurrency,
        token_source=parts.tokens.token,
        close=parts.close,
    )
