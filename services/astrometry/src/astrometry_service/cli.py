"""Admin commands of the astrometry service.

``python -m astrometry_service.cli migrate``
``python -m astrometry_service.cli engines [FOLDER...]``
``python -m astrometry_service.cli build-indexes TABLE FOLDER NAME LOW_DEG HIGH_DEG``
"""

from __future__ import annotations

import sys
from pathlib import Path

from astro_shared.fits.tables import read_columns
from astro_shared.jobs.service import migrate_database
from astro_shared.settings import settings_or_exit
from astrometry_service.adapters.engines import engine_list
from astrometry_service.adapters.index_builder import build_index_files, index_scales
from astrometry_service.config import AstrometrySettings
from astrometry_service.domain.star_lists import SkyStars
from astrometry_service.errors import IndexBuildError


def migrate() -> None:
    """Make the database if it is missing and bring it to the newest schema."""
    migrate_database(settings_or_exit(AstrometrySettings), "astrometry_service.migrations")


def engines(folders: tuple[str, ...] = ()) -> None:
    """Write what engines and index files there are as JSON to standard output; needs no settings and no platform."""
    sys.stdout.write(engine_list(folders).model_dump_json(indent=2) + "\n")


def build_indexes(file: str, folder: str, name: str, low_deg: str, high_deg: str) -> None:
    """Make index files for fields of these widths from a FITS table of stars."""
    columns = read_columns(Path(file))
    mag = next((columns[key] for key in ("phot_g_mean_mag", "vt_mag", "mag") if key in columns), None)
    if mag is None or not {"ra", "dec"} <= set(columns):
        raise SystemExit(f"{file} needs columns ra, dec and phot_g_mean_mag or mag")
    stars = SkyStars.from_columns(columns["ra"], columns["dec"], mag)
    scales = index_scales(float(low_deg), float(high_deg))
    try:
        made = build_index_files(stars, Path(folder), name, scales)
    except IndexBuildError as error:
        raise SystemExit(str(error)) from None
    sys.stdout.write("".join(f"{path}\n" for path in made))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["migrate"]:
            migrate()
        case ["engines", *added]:
            engines(tuple(added))
        case ["build-indexes", file, folder, name, low_deg, high_deg]:
            build_indexes(file, folder, name, low_deg, high_deg)
        case _:
            raise SystemExit(f"usage:\n{__doc__}")
