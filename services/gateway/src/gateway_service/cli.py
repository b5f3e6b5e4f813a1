"""Admin commands of the gateway: ``python -m gateway_service.cli migrate``."""

from __future__ import annotations

import asyncio
import sys

from astro_shared.database.engine import create_database_if_missing
from astro_shared.database.migrations import upgrade
from astro_shared.settings import settings_or_exit
from astro_shared.storage.factory import make_store
from gateway_service.config import GatewaySettings


def migrate() -> None:
    """Make database and bucket if they are missing, bring the schema to the newest, and try the storage."""
    settings = settings_or_exit(GatewaySettings)
    create_database_if_missing(settings.database_url)
    upgrade(settings.database_url, "gateway_service.migrations")
    asyncio.run(make_store(settings.storage, public_base_url=settings.public_base_url).prepare())


if __name__ == "__main__":
    if sys.argv[1:] != ["migrate"]:
        raise SystemExit("usage: python -m gateway_service.cli migrate")
    migrate()
