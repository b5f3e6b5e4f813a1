"""Accounts and sessions over HTTP."""

from __future__ import annotations

import re
import statistics
import time
from typing import Any

import pytest

from auth_service.adapters.passwords import Argon2Hasher, HashCost

GOOD = "a wonderful night"
LOGIN = "/api/v1/auth/login"
REFRESH = "/api/v1/auth/refresh"
ORIGIN = {"Origin": "https://alidade.test"}


async def test_register_login_and_ask_who_one_is(auth: Any) -> None:
    user_id = await auth.register()
    tokens = await auth.login()
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 900)
    me = await auth.client.get("/api/v1/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert {name: me.json()[name] for name in ("id", "username", "role")} == {
        "id": user_id,
        "username": "ada",
        "role": "user",
    }


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"username": "ada", "password": "short"}, "weak_password"),
        ({"username": "ada", "password": "password123"}, "weak_password"),
        ({"username": "Ada Lovelace", "password": GOOD}, "invalid_request"),
        ({"username": "аda", "password": GOOD}, "invalid_request"),
        ({"username": "a\r\nb", "password": GOOD}, "invalid_request"),
        ({"username": "local", "password": GOOD}, "bad_username"),
        ({"username": "ada", "password": GOOD, "email": "a@b.test\nBcc: c@d.test"}, "invalid_request"),
        ({"username": "ada", "password": GOOD, "email": "a@b.test, c@d.test"}, "invalid_request"),
        ({"username": "ada", "password": GOOD, "role": "admin"}, "invalid_request"),
        ({"username": "ada", "password": GOOD, "is_admin": True}, "invalid_request"),
    ],
)
async def test_bad_registrations_are_refused(auth: Any, body: dict[str, Any], code: str) -> None:
    answer = await auth.client.post("/api/v1/auth/register", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert auth.memory.state.accounts == {}


async def test_a_name_is_given_once(auth: Any) -> None:
    await auth.register()
    answer = await auth.client.post("/api/v1/auth/register", json={"username": "ada", "password": GOOD})
    assert (answer.status_code, answer.json()["code"]) == (409, "username_taken")


async def test_registration_can_be_closed(make_auth: Any) -> None:
    auth = await make_auth(registration="closed")
    answer = await auth.client.post("/api/v1/auth/register", json={"username": "ada", "password": GOOD})
    assert (answer.status_code, answer.json()["code"]) == (403, "registration_closed")


async def test_a_wrong_password_and_an_unknown_name_answer_alike(auth: Any) -> None:
    await auth.register()
    answers = [
        (await auth.client.post(LOGIN, json={"username": name, "password": "guess"})) for name in ("ada", "nobody")
    ]
    bodies = [{name: value for name, value in answer.json().items() if name != "trace_id"} for answer in answers]
    assert answers[0].status_code == 401
    assert bodies[0] == bodies[1]


async def test_passwords_and_tokens_are_nowhere_in_answers_logs_and_audit(
    auth: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = "correct-Horse-77-staple"
    await auth.register("ada", secret)
    tokens = await auth.login("ada", secret)
    await auth.client.post(LOGIN, json={"username": "ada", "password": secret + "x"})
    await auth.client.post(LOGIN, json={"username": ["ada"], "password": {"value": secret}})
    await auth.client.post(REFRESH, json={"refresh_token": tokens["refresh_token"]})
    replayed = await auth.client.post(REFRESH, json={"refresh_token": tokens["refresh_token"]})
    seen = "".join(capsys.readouterr()) + replayed.text + repr(auth.memory.state.audit)
    for text in (secret, tokens["access_token"], tokens["refresh_token"]):
        assert text not in seen


async def test_answers_with_tokens_are_not_cached(auth: Any) -> None:
    await auth.register()
    answer = await auth.client.post(LOGIN, json={"username": "ada", "password": GOOD})
    assert answer.headers["cache-control"] == "no-store"


async def test_a_refresh_token_is_no_access_token(auth: Any) -> None:
    await auth.register()
    tokens = await auth.login()
    answer = await auth.client.get("/api/v1/me", headers={"Authorization": f"Bearer {tokens['refresh_token']}"})
    assert answer.status_code == 401


async def test_an_access_token_is_no_refresh_token(auth: Any) -> None:
    await auth.register()
    tokens = await auth.login()
    answer = await auth.client.post(REFRESH, json={"refresh_token": tokens["access_token"][:256]})
    assert answer.json()["code"] == "session_ended"


async def test_after_logout_the_access_token_is_refused_too(auth: Any) -> None:
    await auth.register()
    tokens = await auth.login()
    header = {"Authorization": f"Bearer {tokens['access_token']}"}
    answer = await auth.client.post("/api/v1/auth/logout", json={"refresh_token": tokens["refresh_token"]})
    assert answer.status_code == 204
    assert (await auth.client.get("/api/v1/me", headers=header)).json()["code"] == "invalid_token"


async def test_a_browser_keeps_the_refresh_token_in_a_cookie(auth: Any) -> None:
    await auth.register()
    answer = await auth.client.post(LOGIN, json={"username": "ada", "password": GOOD, "cookie": True})
    cookie = answer.headers["set-cookie"]
    assert answer.json()["refresh_token"] is None
    assert cookie.startswith("__Host-alidade_refresh=ald_rt_")
    for part in ("HttpOnly", "Secure", "SameSite=strict", "Path=/"):
        assert part in cookie
    assert "Domain" not in cookie


def cookie_of(answer: Any) -> dict[str, str]:
    value = re.search(r"__Host-alidade_refresh=([^;]+)", answer.headers["set-cookie"])
    assert value is not None
    return {"Cookie": f"__Host-alidade_refresh={value[1]}"}


async def test_the_cookie_is_taken_from_our_own_pages_alone(auth: Any) -> None:
    await auth.register()
    begun = await auth.client.post(LOGIN, json={"username": "ada", "password": GOOD, "cookie": True})
    for foreign in (
        {},
        {"Origin": "null"},
        {"Origin": "https://alidade.test.evil.test"},
        {"Origin": "http://alidade.test"},
    ):
        answer = await auth.client.post(REFRESH, json={}, headers={**cookie_of(begun), **foreign})
        assert (answer.status_code, answer.json()["code"]) == (403, "foreign_origin")
    good = await auth.client.post(REFRESH, json={}, headers={**cookie_of(begun), **ORIGIN})
    assert good.status_code == 200
    assert cookie_of(good) != cookie_of(begun)


async def test_logout_removes_the_cookie(auth: Any) -> None:
    await auth.register()
    begun = await auth.client.post(LOGIN, json={"username": "ada", "password": GOOD, "cookie": True})
    answer = await auth.client.post("/api/v1/auth/logout", json={}, headers={**cookie_of(begun), **ORIGIN})
    assert answer.status_code == 204
    assert 'alidade_refresh="";' in answer.headers["set-cookie"]


async def test_a_refresh_without_any_token_is_401(auth: Any) -> None:
    answer = await auth.client.post(REFRESH, json={})
    assert (answer.status_code, answer.json()["code"]) == (401, "session_ended")


async def test_a_new_password_ends_the_present_session_too(auth: Any) -> None:
    header = await auth.signed_in()
    body = {"current_password": GOOD, "new_password": "another good night"}
    assert (await auth.client.post("/api/v1/me/password", json=body, headers=header)).status_code == 204
    assert (await auth.client.get("/api/v1/me", headers=header)).status_code == 401
    assert (await auth.login("ada", "another good night"))["access_token"]


async def test_a_new_password_needs_the_old_one_and_is_limited(auth: Any) -> None:
    header = await auth.signed_in()
    body = {"current_password": "guess", "new_password": "another good night"}
    answers = [
        (await auth.client.post("/api/v1/me/password", json=body, headers=header)).status_code for _ in range(12)
    ]
    assert answers == [401] * 10 + [429] * 2


async def test_real_argon2_takes_as_long_for_nobody() -> None:
    hasher = Argon2Hasher(HashCost(19456, 2))
    known = await hasher.hash(GOOD)
    assert known.startswith("$argon2id$v=19$m=19456,t=2,p=1$")

    async def median_s(password_hash: str | None) -> float:
        times = []
        for _ in range(9):
            begun = time.perf_counter()
            assert (await hasher.verify("guess", password_hash))[0] is False
            times.append(time.perf_counter() - begun)
        return statistics.median(times)

    # A missing hash that was skipped would be a thousand times faster; busy machines differ by tens of percent.
    assert await median_s(None) > 0.5 * await median_s(known)
    hasher.close()


async def test_old_hashes_are_renewed_at_login(make_auth: Any) -> None:
    old = Argon2Hasher(HashCost(19456, 2))
    new = Argon2Hasher(HashCost(24576, 2))
    stored = await old.hash(GOOD)
    good, renewed = await new.verify(GOOD, stored)
    assert good
    assert renewed is not None
    assert "m=24576" in renewed
    assert (await new.verify(GOOD, renewed)) == (True, None)
    old.close()
    new.close()


async def test_a_long_password_counts_to_its_last_character() -> None:
    hasher = Argon2Hasher(HashCost(19456, 2))
    long = "x" * 127
    stored = await hasher.hash(long + "a")
    assert (await hasher.verify(long + "b", stored))[0] is False
    hasher.close()
