"""``alidade keys``: one's keys of other services, sealed at the server and never shown again."""

from __future__ import annotations

from typing import Annotated

import typer

from alidade.cli.console import out, plain_errors, say
from alidade.cli.jobs import ServerOption
from alidade.session import client_session

app = typer.Typer(
    no_args_is_help=True,
    help="Keys of other services: nova_api_key (nova.astrometry.net), astro_colibri_uid (Astro-COLIBRI).",
)
Name = Annotated[str, typer.Argument(help="nova_api_key, astro_colibri_uid.")]


@app.command("list")
def list_keys(server: ServerOption = None) -> None:
    """Which keys are stored, and how they end."""
    with plain_errors(), client_session(server, say=say) as client:
        keys = client.keys()
    for key in keys:
        out.print(f"{key['name']}  ...{key['last4'] or ''}  stored {key['updated_at'][:10]}", markup=False)
    if not keys:
        say("No key is stored.")


@app.command("set")
def set_key(
    name: Name,
    value: Annotated[str, typer.Option(prompt=True, hide_input=True, help="Asked for, so that no history keeps it.")],
    server: ServerOption = None,
) -> None:
    """Store or replace a key; workers use it for your own requests only."""
    with plain_errors(), client_session(server, say=say) as client:
        client.store_key(name, value)
    out.print(f"The key {name} is stored.")


@app.command()
def remove(name: Name, server: ServerOption = None) -> None:
    """Delete a key."""
    with plain_errors(), client_session(server, say=say) as client:
        client.delete_key(name)
    out.print(f"The key {name} is deleted.")
