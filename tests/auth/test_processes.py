"""The commands and the application, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import io
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from astro_shared.clients.sealed_keys import KeyRing, SealedSecret
from astro_shared.database.errors import SchemaError
from astro_shared.web.errors import InvalidTokenError
from auth_service import cli
from auth_service.config import AuthSettings
from auth_service.domain.accounts import Origin
from auth_service.errors import BadCredentialsError, SessionEndedError
from auth_service.factory import open_services
from auth_service.main import create_app

SECRETS = {"AUTH_SIGNING_SECRET": "1:" + "s" * 32, "AUTH_SEALING_SECRET": "1:" + "k" * 32}


@pytest.fixture
def operate(
    database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Run a command of the operator; return its exit code and what it wrote."""
    for name, value in {**SECRETS, "AUTH_DATABASE_URL": database}.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, typed: str = "") -> tuple[int, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        code = cli.main(list(arguments))
        written = capsys.readouterr()
        return code, written.out + written.err

    assert run("migrate") == (0, "auth: revision none -> auth_0002\n")
    return run


async def call(method: str, path: str, **options: Any) -> httpx.Response:
    app = create_app()
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://auth.test") as client:
            return await client.request(method, path, **options)


async def test_the_local_user_gets_a_token_file_for_its_owner_alone(
    operate: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    file = tmp_path / "state" / "token"
    code, _ = await asyncio.to_thread(operate, "bootstrap-local", "--token-file", str(file))
    assert code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    first = file.read_text().strip()
    body = {"personal_token": first}
    assert (await call("POST", "/api/v1/auth/personal-token", json=body)).status_code == 200
    code, answer = await asyncio.to_thread(operate, "bootstrap-local")
    assert code == 0
    again = json.loads(answer)
    assert again["username"] == "local"
    assert (await call("POST", "/api/v1/auth/personal-token", json=body)).status_code == 401
    body = {"personal_token": again["token"]}
    assert (await call("POST", "/api/v1/auth/personal-token", json=body)).status_code == 200


async def test_nobody_logs_in_as_the_local_user(operate: Callable[..., tuple[int, str]]) -> None:
    await asyncio.to_thread(operate, "bootstrap-local")
    for password in ("", "None", "plain:", "local"):
        answer = await call("POST", "/api/v1/auth/login", json={"username": "local", "password": password or "x"})
        assert answer.status_code == 401


def test_accounts_are_opened_disabled_and_deleted_by_the_operator(operate: Callable[..., tuple[int, str]]) -> None:
    assert operate("create-user", "Ada", typed="a wonderful night\n")[0] == 0
    assert operate("create-user", "ada", typed="a wonderful night\n") == (1, "auth: The user name ada is in use.\n")
    assert operate("create-user", "bob", typed="short\n")[0] == 1
    assert operate("set-password", "ada", typed="another good night\n")[0] == 0
    for command in ("disable", "enable", "delete"):
        assert operate(command, "ada")[0] == 0
    assert operate("disable", "ada") == (1, "auth: There is no user ada.\n")
    code, lines = operate("audit", "--limit", "10")
    assert code == 0
    assert [json.loads(line)["event"] for line in lines.splitlines()] == [
        "account_deleted",
        "account_enabled",
        "account_disabled",
        "password_changed",
        "account_opened",
    ]
    assert "night" not in lines


def test_missing_settings_are_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("AUTH_SIGNING_SECRET", "short")
    with pytest.raises(SystemExit) as ended:
        cli.main(["migrate"])
    assert ended.value.code == 78
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "AUTH_DATABASE_URL is not set" in line


def test_a_short_secret_is_refused_without_being_shown(make_settings: Callable[..., AuthSettings]) -> None:
    with pytest.raises(ValueError, match="shorter than 32") as caught:
        make_settings(signing_secret="1:hunter2-hunter2")
    assert "hunter2" not in str(caught.value.errors(include_input=False))  # type: ignore[attr-defined]


async def test_the_application_does_not_start_on_another_schema(
    database: str, make_settings: Callable[..., AuthSettings]
) -> None:
    app = create_app(make_settings(database_url=database))
    with pytest.raises(SchemaError, match="run its migration first"):
        async with app.router.lifespan_context(app):
            pass


async def test_sealed_keys_are_rewrapped_for_a_new_secret(
    operate: Callable[..., tuple[int, str]], database: str, make_settings: Callable[..., AuthSettings]
) -> None:
    old = make_settings(database_url=database)
    new = make_settings(database_url=database, sealing_secret=f"2:{'n' * 32},1:{'k' * 32}")
    async with open_services(old) as services:
        user = (await services.register("ada", "a wonderful night", None, Origin())).id
        before = await services.keep_keys.store(user, "nova", "the-key-of-nova", Origin())
    async with open_services(new) as services:
        assert await services.keep_keys.rewrap_all(Origin()) == 1
        assert await services.keep_keys.rewrap_all(Origin()) == 0
        after = (await services.keep_keys.list(user))[0]
    assert (after.key_version, after.ciphertext, after.last4) == ("2", before.ciphertext, before.last4)
    alone = KeyRing({"2": "n" * 32}, purpose="third-party keys")
    sealed = SealedSecret(after.key_version, after.wrapped_key, after.ciphertext)
    assert alone.unseal(sealed, owner=user, name="nova") == b"the-key-of-nova"
    assert (await asyncio.to_thread(operate, "audit"))[1].count("keys_rewrapped") == 1


async def test_sessions_and_keys_outlive_a_restart(operate: Callable[..., tuple[int, str]]) -> None:
    await asyncio.to_thread(operate, "create-user", "ada", typed="a wonderful night\n")
    body = {"username": "ada", "password": "a wonderful night"}
    tokens = (await call("POST", "/api/v1/auth/login", json=body)).json()
    header = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert (await call("GET", "/api/v1/me", headers=header)).json()["username"] == "ada"
    refreshed = await call("POST", "/api/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert refreshed.status_code == 200


async def test_a_volley_with_one_refresh_token_has_one_winner(
    operate: Callable[..., tuple[int, str]], database: str, make_settings: Callable[..., AuthSettings]
) -> None:
    settings = make_settings(database_url=database)
    async with open_services(settings) as here, open_services(settings) as there:
        await here.signing_keys.ensure()
        await here.register("ada", "a wonderful night", None, Origin())
        token = (await here.log_in("ada", "a wonderful night", Origin())).refresh_token
        answers = await asyncio.gather(
            *(services.refresh(token, None, Origin()) for services in (here, there) * 4), return_exceptions=True
        )
        names = [type(answer).__name__ for answer in answers]
        assert names.count("IssuedSession") == 1
        # whether a loser sees the replay or the session that another loser has ended is a matter of moments
        assert set(names) - {"IssuedSession"} <= {"RefreshReplayedError", "SessionEndedError"}


async def test_what_ends_at_one_replica_has_ended_at_the_other(
    operate: Callable[..., tuple[int, str]], database: str, make_settings: Callable[..., AuthSettings]
) -> None:
    settings = make_settings(database_url=database)
    async with open_services(settings) as here, open_services(settings) as there:
        await here.signing_keys.ensure()
        await here.register("ada", "a wonderful night", None, Origin())
        issued = await here.log_in("ada", "a wonderful night", Origin())
        assert await there.authenticator.authenticate(issued.access_token, write=True)
        await here.log_out(issued.refresh_token, Origin())
        with pytest.raises(InvalidTokenError, match="revoked"):
            await there.authenticator.authenticate(issued.access_token, write=False)


async def test_a_login_during_a_change_of_password_does_not_survive_it(
    operate: Callable[..., tuple[int, str]], database: str, make_settings: Callable[..., AuthSettings]
) -> None:
    async with open_services(make_settings(database_url=database)) as services:
        await services.signing_keys.ensure()
        user = (await services.register("ada", "a wonderful night", None, Origin())).id
        outcomes = await asyncio.gather(
            services.change_password(user, "a wonderful night", "another good night", Origin()),
            *(services.log_in("ada", "a wonderful night", Origin()) for _ in range(3)),
            return_exceptions=True,
        )
        for issued in outcomes[1:]:
            if isinstance(issued, BadCredentialsError):
                continue
            with pytest.raises(SessionEndedError):
                await services.refresh(issued.refresh_token, None, Origin())


async def test_with_the_database_away_nothing_is_200(
    make_auth: Any, make_settings: Callable[..., AuthSettings]
) -> None:
    made = await make_auth()
    header = await made.signed_in()
    settings = make_settings(database_url="postgresql://nobody@127.0.0.1:1/none")
    async with open_services(settings) as services:
        # The keys are known to this process, only the database has gone.
        services.signing_keys._known = await made.services.signing_keys._keys()
        services.signing_keys._read_at_s = float("inf")
        made.app.state.services, made.app.state.authenticator = services, services.authenticator
        answers = [
            await made.client.get("/api/v1/me", headers=header),
            await made.client.get("/v1/revocations"),
            await made.client.get("/readyz"),
            await made.client.post("/api/v1/auth/login", json={"username": "ada", "password": "a wonderful night"}),
        ]
    assert [answer.status_code for answer in answers] == [503] * 4
    assert all("127.0.0.1" not in answer.text for answer in answers)
