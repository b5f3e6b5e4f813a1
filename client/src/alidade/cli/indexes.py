"""``alidade indexes``: index files for solving fields of which nothing is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alidade.cli.console import out, plain_errors, say
from alidade.local.engines import local_engines, run_astrometry_command
from alidade.local.index_folders import add_folder, added_folders, sky_folder
from alidade.local.state import default_folder

app = typer.Typer(no_args_is_help=True, help="Index files of astrometry.net for blind solving.")

BUILD_LIMIT_S = 24 * 3600.0


@app.command("list")
def list_indexes() -> None:
    """Folders that are looked through, and what is wrong with files in them."""
    root = default_folder()
    with plain_errors():
        view = local_engines(sky_folder(root), added_folders(root))
    for folder in view.index_folders:
        out.print(folder)
    out.print(f"{view.index_files} index files")
    for engine in view.engines:
        if engine.name == "all-sky":
            out.print(f"all-sky patterns: {engine.reason}")
    for problem in view.index_problems:
        say(problem)


@app.command()
def add(folder: Annotated[Path, typer.Argument(help="With files named index*.fits.")]) -> None:
    """Use the index files of a folder, from the next start of the platform on."""
    with plain_errors():
        add_folder(default_folder(), folder)
    out.print(f"{folder} was added; it is used from the next start of the platform on.")


@app.command()
def build(
    file: Annotated[Path, typer.Argument(help="FITS table, CSV or VOTable with ra, dec (deg) and magnitudes.")],
    folder: Annotated[Path, typer.Argument(help="Where the index files go; it is added afterwards.")],
    name: Annotated[str, typer.Option(help="Part of the file names.")] = "own",
    low_deg: Annotated[float, typer.Option(help="Width of the smallest fields.")] = 0.3,
    high_deg: Annotated[float, typer.Option(help="Width of the largest fields.")] = 3.0,
) -> None:
    """Make index files from a star list (needs build-astrometry-index)."""
    with plain_errors():
        arguments = ("build-indexes", str(file), str(folder), name, str(low_deg), str(high_deg))
        out.print(run_astrometry_command(*arguments, limit_s=BUILD_LIMIT_S).strip())
        add_folder(default_folder(), folder)


@app.command()
def sky(
    file: Annotated[
        Path | None, typer.Argument(help="List of stars all over the sky; default: the richest index file.")
    ] = None,
) -> None:
    """Make the patterns that find a frame of which nothing is known; the platform does so by itself when it needs them."""
    root = default_folder()
    with plain_errors():
        made_of_file = ["build-sky-of", str(file), str(sky_folder(root))]
        arguments = made_of_file if file is not None else ["build-sky", str(sky_folder(root)), *added_folders(root)]
        out.print(run_astrometry_command(*arguments, limit_s=BUILD_LIMIT_S).strip())
