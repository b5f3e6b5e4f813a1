"""``alidade login``, ``logout``, ``register``."""

from __future__ import annotations

import socket
from typing import Annotated

import typer

from alidade.cli.console import out, plain_errors
from alidade.client import AlidadeClient, AlidadeClientError
from alidade.credentials import Login, forget_login, store_login

Server = Annotated[str, typer.Option(metavar="URL", help="Address of the gateway.", prompt=True)]
User = Annotated[str, typer.Option("--user", help="User name.", prompt="User name")]


def login(
    server: Server,
    user: User,
    password: Annotated[str, typer.Option(prompt=True, hide_input=True, envvar="ALIDADE_PASSWORD")],
) -> None:
    """Log in; a personal token is kept in a file that only you can read."""
    with plain_errors(), AlidadeClient(server) as client:
        client.login(user, password)
        token = client.make_personal_token(f"command line on {socket.gethostname()}"[:100])
        path = store_login(Login(server.rstrip("/"), user, token))
    out.print(f"Logged in to {server} as {user}; the token is in {path}.")


def logout() -> None:
    """Forget the stored login."""
    out.print("Logged out." if forget_login() else "There was no login.")


def register(
    server: Server,
    user: User,
    password: Annotated[
        str, typer.Option(prompt=True, hide_input=True, confirmation_prompt=True, envvar="ALIDADE_PASSWORD")
    ],
) -> None:
    """Open an account."""
    with plain_errors(), AlidadeClient(server) as client:
        try:
            client.register(user, password)
        except AlidadeClientError as error:
            raise AlidadeClientError(f"The account was not opened: {error}", code=error.code) from None
    out.print(f"The account {user} is open: run `alidade login --server {server}`.")
