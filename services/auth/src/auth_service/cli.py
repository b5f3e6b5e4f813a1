"""Commands of the operator: ``python -m auth_service.cli COMMAND``."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from astro_shared.database.engine import create_database_if_missing
from astro_shared.database.migrations import upgrade
from astro_shared.errors import AlidadeError
from astro_shared.logs import configure_logging
from astro_shared.settings import settings_or_exit
from auth_service.config import AuthSettings
from auth_service.domain.accounts import Origin, normalise_username
from auth_service.factory import Services, open_services

MIGRATIONS = "auth_service.migrations"
OPERATOR = "operator"
_ORIGIN = Origin(source="cli")

Command = Callable[[Services, argparse.Namespace], Awaitable[str]]


async def _bootstrap_local(services: Services, arguments: argparse.Namespace) -> str:
    account, token, text = await services.bootstrap_local(_ORIGIN)
    answer = {"user_id": account.id, "username": account.username, "expires_at": token.expires_at.isoformat()}
    if arguments.token_file is None:
        return json.dumps({**answer, "token": text})
    _write_secret(arguments.token_file, text)
    return json.dumps({**answer, "token_file": str(arguments.token_file)})


async def _create_user(services: Services, arguments: argparse.Namespace) -> str:
    name = normalise_username(arguments.username)
    account = await services.register.create(name, _read_password(), arguments.email, _ORIGIN, role=arguments.role)
    return f"opened {account.username} ({account.id})"


async def _set_password(services: Services, arguments: argparse.Namespace) -> str:
    account = await services.read_account.named(arguments.username)
    await services.change_password.set(account, _read_password(), _ORIGIN, actor=OPERATOR)
    return f"changed the password of {account.username}; all sessions and personal tokens ended"


async def _disable(services: Services, arguments: argparse.Namespace) -> str:
    account = await services.read_account.named(arguments.username)
    await services.change_status.disable(account, _ORIGIN, actor=OPERATOR)
    return f"disabled {account.username}"


async def _enable(services: Services, arguments: argparse.Namespace) -> str:
    account = await services.read_account.named(arguments.username)
    await services.change_status.enable(account, _ORIGIN, actor=OPERATOR)
    return f"enabled {account.username}"


async def _delete(services: Services, arguments: argparse.Namespace) -> str:
    account = await services.read_account.named(arguments.username)
    await services.change_status.delete(account, _ORIGIN, actor=OPERATOR)
    return f"deleted {account.username}"


async def _rotate(services: Services, _arguments: argparse.Namespace) -> str:
    return f"key {await services.signing_keys.rotate()} signs in two minutes; the old one is accepted for an hour more"


async def _rewrap(services: Services, _arguments: argparse.Namespace) -> str:
    return f"sealed {await services.keep_keys.rewrap_all(_ORIGIN)} keys anew"


async def _audit(services: Services, arguments: argparse.Namespace) -> str:
    async with services.open_unit() as unit:
        records = await unit.audit.newest(arguments.limit)
    lines = [
        {
            "at": record.at.isoformat(),
            "event": record.event,
            "outcome": record.outcome,
            "actor": record.actor,
            "subject": record.subject,
            "source": record.source,
            "request_id": record.request_id,
            **record.facts,
        }
        for record in records
    ]
    return "\n".join(json.dumps(line) for line in lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="auth_service.cli", description="Operate auth.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("migrate", help="bring the database to this release")
    local = commands.add_parser("bootstrap-local", help="make the user of the embedded platform, with a personal token")
    local.add_argument("--token-file", type=Path, help="write the token here, readable by its owner alone")
    local.set_defaults(run=_bootstrap_local)
    create = commands.add_parser("create-user", help="open an account; the password is read from standard input")
    create.add_argument("--email")
    create.add_argument("--role", choices=("user", "admin"), default="user")
    create.set_defaults(run=_create_user)
    password = commands.add_parser("set-password", help="set a password, read from standard input")
    password.set_defaults(run=_set_password)
    disable = commands.add_parser("disable", help="disable an account and end all its sessions")
    disable.set_defaults(run=_disable)
    enable = commands.add_parser("enable", help="let a disabled account be used again")
    enable.set_defaults(run=_enable)
    delete = commands.add_parser("delete", help="delete an account and what is personal about it")
    delete.set_defaults(run=_delete)
    for command in (create, password, disable, enable, delete):
        command.add_argument("username")
    commands.add_parser("rotate-signing-key", help="make a new key for access tokens").set_defaults(run=_rotate)
    commands.add_parser("rewrap-keys", help="seal third parties' keys with the current secret").set_defaults(
        run=_rewrap
    )
    audit = commands.add_parser("audit", help="show the audit log, newest first, one JSON object per line")
    audit.add_argument("--limit", type=int, default=100)
    audit.set_defaults(run=_audit)
    return parser


def migrate() -> tuple[str | None, str]:
    """Make the database if it is missing and bring it to this release; return the revisions before and after."""
    settings = settings_or_exit(AuthSettings)
    create_database_if_missing(settings.database_url)
    return upgrade(settings.database_url, MIGRATIONS)


def main(argv: list[str] | None = None) -> int:
    """Run one command; return its exit code."""
    arguments = _parser().parse_args(argv)
    settings = settings_or_exit(AuthSettings)
    configure_logging(service="auth", log_format="console", level="WARNING")
    try:
        if arguments.command == "migrate":
            before, after = migrate()
            answer = f"auth: revision {before or 'none'} -> {after}"
        else:
            answer = asyncio.run(_run(settings, arguments))
    except AlidadeError as error:
        sys.stderr.write(f"auth: {error}\n")
        return 1
    sys.stdout.write(answer + "\n")
    return 0


async def _run(settings: AuthSettings, arguments: argparse.Namespace) -> str:
    async with open_services(settings) as services:
        command: Command = arguments.run
        return await command(services, arguments)


def _read_password() -> str:
    if sys.stdin.isatty():
        return getpass.getpass("Password: ")
    return sys.stdin.readline().rstrip("\n")


def _write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
    scratch.replace(path)


if __name__ == "__main__":
    sys.exit(main())
