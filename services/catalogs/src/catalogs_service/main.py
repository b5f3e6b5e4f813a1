"""The catalogs service's web process."""

from __future__ import annotations

import time

from fastapi import FastAPI

from astro_shared.jobs.service import job_service_app
from astro_shared.settings import settings_or_exit
from catalogs_service.api import cone_search, reference, upstreams
from catalogs_service.api.metrics import UpstreamMetrics
from catalogs_service.config import VERSION, CatalogsSettings
from catalogs_service.factory import CatalogsParts
from catalogs_service.job_types import job_types


def create_app(settings: CatalogsSettings | None = None) -> FastAPI:
    """The application; settings come from the environment unless given."""
    parts = CatalogsParts(settings or settings_or_exit(CatalogsSettings))
    app = job_service_app(
        parts,
        job_types(),
        title="Alidade catalogs",
        version=VERSION,
        routers=(reference.router, cone_search.router, upstreams.router),
    )
    gates = [client.gate for client in parts.upstreams.values()]
    metrics = UpstreamMetrics(gates, time.time)
    app.state.metrics.add(metrics, refresh=metrics.refresh)
    return app
