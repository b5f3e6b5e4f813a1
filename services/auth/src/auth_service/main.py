"""The web application of auth: ``uvicorn auth_service.main:create_app --factory``, or this module itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import structlog
import uvicorn
from fastapi import FastAPI

from astro_shared.database.migrations import check_schema
from astro_shared.errors import AlidadeError
from astro_shared.logs import configure_logging
from astro_shared.settings import load_settings, settings_or_exit
from astro_shared.web import create_app as create_web_app
from auth_service.adapters.database import utc_now
from auth_service.api import admin, internal, me, pages, recovery, sessions
from auth_service.config import AuthSettings
from auth_service.factory import Services, open_services

MIGRATIONS = "auth_service.migrations"
PURGE_EVERY_S = 3600.0
MAIL_EVERY_S = 2.0
KEPT_FOR = timedelta(days=7)
_log = structlog.get_logger("auth_service")


def create_app(settings: AuthSettings | None = None) -> FastAPI:
    """Make the application; settings come from the environment unless given."""
    used = settings or load_settings(AuthSettings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(check_schema, used.database_url, MIGRATIONS)
        async with open_services(used) as services:
            await services.signing_keys.ensure()
            attach(app, services)
            running = [asyncio.create_task(_again_and_again(_purge, services, every_s=PURGE_EVERY_S))]
            if services.send_letters is not None:
                # on a beat of its own: the work for an account that exists follows no request
                mailing = _again_and_again(services.send_letters.all_due, every_s=MAIL_EVERY_S)
                running.append(asyncio.create_task(mailing))
            try:
                yield
            finally:
                for task in running:
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task

    return bare_app(lifespan=lifespan)


def bare_app(**options: object) -> FastAPI:
    """Make the application without its services; `attach` brings them."""
    app = create_web_app(
        "Alidade auth",
        "0.1.0",
        description="Accounts, tokens, saved settings and sealed keys of third parties.",
        readiness={"database": lambda: app.state.services.check_database()},
        **options,  # type: ignore[arg-type]
    )
    for module in (sessions, recovery, me, admin, internal, pages):
        app.include_router(module.router)
    return app


def attach(app: FastAPI, services: Services) -> None:
    """Give the application what its routes call."""
    app.state.services = services
    app.state.authenticator = services.authenticator


async def _purge(services: Services) -> None:
    async with services.open_unit() as unit:
        removed = await unit.purge(utc_now() - KEPT_FOR)
    _log.info("purged", rows=removed)


async def _again_and_again(work: Callable[..., Awaitable[object]], *arguments: object, every_s: float) -> None:
    while True:
        try:
            await work(*arguments)
        except AlidadeError as error:
            _log.warning("background_work_failed", code=error.code, error=str(error))
        except Exception:  # noqa: BLE001 - an outermost loop: a defect must not end all mail in silence
            _log.exception("background_work_failed")
        await asyncio.sleep(every_s)


def main() -> None:
    """Serve until told to stop."""
    settings = settings_or_exit(AuthSettings)
    configure_logging(service="auth", log_format=settings.log_format, level=settings.log_level)
    app = create_app(settings)
    uvicorn.run(app, host=settings.host, port=settings.port, log_config=None, access_log=False, proxy_headers=False)


if __name__ == "__main__":
    main()
