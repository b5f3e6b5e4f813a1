"""Admin commands of the catalogs service.

``python -m catalogs_service.cli migrate``
``python -m catalogs_service.cli import FILE --name NAME`` makes a list for everyone
``python -m catalogs_service.cli import-tycho2 INDEX`` the stars inside an astrometry.net index file, as list ``tycho2``
``python -m catalogs_service.cli mirror-gaia --ra RA --dec DEC --radius R [--depth G] [--release dr3]`` a region of Gaia
``python -m catalogs_service.cli list`` and ``... remove NAME``
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from astro_shared.database.engine import make_engine
from astro_shared.errors import AlidadeError
from astro_shared.jobs.service import migrate_database
from astro_shared.settings import settings_or_exit
from catalogs_service.adapters.upstream.breaker_store import DatabaseBreakerStore
from catalogs_service.config import CatalogsSettings
from catalogs_service.domain.gaia import DEPTHS
from catalogs_service.domain.regions import Cone
from catalogs_service.factory import make_gaia, make_import, make_lists, make_outside_http, make_upstreams
from catalogs_service.workflows.mirror_gaia import MirrorGaia

TYCHO2_EPOCH = 2000.0


def migrate() -> None:
    """Make the database if it is missing and bring it to the newest schema."""
    migrate_database(settings_or_exit(CatalogsSettings), "catalogs_service.migrations")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 1 when it failed, with one line that says why."""
    given = _parser().parse_args(arguments)
    try:
        if given.command == "migrate":
            migrate()
        else:
            _on_lists(given, settings_or_exit(CatalogsSettings))
    except AlidadeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _on_lists(given: argparse.Namespace, settings: CatalogsSettings) -> None:
    lists = make_lists(settings.data_folder)
    if given.command == "list":
        for item in lists.list(None):
            sys.stdout.write(f"{item.facts['name']}\t{item.facts['rows']} rows\t{item.facts['created_at']}\n")
    elif given.command == "remove":
        lists.delete(given.name, scope="global", owner=None)
    elif given.command == "mirror-gaia":
        asyncio.run(_mirror_gaia(given, settings))
    else:
        is_index = given.command == "import-tycho2"
        made = make_import(settings.data_folder, settings.most_list_rows).run(
            given.file,
            name=given.name,
            source=given.file.name,
            scope="global",
            owner=None,
            file_format="tycho2_index" if is_index else "auto",
            ref_epoch=TYCHO2_EPOCH if is_index else given.epoch,
        )
        sys.stdout.write(f"{made.facts['name']}: {made.facts['rows']} stars\n")
        for note in made.facts["notes"]:
            sys.stdout.write(f"  {note}\n")


async def _mirror_gaia(given: argparse.Namespace, settings: CatalogsSettings) -> None:
    def report(done: int, of: int) -> None:
        sys.stdout.write(f"{done} of {of} cells\n")

    # the limits of the archive count for this command and the service together
    engine = make_engine(settings.database_url, settings.database, application="catalogs")
    async with make_outside_http(settings.upstream) as http:
        upstreams = make_upstreams(settings.upstream, http, DatabaseBreakerStore(engine))
        gaia = make_gaia(settings, upstreams, wait_s=settings.upstream.gaia_total_s)
        made = await MirrorGaia(make_lists(settings.data_folder), gaia).run(
            Cone(given.ra, given.dec, given.radius), release=given.release, depth_mag=given.depth, report=report
        )
    await engine.dispose()
    sys.stdout.write(f"gaia: {made.facts['rows']} stars to G = {given.depth:g}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="catalogs_service.cli", description="Admin commands of the catalogs service")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("migrate", help="make the database and bring it to the newest schema")
    commands.add_parser("list", help="lists for everyone")
    remove = commands.add_parser("remove", help="remove a list for everyone")
    remove.add_argument("name")
    plain = commands.add_parser("import", help="make a list for everyone from a catalogue file")
    plain.add_argument("file", type=Path)
    plain.add_argument("--name", required=True)
    plain.add_argument("--epoch", type=float, help="Julian year of positions without one")
    mirror = commands.add_parser("mirror-gaia", help="keep a region of Gaia for nights without a network")
    for option, text in (("--ra", "centre, deg"), ("--dec", "centre, deg"), ("--radius", "deg")):
        mirror.add_argument(option, type=float, required=True, help=text)
    mirror.add_argument("--depth", type=float, default=19.0, choices=DEPTHS, help="faintest G magnitude")
    mirror.add_argument("--release", default="dr3")
    index = commands.add_parser("import-tycho2", help="stars inside an astrometry.net index file")
    index.add_argument("file", type=Path)
    index.add_argument("--name", default="tycho2")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
