"""Admin commands of the catalogs service.

``python -m catalogs_service.cli migrate``
``python -m catalogs_service.cli import FILE --name NAME`` makes a list for everyone
``python -m catalogs_service.cli import-tycho2 INDEX`` the stars inside an astrometry.net index file, as list ``tycho2``
``python -m catalogs_service.cli list`` and ``... remove NAME``
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from astro_shared.errors import AlidadeError
from astro_shared.jobs.service import migrate_database
from astro_shared.settings import settings_or_exit
from catalogs_service.config import CatalogsSettings
from catalogs_service.factory import make_import, make_lists

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
    index = commands.add_parser("import-tycho2", help="stars inside an astrometry.net index file")
    index.add_argument("file", type=Path)
    index.add_argument("--name", default="tycho2")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
