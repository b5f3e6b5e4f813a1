"""Admin commands of the astrometry service.

``python -m astrometry_service.cli migrate``
``python -m astrometry_service.cli engines SKY_FOLDER [INDEX_FOLDER...]``
``python -m astrometry_service.cli build-sky SKY_FOLDER [INDEX_FOLDER...]``
``python -m astrometry_service.cli build-sky-of TABLE SKY_FOLDER``
``python -m astrometry_service.cli build-indexes TABLE FOLDER NAME LOW_DEG HIGH_DEG``
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

from astro_shared.jobs.service import migrate_database
from astro_shared.settings import settings_or_exit
from astrometry_service.adapters.engines import engine_list
from astrometry_service.adapters.index_builder import build_index_files, index_scales
from astrometry_service.adapters.reference_file import read_reference_file
from astrometry_service.adapters.sky_index_store import SkyIndexStore
from astrometry_service.config import AstrometrySettings
from astrometry_service.domain.reference import ReferenceStars
from astrometry_service.domain.star_lists import SkyMap, SkyStars
from astrometry_service.errors import IndexBuildError, ReferenceListError


def migrate() -> None:
    """Make the database if it is missing and bring it to the newest schema."""
    migrate_database(settings_or_exit(AstrometrySettings), "astrometry_service.migrations")


def engines(sky_folder: Path, folders: tuple[str, ...] = ()) -> None:
    """Write what engines and index files there are as JSON to standard output; needs no settings and no platform."""
    sys.stdout.write(engine_list(folders, sky_folder).model_dump_json(indent=2) + "\n")


def build_sky(sky_folder: Path, folders: tuple[str, ...] = ()) -> None:
    """Make the all-sky patterns of the richest index file."""
    os.nice(10)
    store = SkyIndexStore(sky_folder)
    if store.build_from_indexes(folders) is None:
        raise SystemExit(
            "there is no index file of the whole sky with magnitudes: apt-get install astrometry-data-tycho2"
        )
    _say_sky(store)


def build_sky_of(table: Path, sky_folder: Path) -> None:
    """Make the all-sky patterns of a list of stars."""
    store = SkyIndexStore(sky_folder)
    stars = _stars_of(table)
    store.build(SkyMap.from_columns(stars.ra, stars.dec, stars.mag), table.name)
    _say_sky(store)


def _say_sky(store: SkyIndexStore) -> None:
    facts = store.facts() or {}
    sys.stdout.write(f"{facts['patterns']} patterns of {facts['stars']} stars of {facts['source']}\n")


def build_indexes(file: str, folder: str, name: str, low_deg: str, high_deg: str) -> None:
    """Make index files for fields of these widths from a table of stars."""
    scales = index_scales(float(low_deg), float(high_deg))
    stars = _stars_of(Path(file))
    listed = SkyStars.from_columns(stars.ra, stars.dec, stars.mag)
    try:
        made = build_index_files(listed, Path(folder), name, scales)
    except IndexBuildError as error:
        raise SystemExit(str(error)) from None
    sys.stdout.write("".join(f"{path}\n" for path in made))


def _stars_of(table: Path) -> ReferenceStars:
    """The stars of a list; the command ends with a sentence where it has no positions or no magnitudes."""
    try:
        stars = ReferenceStars.from_columns(read_reference_file(table))
    except ReferenceListError as error:
        raise SystemExit(str(error)) from None
    if not np.isfinite(stars.mag).any():
        raise SystemExit(f"{table.name} has no magnitudes: it needs a column phot_g_mean_mag, or one like vt_mag")
    return stars


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["migrate"]:
            migrate()
        case ["engines", sky_folder, *added]:
            engines(Path(sky_folder), tuple(added))
        case ["build-sky", sky_folder, *added]:
            build_sky(Path(sky_folder), tuple(added))
        case ["build-sky-of", table, sky_folder]:
            build_sky_of(Path(table), Path(sky_folder))
        case ["build-indexes", file, folder, name, low_deg, high_deg]:
            build_indexes(file, folder, name, low_deg, high_deg)
        case _:
            raise SystemExit(f"usage:\n{__doc__}")
