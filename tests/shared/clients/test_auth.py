"""Polling of keys and revocations; service tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import pytest
from pydantic import SecretStr

from astro_shared.clients.auth import Polled, RemoteKeys, ServiceTokens
from astro_shared.contracts.auth import JsonWebKeySet, Scope, ServiceTokenResponse
from astro_shared.errors import UnavailableError
from astro_shared.testing.tokens import make_jwk
from astro_shared.web.errors import KeysUnavailableError


class Watch:
    """A monotonic clock that tests move."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Source:
    """Counts its calls; fails when told to."""

    def __init__(self) -> None:
        self.calls = 0
        self.failing = False

    async def __call__(self) -> int:
        self.calls += 1
        await asyncio.sleep(0)
        if self.failing:
            raise UnavailableError("away")
        return self.calls


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def source() -> Source:
    return Source()


async def test_many_callers_cause_one_fetch(watch: Watch, source: Source) -> None:
    polled = Polled(source, monotonic=watch)
    answers = await asyncio.gather(*(polled.get() for _ in range(20)))
    assert (source.calls, {value for value, _ in answers}) == (1, {1})


async def test_a_value_is_kept_for_the_polling_interval(watch: Watch, source: Source) -> None:
    polled = Polled(source, monotonic=watch)
    await polled.get()
    watch.now_s += 14
    await polled.get()
    assert source.calls == 1


async def test_an_older_value_is_answered_at_once_and_renewed_behind(watch: Watch, source: Source) -> None:
    polled = Polled(source, monotonic=watch)
    await polled.get()
    watch.now_s += 16
    assert (await polled.get())[0] == 1
    for _ in range(3):
        await asyncio.sleep(0)
    assert (await polled.get())[0] == 2


async def test_a_stale_value_is_waited_for(watch: Watch, source: Source) -> None:
    polled = Polled(source, monotonic=watch)
    await polled.get()
    watch.now_s += 61
    assert await polled.get() == (2, watch.now_s)


async def test_failures_leave_the_old_value_with_its_age(watch: Watch, source: Source) -> None:
    polled = Polled(source, monotonic=watch)
    await polled.get()
    source.failing = True
    watch.now_s += 100
    assert await polled.get() == (1, 1000.0)


async def test_after_a_failure_there_is_a_pause(watch: Watch, source: Source) -> None:
    source.failing = True
    polled = Polled(source, monotonic=watch)
    for _ in range(5):
        assert (await polled.get())[0] is None
    assert source.calls == 1
    watch.now_s += 3
    await polled.get()
    assert source.calls == 2


class FakeAuth:
    """What `RemoteKeys` and `ServiceTokens` ask."""

    def __init__(self) -> None:
        self.jwk = {name: value for name, value in make_jwk().items() if name != "d"}
        self.asked_keys = 0
        self.asked_tokens: list[str | None] = []
        self.expires_in = 900
        self.away = False

    async def keys(self) -> JsonWebKeySet:
        self.asked_keys += 1
        if self.away:
            raise UnavailableError("away")
        return JsonWebKeySet.model_validate({"keys": [self.jwk]})

    async def service_token(
        self, client_id: str, client_secret: SecretStr, scopes: Collection[Scope], on_behalf_of: str | None
    ) -> ServiceTokenResponse:
        self.asked_tokens.append(on_behalf_of)
        await asyncio.sleep(0)
        number = len(self.asked_tokens)
        return ServiceTokenResponse(access_token=f"token-{number}", expires_in=self.expires_in, scope="jobs:write")


async def test_unknown_keys_cause_no_request() -> None:
    auth: Any = FakeAuth()
    keys = RemoteKeys(auth)
    assert await keys.key(auth.jwk["kid"]) == auth.jwk
    for number in range(50):
        assert await keys.key(f"unknown-{number}") is None
    assert auth.asked_keys == 1


async def test_without_any_keys_tokens_cannot_be_checked() -> None:
    auth: Any = FakeAuth()
    auth.away = True
    with pytest.raises(KeysUnavailableError):
        await RemoteKeys(auth).key("some-key-1")


def service_tokens(auth: Any) -> ServiceTokens:
    return ServiceTokens(auth, client_id="gateway", client_secret=SecretStr("s"), scopes={Scope.JOBS_WRITE})


async def test_a_service_token_is_fetched_once_for_each_user() -> None:
    auth: Any = FakeAuth()
    tokens = service_tokens(auth)
    await asyncio.gather(*(tokens.token(user) for user in ("a", "b", None) * 5))
    assert sorted(map(str, auth.asked_tokens)) == ["None", "a", "b"]


async def test_a_token_about_to_expire_is_renewed() -> None:
    auth: Any = FakeAuth()
    auth.expires_in = 60
    tokens = service_tokens(auth)
    assert await tokens.token() == "token-1"
    assert await tokens.token() == "token-2"
