"""Letters of the real process over a real SMTP server: down, slow, killed in the middle; nothing is lost."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from sqlalchemy import text
from typer.testing import CliRunner

from alidade.cli.main import app
from astro_shared.database.engine import make_engine
from astro_shared.database.migrations import upgrade
from auth_service.main import MIGRATIONS
from smtp_server import SmtpPost, smtp_post

OLD, NEW = "a wonderful night", "another good night"
ADDRESS = "ada@example.test"
PASSWORD_OF_MAIL = "a secret of mail"
PATIENCE_S = 60.0


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


async def until(holds: Callable[[], Any]) -> None:
    ends_at = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < ends_at, "it did not come to that"
        await asyncio.sleep(0.05)


class Process:
    """Auth as it runs in a pod, with its log."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.port, self.log = free_port(), log
        self.environment = {**os.environ, **environment, "AUTH_PORT": str(self.port)}
        self.child: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "auth_service.main"]
            self.child = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        await until(self._ready)

    def kill(self) -> None:
        if self.child is not None:
            self.child.send_signal(signal.SIGKILL)
            self.child.wait(10)

    async def post(self, path: str, **body: Any) -> httpx.Response:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}") as client:
            return await client.post(f"/api/v1/auth/{path}", json=body)

    def _ready(self) -> bool:
        assert self.child is not None and self.child.poll() is None, self.log.read_text()
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/readyz").status_code == 200
        except httpx.TransportError:
            return False


@asynccontextmanager
async def auth_process(database: str, folder: Path, **mail: Any) -> AsyncIterator[Process]:
    await asyncio.to_thread(upgrade, database, MIGRATIONS)
    environment = {
        "AUTH_DATABASE_URL": database,
        "AUTH_PUBLIC_BASE_URL": "https://alidade.test",
        "AUTH_SIGNING_SECRET": "1:" + "s" * 32,
        "AUTH_SEALING_SECRET": "1:" + "k" * 32,
        "AUTH_LOG_FORMAT": "console",
        "AUTH_MAIL__KIND": "smtp",
        "AUTH_MAIL__HOST": "127.0.0.1",
        "AUTH_MAIL__SENDER": "alidade@observatory.test",
        **{f"AUTH_MAIL__{name.upper()}": str(value) for name, value in mail.items()},
    }
    process = Process(environment, folder / "auth.log")
    try:
        await process.start()
        yield process
    finally:
        process.kill()


async def execute(database: str, statement: str) -> None:
    engine = make_engine(database)
    async with engine.begin() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


async def all_letters_are_due(database: str) -> None:
    """Let the pause pass that a letter was put off for, or that it is claimed for."""
    await execute(database, "UPDATE outbox SET due_at = now()")


async def make_administrator(database: str, name: str) -> None:
    await execute(database, f"UPDATE users SET role = 'admin' WHERE username = '{name}'")


def token_of(post: SmtpPost) -> str:
    (found,) = re.findall(r"#token=(ald_ln_\S+)", post.received[-1].message.get_content())
    return str(found)


async def open_account(process: Process) -> None:
    opened = await process.post("register", username="ada", password=OLD, email=ADDRESS)
    assert opened.status_code == 201, opened.text


async def test_a_lost_password_comes_back_over_tls_with_a_login(database: str, tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    login = {"username": "alidade", "password": PASSWORD_OF_MAIL, "ca_file": tmp_path / "ca.pem"}
    async with (
        smtp_post(starttls=context, login=True) as post,
        auth_process(database, tmp_path, port=post.port, **login) as process,
    ):
        await open_account(process)
        assert (await process.post("recover", account=ADDRESS)).status_code == 202
        await until(lambda: post.received)
        token = token_of(post)
        assert f"https://alidade.test/account/new-password#token={token}" in post.received[0].message.get_content()
        assert (await process.post("new-password", token=token, new_password=NEW)).status_code == 204
        await until(lambda: len(post.received) == 2)
        assert post.received[1].message["subject"] == "Your password for Alidade was changed"
        assert (await process.post("login", username="ada", password=NEW)).status_code == 200
    log = process.log.read_text()
    assert "http_request" in log
    for secret in (token, OLD, NEW, PASSWORD_OF_MAIL, ADDRESS):
        assert secret not in log


async def test_a_password_comes_back_on_the_command_line_alone(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    async def alidade(*arguments: str, typed: str = "") -> str:
        done = await asyncio.to_thread(CliRunner().invoke, app, list(arguments), input=typed)
        assert done.exit_code == 0, done.output
        return done.output

    async with (
        smtp_post() as post,
        auth_process(database, tmp_path, port=post.port, security="none") as process,
    ):
        server = ("--server", f"http://127.0.0.1:{process.port}")
        await alidade("register", *server, "--user", "ada", "--email", ADDRESS, typed=f"{OLD}\n{OLD}\n")
        await make_administrator(database, "ada")
        await alidade("recover", *server, "--user", ADDRESS)
        await until(lambda: post.received)
        await alidade("new-password", *server, typed=f"{token_of(post)}\n{NEW}\n{NEW}\n")
        await alidade("login", *server, "--user", "ada", typed=f"{NEW}\n")
        await until(lambda: len(post.received) == 2)
        assert "took a letter" in await alidade("admin", "mail", "test", "bob@example.test", *server)
        assert (post.received[2].recipients, post.received[2].message["subject"]) == (
            ["bob@example.test"],
            "Test letter of Alidade",
        )
        assert "No letter waits." in await alidade("admin", "mail", "state", *server)


async def test_a_letter_waits_for_a_server_that_is_down(database: str, tmp_path: Path) -> None:
    port = free_port()
    async with auth_process(database, tmp_path, port=port, security="none") as process:
        await open_account(process)
        assert (await process.post("recover", account="ada")).status_code == 202
        await until(lambda: "mail_put_off" in process.log.read_text())
        async with smtp_post(port=port) as post:
            await all_letters_are_due(database)
            await until(lambda: post.received)
            answer = await process.post("new-password", token=token_of(post), new_password=NEW)
            assert answer.status_code == 204, answer.text


async def test_a_letter_outlives_the_process_that_was_sending_it(database: str, tmp_path: Path) -> None:
    async with smtp_post() as post:
        post.conduct.silent_s = PATIENCE_S
        async with auth_process(database, tmp_path, port=post.port, security="none") as process:
            await open_account(process)
            assert (await process.post("recover", account="ada")).status_code == 202
            await until(lambda: post.begun)
            process.kill()
            assert post.received == []
            post.conduct.silent_s = 0.0
            await all_letters_are_due(database)
            await process.start()
            await until(lambda: post.received)
            answer = await process.post("new-password", token=token_of(post), new_password=NEW)
            assert answer.status_code == 204, answer.text


async def test_a_letter_that_is_refused_is_said_to_the_operator_alone(database: str, tmp_path: Path) -> None:
    async with (
        smtp_post() as post,
        auth_process(database, tmp_path, port=post.port, security="none") as process,
    ):
        post.conduct.on_recipient = "550 no such user"
        await open_account(process)
        known, unknown = await process.post("recover", account="ada"), await process.post("recover", account="nobody")
        assert (known.status_code, known.text) == (unknown.status_code, unknown.text)
        await until(lambda: "mail_not_delivered" in process.log.read_text())
        assert post.received == []
