"""What the services that only do jobs have in common: settings, connections, web process, migration."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from fastapi import APIRouter, FastAPI
from pydantic import Field, SecretStr

from astro_shared.clients.auth import AuthClient, ServiceTokens, remote_authenticator
from astro_shared.contracts.auth import Scope
from astro_shared.database.engine import check_connection, create_database_if_missing, make_engine
from astro_shared.database.migrations import upgrade
from astro_shared.jobs.api import jobs_router
from astro_shared.jobs.job_types import JobType
from astro_shared.jobs.ledger.rows import JobLedger
from astro_shared.logs import configure_logging
from astro_shared.settings import ServiceSettings, StorageSettings
from astro_shared.storage.factory import make_store
from astro_shared.web import BodyLimits, create_app, require_service

REQUEST_BYTES = 64 << 20
_TIMEOUT = httpx.Timeout(30.0, connect=5.0)


class JobServiceSettings(ServiceSettings):
    """Settings of a service whose work is done by jobs."""

    storage: StorageSettings = Field(title="Object storage")
    client_secret: SecretStr = Field(title="This service's secret at auth")
    auth_url: str = Field(default="http://127.0.0.1:8001", title="Auth", pattern=r"^https?://")
    scratch_folder: Path = Field(default=Path("/tmp/alidade"), title="Folder for workspaces")  # noqa: S108 - an emptyDir
    worker_concurrency: int = Field(default=1, ge=1, le=64, title="Jobs at a time")


class JobServiceParts:
    """The connections of one process of a service.

    Parameters
    ----------
    name : of the service; also its client id at auth
    scopes : what its service tokens may be used for
    """

    def __init__(
        self, name: str, settings: JobServiceSettings, *, scopes: Sequence[Scope] = (Scope.JOBS_CALLBACK,)
    ) -> None:
        self.name = name
        self.settings = settings
        self.engine = make_engine(settings.database_url, settings.database, application=name)
        self.store = make_store(settings.storage, public_base_url=settings.public_base_url)
        self.http = httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False)
        auth = AuthClient(settings.auth_url, http=self.http)
        self.tokens = ServiceTokens(auth, client_id=name, client_secret=settings.client_secret, scopes=scopes)
        self.ledger = JobLedger(self.engine, name)

    async def close(self) -> None:
        """Release the connections."""
        await self.http.aclose()
        await self.engine.dispose()


def job_service_app(
    parts: JobServiceParts, job_types: Sequence[JobType], *, title: str, version: str, routers: Sequence[APIRouter] = ()
) -> FastAPI:
    """The web process of a service: its jobs, health, metrics, and ``routers`` of its own."""
    settings = parts.settings
    configure_logging(service=parts.name, log_format=settings.log_format, level=settings.log_level)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await parts.close()

    app = create_app(
        title,
        version,
        authenticator=remote_authenticator(settings.auth_url, issuer=settings.public_base_url, http=parts.http),
        lifespan=lifespan,
        readiness={"database": lambda: check_connection(parts.engine)},
        limits=BodyLimits(path_bytes={"/v1/jobs": REQUEST_BYTES}),
    )
    app.state.parts = parts
    app.include_router(jobs_router(parts.ledger, job_types, require_service(Scope.JOBS_WRITE)))
    for router in routers:
        app.include_router(router)
    return app


def migrate_database(settings: ServiceSettings, migrations_package: str) -> None:
    """Make the database of a service if it is missing and bring it to the newest schema."""
    create_database_if_missing(settings.database_url)
    upgrade(settings.database_url, migrations_package)
