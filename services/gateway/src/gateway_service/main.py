"""The gateway's web process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, RedirectResponse

from astro_shared.contracts.auth import Scope
from astro_shared.database.engine import check_connection
from astro_shared.jobs.api import jobs_router
from astro_shared.logs import configure_logging
from astro_shared.settings import settings_or_exit
from astro_shared.web import BodyLimits, require_service
from astro_shared.web import create_app as create_web_app
from astro_shared.web.forwarded import ForwardedAddressMiddleware
from gateway_service.api import (
    accounts,
    astrometry,
    callbacks,
    cone_search,
    crossmatches,
    frames,
    identifications,
    mirrors,
    reductions,
    references,
    solutions,
    storage,
    uploads,
    upstreams,
    work,
)
from gateway_service.api import (
    settings as settings_routes,
)
from gateway_service.config import MAX_JSON_BYTES, VERSION, GatewaySettings
from gateway_service.factory import GatewayFactory
from gateway_service.job_types import JOB_TYPES

DESCRIPTION = """Send a FITS frame, receive a calibrated catalogue.

1. `POST /api/v1/uploads`, PUT the bytes to the address in the answer, `POST /api/v1/uploads/{id}:complete`
2. `POST /api/v1/reductions` with the upload's id
3. Watch `GET /api/v1/reductions/{id}/events`, then fetch `/results/archive.zip`
"""


def create_app(settings: GatewaySettings | None = None) -> FastAPI:
    """The application; settings come from the environment unless given."""
    settings = settings or settings_or_exit(GatewaySettings)
    configure_logging(service="gateway", log_format=settings.log_format, level=settings.log_level)
    factory = GatewayFactory(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await factory.close()

    app = create_web_app(
        "Alidade",
        VERSION,
        description=DESCRIPTION,
        authenticator=factory.authenticator(),
        lifespan=lifespan,
        readiness={"database": lambda: check_connection(factory.engine)},
        limits=BodyLimits(
            json_bytes=MAX_JSON_BYTES,
            path_bytes={"/storage/": settings.max_upload_bytes, "/v1/jobs": 64 << 20, "/v1/callbacks": 64 << 20},
        ),
        cors_origins=settings.cors_origins,
        trust_request_id=False,
        docs_path="/internal/docs",
        openapi_path="/internal/openapi.json",
    )
    app.add_middleware(ForwardedAddressMiddleware, trusted=settings.forwarded_allow_ips)
    app.state.factory = factory
    for routes in (uploads, reductions, work, references, astrometry, settings_routes, storage, callbacks, accounts):
        app.include_router(routes.router)
    for routes in (identifications, crossmatches, cone_search, upstreams, mirrors, solutions, frames):
        app.include_router(routes.router)
    internal = jobs_router(factory.ledger, JOB_TYPES, require_service(Scope.JOBS_WRITE))
    app.include_router(internal, include_in_schema=False)
    _add_documents(app, factory)
    return app


def _add_documents(app: FastAPI, factory: GatewayFactory) -> None:
    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> dict[str, Any]:
        return await accounts.merged_openapi(app.openapi(), factory)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(openapi_url="/openapi.json", title="Alidade API")

    @app.get("/", include_in_schema=False)
    async def root() -> RedirectResponse:
        return RedirectResponse("/docs")
