"""Admin commands of the astrometry service: ``python -m astrometry_service.cli migrate``."""

from __future__ import annotations

import sys

from astro_shared.jobs.service import migrate_database
from astro_shared.settings import settings_or_exit
from astrometry_service.config import AstrometrySettings


def migrate() -> None:
    """Make the database if it is missing and bring it to the newest schema."""
    migrate_database(settings_or_exit(AstrometrySettings), "astrometry_service.migrations")


if __name__ == "__main__":
    if sys.argv[1:] != ["migrate"]:
        raise SystemExit("usage: python -m astrometry_service.cli migrate")
    migrate()
