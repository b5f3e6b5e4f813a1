"""Known and unknown names cost the same: the statements and the hashes are counted, not the seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from astro_shared.database.migrations import upgrade
from auth_service.adapters.passwords import Argon2Hasher
from auth_service.domain.accounts import Origin
from auth_service.factory import Services, open_services
from auth_service.main import MIGRATIONS, attach, bare_app

PASSWORD, ADDRESS = "a wonderful night", "ada@example.test"


class Work:
    """What a request made the service do, in order."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def statement(self, *given: Any) -> None:
        self.steps.append(str(given[2]))

    async def of(self, client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> tuple[int, list[str]]:
        self.steps.clear()
        answer = await client.post(f"/api/v1/auth/{path}", json=body)
        return answer.status_code, list(self.steps)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    noted = Work()
    for name in ("hash", "verify"):
        real = getattr(Argon2Hasher, name)

        async def note(self: Argon2Hasher, *given: Any, name: str = name, real: Any = real) -> Any:
            noted.steps.append(name)
            return await real(self, *given)

        monkeypatch.setattr(Argon2Hasher, name, note)
    event.listen(Engine, "before_cursor_execute", noted.statement)
    yield noted
    event.remove(Engine, "before_cursor_execute", noted.statement)


@pytest.fixture
async def server(database: str, make_settings: Callable[..., Any], tmp_path: Any) -> Any:
    upgrade(database, MIGRATIONS)
    mail = {"kind": "folder", "folder": str(tmp_path)}
    async with open_services(make_settings(database_url=database, mail=mail)) as services:
        await services.signing_keys.ensure()
        app = bare_app()
        attach(app, services)
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://auth.test") as client:
            body = {"username": "ada", "password": PASSWORD, "email": ADDRESS}
            assert (await client.post("/api/v1/auth/register", json=body)).status_code == 201
            yield client, services


Server = tuple[httpx.AsyncClient, Services]


@pytest.mark.parametrize("known", ["ada", ADDRESS, "ADA"])
@pytest.mark.parametrize("unknown", ["nobody", "nobody@example.test"])
async def test_to_recover_an_account_costs_the_same_whether_there_is_one(
    server: Server, work: Work, known: str, unknown: str
) -> None:
    client, _ = server
    one = await work.of(client, "recover", {"account": known})
    other = await work.of(client, "recover", {"account": unknown})
    assert one == other
    assert one[0] == 202
    assert sum("outbox" in step for step in one[1]) == 1
    assert not any("FROM users" in step for step in one[1])


async def test_a_letter_is_written_on_no_request(server: Server, work: Work) -> None:
    """The work that only an account that exists causes belongs to the outbox's own beat."""
    client, services = server
    await work.of(client, "recover", {"account": "ada"})
    assert services.send_letters is not None
    work.steps.clear()
    assert await services.send_letters.all_due() == 1
    assert any("mailed_links" in step for step in work.steps)


@pytest.mark.parametrize("state", ["active", "disabled"])
async def test_a_failed_login_costs_the_same_whether_there_is_an_account(
    server: Server, work: Work, state: str
) -> None:
    client, services = server
    if state == "disabled":
        account = await services.read_account.named("ada")
        await services.change_status.disable(account, Origin(), actor="operator")
    one = await work.of(client, "login", {"username": "ada", "password": "a guess of somebody"})
    other = await work.of(client, "login", {"username": "nobody", "password": "a guess of somebody"})
    assert one == other
    assert (one[0], one[1].count("verify")) == (401, 1)


async def test_to_register_a_taken_name_costs_a_hash_too(server: Server, work: Work) -> None:
    """The answer tells that the name is taken, as it must; the hash is made before anybody looks."""
    client, _ = server
    taken = await work.of(client, "register", {"username": "ada", "password": PASSWORD})
    free = await work.of(client, "register", {"username": "bob", "password": PASSWORD})
    assert (taken[0], free[0]) == (409, 201)
    assert taken[1].count("hash") == free[1].count("hash") == 1
    assert free[1][: len(taken[1])] == taken[1]
