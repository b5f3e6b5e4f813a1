"""``alidade login``, ``logout``, ``register``, ``recover``, ``new-password``, ``address``, ``confirm-address``."""

from __future__ import annotations

import socket
from typing import Annotated

import typer

from alidade.cli.console import out, plain_errors
from alidade.client import AlidadeClient, AlidadeClientError
from alidade.credentials import Login, forget_login, store_login

Server = Annotated[str, typer.Option(metavar="URL", help="Address of the gateway.", prompt=True)]
NewPassword = Annotated[
    str, typer.Option(prompt=True, hide_input=True, confirmation_prompt=True, envvar="ALIDADE_PASSWORD")
]
MailedToken = Annotated[
    str,
    typer.Option(help="What stands behind #token= in the link; asked for, so that no history keeps it.", prompt=True),
]
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
    password: NewPassword,
    email: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Your mail address, to get a lost password back.")
    ] = None,
    invitation: Annotated[
        str | None, typer.Option(metavar="TOKEN", help="What stands behind #token= in the link of an invitation.")
    ] = None,
) -> None:
    """Open an account."""
    with plain_errors(), AlidadeClient(server) as client:
        try:
            client.register(user, password, email, invitation=invitation)
        except AlidadeClientError as error:
            raise AlidadeClientError(f"The account was not opened: {error}", code=error.code) from None
    out.print(f"The account {user} is open: run `alidade login --server {server}`.")


def recover(
    server: Server,
    account: Annotated[str, typer.Option("--user", help="User name or mail address.", prompt="User name or address")],
) -> None:
    """Ask for a new password by mail."""
    with plain_errors(), AlidadeClient(server) as client:
        out.print(client.recover(account), markup=False)


def new_password(server: Server, token: MailedToken, password: NewPassword) -> None:
    """Set a new password with the link that was mailed; all sessions and tokens end."""
    with plain_errors(), AlidadeClient(server) as client:
        client.set_new_password(token, password)
    out.print(f"The password is set: run `alidade login --server {server}`.")


def address(
    server: Server,
    user: User,
    email: Annotated[str, typer.Option("--to", metavar="ADDRESS", help="New mail address.", prompt="New address")],
    password: Annotated[str, typer.Option(prompt=True, hide_input=True, envvar="ALIDADE_PASSWORD")],
) -> None:
    """Change the mail address of your account; a link is mailed to the new one."""
    with plain_errors(), AlidadeClient(server) as client:
        client.login(user, password)
        client.change_address(email, password)
    out.print(f"Follow the link that is mailed to {email}; until then the old address counts.", markup=False)


def confirm_address(server: Server, token: MailedToken) -> None:
    """Confirm your mail address with the link that was mailed to it."""
    with plain_errors(), AlidadeClient(server) as client:
        client.confirm_address(token)
    out.print("The address is confirmed.")
