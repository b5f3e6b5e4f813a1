"""``alidade forced``: fluxes at given positions of a frame that was reduced."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from alidade.cli.console import plain_errors, say
from alidade.cli.jobs import ServerOption
from alidade.client import AlidadeClientError
from alidade.positions import parse_position, read_positions
from alidade.session import client_session


def forced(
    reduction_id: Annotated[str, typer.Argument(metavar="REDUCTION", help="As `alidade jobs list` shows it.")],
    positions: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV with ra and dec (degrees) or x and y, name and color.")
    ] = None,
    at: Annotated[list[str] | None, typer.Option(metavar="RA,DEC", help="One position; may be repeated.")] = None,
    pixels: Annotated[bool, typer.Option("--pixels", help="--at gives X,Y: pixels, zero-based.")] = False,
    to: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Where to write; default: here.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of CSV.")] = False,
    server: ServerOption = None,
) -> None:
    """Signed fluxes, errors and upper limits at positions, whether a source was detected there or not."""
    name = "forced.json" if as_json else "forced.csv"
    with plain_errors(), tempfile.TemporaryDirectory() as scratch:
        places = _places(positions, at or [], pixels=pixels)
        with client_session(server, say=say) as client:
            work = client.finished(client.forced(reduction_id, places))
            client.fetch(work, name, to or Path(scratch) / name)
        if to is None:
            sys.stdout.write((Path(scratch) / name).read_text(encoding="utf-8"))
        figures = work.result or {}
        say(f"{figures['positions']} positions, {figures['measured']} measured, {figures['detected']} detected")


def _places(file: Path | None, at: list[str], *, pixels: bool) -> list[dict[str, Any]]:
    places = [parse_position(text, pixels=pixels) for text in at] + (read_positions(file) if file else [])
    if not places:
        raise AlidadeClientError("Give --positions FILE with at least one row, or --at RA,DEC.")
    return places
