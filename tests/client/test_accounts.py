"""Commands about accounts and mail: what they send, and what they say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from alidade import AlidadeClient
from alidade.cli import account, admin
from alidade.cli.main import app

TOKEN = "ald_ln_" + "A" * 43
STATE = {
    "waiting": 2,
    "oldest_at": "2026-11-30T20:00:00Z",
    "last_error": "The mail server mail.test:587 failed: refused.",
    "failed": [
        {"kind": "recover", "recipient": None, "tries": 3, "created_at": "2026-11-30T19:00:00Z",
         "failed_at": "2026-11-30T20:00:00Z", "reason": "[550] no such user"},
    ],
}  # fmt: skip


class Server:
    """Remembers what it was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, Any]] = []
        self.refusal: dict[str, Any] | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        content = request.read()
        self.sent.append((request.method, request.url.raw_path.decode(), json.loads(content) if content else None))
        if self.refusal is not None:
            return httpx.Response(int(self.refusal["status"]), json=self.refusal)
        match request.method, request.url.path:
            case "POST", "/api/v1/auth/recover":
                return httpx.Response(202, json={"detail": "A letter is on its way."})
            case "POST", "/api/v1/auth/login":
                return httpx.Response(200, json={"access_token": "t", "expires_in": 900, "scope": ""})
            case "POST", "/api/v1/auth/register":
                return httpx.Response(201, json={"username": "ada"})
            case "GET", "/api/v1/admin/mail":
                return httpx.Response(200, json=STATE)
            case "GET", "/api/v1/admin/invitations":
                items = [{"email": "ada@example.test", "expires_at": "2026-12-07T20:00:00Z"}]
                return httpx.Response(200, json={"items": items})
        return httpx.Response(204)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    played = Server()
    client = partial(AlidadeClient, transport=httpx.MockTransport(played))

    @contextmanager
    def session(*_given: Any, **_options: Any) -> Iterator[AlidadeClient]:
        with client("http://server", access_token="t") as made:
            yield made

    monkeypatch.setattr(account, "AlidadeClient", client)
    monkeypatch.setattr(admin, "client_session", session)
    return played


def run(*arguments: str, typed: str = "") -> Any:
    done = CliRunner().invoke(app, list(arguments), input=typed)
    assert done.exit_code == 0, done.output
    return done


def test_an_account_is_opened_with_an_address(server: Server) -> None:
    run(
        "register",
        "--server",
        "http://server",
        "--user",
        "ada",
        "--email",
        "a@b.test",
        typed="good night\ngood night\n",
    )
    body = {"username": "ada", "password": "good night", "email": "a@b.test"}
    assert server.sent == [("POST", "/api/v1/auth/register", body)]


def test_by_invitation_an_account_has_the_address_that_was_invited(server: Server) -> None:
    run("register", "--server", "http://server", "--user", "ada", "--invitation", TOKEN, typed="night\nnight\n")
    assert server.sent[0][2] == {"username": "ada", "password": "night", "invitation": TOKEN}


def test_asking_for_a_new_password_says_what_the_server_says_to_everybody(server: Server) -> None:
    done = run("recover", "--server", "http://server", "--user", "ada")
    assert done.output.strip() == "A letter is on its way."
    assert server.sent == [("POST", "/api/v1/auth/recover", {"account": "ada"})]


def test_a_new_password_and_its_token_are_asked_for_and_not_echoed(server: Server) -> None:
    done = run("new-password", "--server", "http://server", typed=f"{TOKEN}\nanother night\nanother night\n")
    assert server.sent == [("POST", "/api/v1/auth/new-password", {"token": TOKEN, "new_password": "another night"})]
    assert "another night" not in done.output


def test_a_new_address_needs_a_login_of_its_own(server: Server) -> None:
    done = run("address", "--server", "http://server", "--user", "ada", "--to", "n@b.test", typed="good night\n")
    assert [path for _, path, _ in server.sent] == ["/api/v1/auth/login", "/api/v1/me/email"]
    assert server.sent[1][2] == {"email": "n@b.test", "current_password": "good night"}
    assert "n@b.test" in done.output and "good night" not in done.output


def test_an_address_is_confirmed(server: Server) -> None:
    run("confirm-address", "--server", "http://server", typed=f"{TOKEN}\n")
    assert server.sent == [("POST", "/api/v1/auth/confirm-address", {"token": TOKEN})]


def test_a_test_letter_is_sent_and_a_refusal_is_said(server: Server) -> None:
    assert "took a letter to a@b.test" in run("admin", "mail", "test", "a@b.test").output
    server.refusal = {"status": 502, "code": "mail_refused", "detail": "The mail server refused the login (535 no)."}
    done = CliRunner().invoke(app, ["admin", "mail", "test", "a@b.test"])
    assert done.exit_code == 1
    assert "refused the login (535 no)" in done.output


def test_the_state_of_mail_names_what_keeps_letters_back(server: Server) -> None:
    lines = run("admin", "mail", "state").output
    assert "2 letters wait, the oldest since 2026-11-30T20:00" in lines
    assert "mail.test:587 failed: refused." in lines
    # as text: brackets of a mail server are no markup of ours
    assert "recover to whoever asked, 3 tries: [550] no such user" in lines.replace("\n", " ")


def test_people_are_invited_listed_and_uninvited(server: Server) -> None:
    run("admin", "invite", "ada@example.test")
    assert "ada@example.test  until 2026-12-07T20:00" in run("admin", "invitations").output
    run("admin", "withdraw", "a+b/c@example.test")
    assert server.sent[0] == ("POST", "/api/v1/admin/invitations", {"email": "ada@example.test"})
    assert server.sent[-1][:2] == ("DELETE", "/api/v1/admin/invitations/a%2Bb%2Fc%40example.test")
