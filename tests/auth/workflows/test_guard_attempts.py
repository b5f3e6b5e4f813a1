"""Guessing is slowed down; the owner still gets in."""

from __future__ import annotations

from typing import Any

import pytest

from auth_service.domain.accounts import Origin
from auth_service.errors import BadCredentialsError, TooManyAttemptsError

GOOD = "a wonderful night"


async def outcome(auth: Any, username: str, password: str, address: str) -> str:
    try:
        await auth.services.log_in(username, password, Origin(source=address))
    except BadCredentialsError:
        return "wrong"
    except TooManyAttemptsError as error:
        assert error.retry_after_s > 0
        return "wait"
    return "in"


async def test_one_address_and_one_name_is_delayed_then_stopped(auth: Any) -> None:
    await auth.register()
    seen = [await outcome(auth, "ada", f"guess {i}", "198.51.100.7") for i in range(15)]
    assert seen == ["wrong"] * 10 + ["wait"] * 5
    assert auth.delays == sorted(auth.delays)
    assert auth.delays[0] == 0
    assert auth.delays[-1] == 2.0


async def test_a_stopped_guesser_is_not_let_in_by_the_right_password(auth: Any) -> None:
    await auth.register()
    for i in range(10):
        await outcome(auth, "ada", f"guess {i}", "198.51.100.7")
    assert await outcome(auth, "ada", GOOD, "198.51.100.7") == "wait"


async def test_a_thousand_addresses_cannot_lock_the_owner_out(auth: Any) -> None:
    await auth.register()
    assert await outcome(auth, "ada", GOOD, "203.0.113.5") == "in"
    seen = [await outcome(auth, "ada", f"guess {i}", f"198.51.{i // 250}.{i % 250}") for i in range(1000)]
    assert seen.count("wrong") == 30
    assert seen.count("wait") == 970
    assert await outcome(auth, "ada", GOOD, "203.0.113.5") == "in"


async def test_many_names_from_one_address_are_stopped(auth: Any) -> None:
    seen = [await outcome(auth, f"user{i}", "Spring-2024-x", "198.51.100.7") for i in range(150)]
    assert seen == ["wrong"] * 100 + ["wait"] * 50


async def test_good_logins_never_use_the_limits_up(auth: Any) -> None:
    await auth.register()
    assert {await outcome(auth, "ada", GOOD, "203.0.113.5") for _ in range(150)} == {"in"}


async def test_addresses_of_one_ipv6_network_count_as_one(auth: Any) -> None:
    await auth.register()
    seen = [await outcome(auth, "ada", f"guess {i}", f"2001:db8:1:2::{i:x}") for i in range(12)]
    assert seen[-2:] == ["wait", "wait"]


async def test_a_limit_that_is_used_up_lets_the_owner_in_after_a_pause_not_after_the_window(auth: Any) -> None:
    await auth.register()
    seen = [await outcome(auth, "ada", f"guess {i}", "198.51.100.7") for i in range(100)]
    assert seen.count("wrong") == 10
    with pytest.raises(TooManyAttemptsError) as refused:
        await auth.services.log_in("ada", GOOD, Origin(source="198.51.100.7"))
    assert refused.value.retry_after_s <= 60
    auth.counters.end_pauses()
    assert await outcome(auth, "ada", GOOD, "198.51.100.7") == "in"


async def test_one_guess_a_pause_is_all_that_is_left_beyond_the_limit(auth: Any) -> None:
    await auth.register()
    for i in range(10):
        await outcome(auth, "ada", f"guess {i}", "198.51.100.7")
    for _ in range(5):
        auth.counters.end_pauses()
        seen = [await outcome(auth, "ada", "another guess", "198.51.100.7") for _ in range(4)]
        assert seen == ["wrong", "wait", "wait", "wait"]


async def test_a_volley_of_names_from_the_owners_address_does_not_hold_the_owner_up(auth: Any) -> None:
    await auth.register()
    assert await outcome(auth, "ada", GOOD, "198.51.100.7") == "in"
    seen = [await outcome(auth, f"user{i}", "Spring-2024-x", "198.51.100.7") for i in range(150)]
    assert seen[-1] == "wait"
    assert await outcome(auth, "ada", GOOD, "198.51.100.7") == "in"


async def test_a_stranger_to_an_address_under_a_volley_waits_for_a_pause(auth: Any) -> None:
    await auth.register()
    for i in range(100):
        await outcome(auth, f"user{i}", "Spring-2024-x", "198.51.100.7")
    assert await outcome(auth, "ada", GOOD, "198.51.100.7") == "wait"
    auth.counters.end_pauses()
    assert await outcome(auth, "ada", GOOD, "198.51.100.7") == "in"


async def test_wrong_tokens_never_hold_up_a_right_one(auth: Any) -> None:
    headers = await auth.signed_in()
    made = (await auth.client.post("/api/v1/me/tokens", json={"name": "script"}, headers=headers)).json()["token"]
    wrong = made[:-4] + ("AAAA" if not made.endswith("AAAA") else "BBBB")
    path = "/api/v1/auth/personal-token"
    seen = [(await auth.client.post(path, json={"personal_token": wrong})).status_code for _ in range(102)]
    assert seen == [401] * 100 + [429] * 2
    assert (await auth.client.post(path, json={"personal_token": made})).status_code == 200


async def test_clients_of_the_pods_own_network_are_told_apart(auth: Any) -> None:
    await auth.register()
    body = {"username": "ada", "password": "guess"}
    for i in range(12):
        headers = {"X-Forwarded-For": f"127.0.0.{i + 2}"}
        assert (await auth.client.post("/api/v1/auth/login", json=body, headers=headers)).status_code == 401


async def test_no_names_or_addresses_are_kept_in_clear(auth: Any) -> None:
    await outcome(auth, "ada", "guess", "198.51.100.7")
    assert auth.counters.counts
    assert not any("ada" in bucket.split(":")[1] or "198.51" in bucket for bucket in auth.counters.counts)


async def test_forwarded_addresses_are_believed_from_the_proxy_alone(auth: Any) -> None:
    await auth.register()
    body = {"username": "ada", "password": "guess"}
    async with auth.from_address("198.51.100.7") as stranger:
        answers = [
            await stranger.post("/api/v1/auth/login", json=body, headers={"X-Forwarded-For": f"10.0.0.{i}"})
            for i in range(12)
        ]
    assert [answer.status_code for answer in answers[-2:]] == [429, 429]
    assert int(answers[-1].headers["retry-after"]) > 0


async def test_what_a_client_writes_left_of_its_address_is_ignored(auth: Any) -> None:
    await auth.register()
    body = {"username": "ada", "password": "guess"}
    for i in range(12):
        headers = {"X-Forwarded-For": f"10.0.0.{i}, 198.51.100.9"}
        answer = await auth.client.post("/api/v1/auth/login", json=body, headers=headers)
    assert answer.status_code == 429
    assert {record.source for record in auth.memory.events("login")} == {"198.51.100.9"}


@pytest.mark.parametrize("limit", [1, 3])
async def test_registrations_are_limited_by_address(make_auth: Any, limit: int) -> None:
    auth = await make_auth(attempts={"registrations_per_source": limit})
    for i in range(limit):
        await auth.register(f"user{i}")
    body = {"username": "another", "password": GOOD}
    assert (await auth.client.post("/api/v1/auth/register", json=body)).status_code == 429
