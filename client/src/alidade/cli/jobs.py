"""``alidade jobs``: reductions at the server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from alidade.cli.console import out, plain_errors, say
from alidade.processing import fetch_results
from alidade.session import client_session

app = typer.Typer(no_args_is_help=True, help="Reductions at the server.")
ServerOption = Annotated[
    str | None, typer.Option("--server", metavar="URL", help="A server; default: the login, or this machine.")
]


@app.command("list")
def list_jobs(server: ServerOption = None, limit: Annotated[int, typer.Option(min=1, max=500)] = 20) -> None:
    """The latest, newest first."""
    with plain_errors(), client_session(server, say=say) as client:
        found = client.reductions(limit)
    # an identifier that is cut is of no use for the other commands
    table = Table(Column("id", no_wrap=True, min_width=36), "frame", "phase", "status", "created", box=None)
    for view in found:
        table.add_row(
            view.id, view.frame_name, str(view.phase), view.status or "", f"{view.created_at:%Y-%m-%d %H:%M:%S}"
        )
    out.print(table)


@app.command()
def show(reduction_id: str, server: ServerOption = None) -> None:
    """One reduction, as JSON."""
    with plain_errors(), client_session(server, say=say) as client:
        out.print(json.dumps(client.reduction(reduction_id).model_dump(mode="json"), indent=2), markup=False)


@app.command()
def abort(reduction_id: str, server: ServerOption = None) -> None:
    """Stop one."""
    with plain_errors(), client_session(server, say=say) as client:
        out.print(f"{reduction_id}: {client.abort(reduction_id).phase}")


@app.command()
def identify(
    reduction_id: str,
    to: Annotated[Path | None, typer.Option("--out", "-o", metavar="DIR", help="Bring the results home.")] = None,
    server: ServerOption = None,
) -> None:
    """Ask the catalogues that failed again, and complete the results of a finished reduction."""
    with plain_errors(), client_session(server, say=say) as client:
        client.identify_again(reduction_id)
        *_, view = client.watch(reduction_id)
        if to is not None:
            fetch_results(client, view, to)
    for name, facts in ((view.summary or {}).get("identification") or {}).items():
        said = facts.get("message") or facts.get("cause") or f"{facts['matches']} sources"
        out.print(f"{name}: {facts['status']}, {said}", markup=False)


@app.command()
def fetch(
    reduction_id: str, to: Annotated[Path, typer.Option("--out", "-o", metavar="DIR")], server: ServerOption = None
) -> None:
    """Bring the results of one home."""
    with plain_errors(), client_session(server, say=say) as client:
        fetch_results(client, client.reduction(reduction_id), to)
    out.print(str(to))
