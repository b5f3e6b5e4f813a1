"""Admin commands of the gateway: ``python -m gateway_service.cli migrate``."""

from __future__ import annotations

import sys

from astro_shared.database.engine import create_database_if_missing
from astro_shared.database.migrations import upgrade
from astro_shared.settings import settings_or_exit
from gateway_service.config import GatewaySettings


def migrate() -> None:
    """Make the database if it is missing and bring it to the newest schema."""
    settings = settings_or_exit(GatewaySettings)
    create_database_if_missing(settings.database_url)
    upgrade(settings.database_url, "gateway_service.migrations")


if __name__ == "__main__":
    if sys.argv[1:] != ["migrate"]:
        raise SystemExit("usage: python -m gateway_service.cli migrate")
    migrate()
