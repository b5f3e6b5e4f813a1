"""The catalogs service's worker."""

from __future__ import annotations

from typing import Any

from astro_shared.jobs.kinds import JobRun
from astro_shared.jobs.service import JobServiceParts
from astro_shared.jobs.worker import ServiceWorker
from astro_shared.settings import settings_or_exit
from catalogs_service.config import CatalogsSettings
from catalogs_service.factory import CatalogsParts
from catalogs_service.kinds import kinds


def build() -> ServiceWorker:
    """The worker, with settings from the environment."""
    settings = settings_or_exit(CatalogsSettings)
    parts = CatalogsParts(settings)
    return worker_of(parts, settings)


def worker_of(parts: CatalogsParts, settings: CatalogsSettings) -> ServiceWorker:
    """The worker of given parts."""

    async def import_target(payload: dict[str, Any], run: JobRun) -> dict[str, Any]:
        """Where a list goes and whose it is: the job says so, not the request."""
        owner = run.job.owner
        return {
            "data_folder": str(settings.data_folder),
            "most_rows": settings.most_list_rows,
            "owner": None if owner.startswith("svc:") else owner,
        }

    return ServiceWorker(
        service="catalogs",
        kinds=kinds({"import_target": import_target}),
        engine=parts.engine,
        store=parts.store,
        concurrency=settings.worker_concurrency,
        token_source=parts.tokens.token,
        close=parts.close,
    )


__all__ = ["JobServiceParts", "build", "worker_of"]
