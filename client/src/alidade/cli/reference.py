"""``alidade reference``: reference lists of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from alidade.cli.console import out, plain_errors, say
from alidade.cli.jobs import ServerOption
from alidade.client import AlidadeClientError
from alidade.processing import import_reference
from alidade.session import client_session

app = typer.Typer(no_args_is_help=True, help="Reference lists used in place of Gaia.")


@app.command("import")
def import_list(
    file: Annotated[Path | None, typer.Argument(help="CSV, ECSV, FITS, VOTable or Parquet.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the list; default: the file's.")] = None,
    tycho2_index: Annotated[Path | None, typer.Option(help="An index file of astrometry.net: its star table.")] = None,
    epoch: Annotated[
        float | None, typer.Option(help="Epoch of the positions, Julian year, where rows say none.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(metavar="GAIA=YOURS", help="Column names, e.g. ra=RAJ2000.")
    ] = None,
    server: ServerOption = None,
) -> None:
    """Make a reference list of a file."""
    with plain_errors():
        path = file or tycho2_index
        if path is None or (file is not None and tycho2_index is not None):
            raise AlidadeClientError("Give a file, or --tycho2-index PATH.")
        columns = dict(entry.split("=", 1) for entry in column or [] if "=" in entry)
        options = {"columns": columns, "ref_epoch": epoch, "format": "tycho2_index" if tycho2_index else "auto"}
        with client_session(server, say=say) as client:
            upload = client.upload(path, purpose="reference")
            made = import_reference(client, upload.id, name or path.name.split(".")[0].lower(), **options)
    out.print(f"{made['name']}: {made['rows']} rows, bands {', '.join(b['name'] for b in made['bands']) or 'none'}")
    for note in made["notes"]:
        say(note)


@app.command("list")
def list_lists(server: ServerOption = None) -> None:
    """What there is."""
    with plain_errors(), client_session(server, say=say) as client:
        items = client.get("/api/v1/references")["items"]
    table = Table("name", "rows", "bands", "epoch", "scope", "from", box=None)
    for item in items:
        bands = ", ".join(band["name"] for band in item["bands"])
        table.add_row(
            item["name"], str(item["rows"]), bands, f"{item['ref_epoch_min'] or ''}", item["scope"], item["source"]
        )
    out.print(table)


@app.command()
def remove(name: str, server: ServerOption = None) -> None:
    """Remove one."""
    with plain_errors(), client_session(server, say=say) as client:
        client.delete(f"/api/v1/references/{name}")
    out.print(f"{name} was removed.")
