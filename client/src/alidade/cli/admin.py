"""``alidade admin``: mail and invitations of a platform, for its administrators."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from alidade.cli.console import out, plain_errors, say
from alidade.cli.jobs import ServerOption
from alidade.session import client_session

app = typer.Typer(no_args_is_help=True, help="Look after a platform (administrators).")
mail = typer.Typer(no_args_is_help=True, help="Mail of the platform.")
app.add_typer(mail, name="mail")

_MAIL, _INVITATIONS = "/api/v1/admin/mail", "/api/v1/admin/invitations"
Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="A mail address.")]


@mail.command("test")
def test_mail(address: Address, server: ServerOption = None) -> None:
    """Send a letter at once and say what the mail server answered."""
    with plain_errors(), client_session(server, say=say) as client:
        client.post(f"{_MAIL}:test", {"to": address})
    out.print(f"The mail server took a letter to {address}.", markup=False)


@mail.command("state")
def mail_state(server: ServerOption = None) -> None:
    """How many letters wait, what keeps them, and which could not be delivered in the last seven days."""
    with plain_errors(), client_session(server, say=say) as client:
        state = client.get(_MAIL)
    out.print(_waiting(state), markup=False)
    for letter in state["failed"]:
        to = letter["recipient"] or "whoever asked"
        line = f"{letter['failed_at'][:16]}  {letter['kind']} to {to}, {letter['tries']} tries: {letter['reason']}"
        out.print(line, markup=False)


@app.command()
def invite(address: Address, server: ServerOption = None) -> None:
    """Mail a link with which one account may be opened within seven days."""
    with plain_errors(), client_session(server, say=say) as client:
        client.post(_INVITATIONS, {"email": address})
    out.print(f"An invitation to {address} is on its way.", markup=False)


@app.command()
def invitations(server: ServerOption = None) -> None:
    """Invitations that were mailed and not used yet."""
    with plain_errors(), client_session(server, say=say) as client:
        items = client.get(_INVITATIONS)["items"]
    for item in items:
        out.print(f"{item['email']}  until {item['expires_at'][:16]}", markup=False)
    if not items:
        say("There is no open invitation.")


@app.command()
def withdraw(address: Address, server: ServerOption = None) -> None:
    """Make an invitation useless."""
    with plain_errors(), client_session(server, say=say) as client:
        client.delete(f"{_INVITATIONS}/{quote(address, safe='')}")
    out.print(f"The invitation to {address} is withdrawn.", markup=False)


def _waiting(state: dict[str, Any]) -> str:
    if not state["waiting"]:
        return "No letter waits."
    text = f"{state['waiting']} letters wait, the oldest since {state['oldest_at'][:16]}"
    return f"{text}: {state['last_error']}" if state["last_error"] else f"{text}."
