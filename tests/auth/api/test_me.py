"""Settings, keys and personal tokens over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from astro_shared.clients.sealed_keys import open_sealed_key
from astro_shared.contracts.auth import SealedKey

SETTINGS = "/api/v1/me/settings"


async def etag(auth: Any, header: dict[str, str]) -> str:
    return str((await auth.client.get(SETTINGS, headers=header)).headers["etag"])


async def test_settings_are_saved_and_read_back(auth: Any) -> None:
    header = await auth.signed_in()
    body = {"sections": {"cosmic_rays": {"niter": 3}, "background": {}}}
    saved = await auth.client.put(SETTINGS, json=body, headers={**header, "If-Match": await etag(auth, header)})
    assert saved.status_code == 200, saved.text
    read = await auth.client.get(SETTINGS, headers=header)
    assert read.json() == {"sections": {"cosmic_rays": {"niter": 3}}}
    assert read.headers["etag"] == saved.headers["etag"]


async def test_an_unchanged_document_is_304(auth: Any) -> None:
    header = await auth.signed_in()
    again = await auth.client.get(SETTINGS, headers={**header, "If-None-Match": await etag(auth, header)})
    assert (again.status_code, again.content) == (304, b"")


async def test_two_tabs_never_overwrite_each_other(auth: Any) -> None:
    header = await auth.signed_in()
    both = {**header, "If-Match": await etag(auth, header)}
    first = await auth.client.put(SETTINGS, json={"sections": {"cosmic_rays": {"niter": 3}}}, headers=both)
    second = await auth.client.put(SETTINGS, json={"sections": {"cosmic_rays": {"niter": 5}}}, headers=both)
    assert (first.status_code, second.status_code) == (200, 412)
    without = await auth.client.put(SETTINGS, json={"sections": {}}, headers=header)
    assert (without.status_code, without.json()["code"]) == (428, "precondition_required")


@pytest.mark.parametrize(
    ("sections", "pointer"),
    [
        ({"nonsense": {"a": 1}}, "/body/sections/nonsense"),
        ({"cosmic_rays": {"nitre": 3}}, "/body/sections/cosmic_rays/nitre"),
        ({"cosmic_rays": {"niter": 0}}, "/body/sections/cosmic_rays/niter"),
        ({"cosmic_rays": {"niter": "many"}}, "/body/sections/cosmic_rays/niter"),
    ],
)
async def test_settings_that_do_not_fit_say_where(auth: Any, sections: dict[str, Any], pointer: str) -> None:
    header = await auth.signed_in()
    headers = {**header, "If-Match": await etag(auth, header)}
    answer = await auth.client.put(SETTINGS, json={"sections": sections}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_settings")
    assert answer.json()["errors"][0]["pointer"] == pointer


async def test_users_have_settings_of_their_own(auth: Any) -> None:
    ada, bob = await auth.signed_in("ada"), await auth.signed_in("bob")
    body = {"sections": {"cosmic_rays": {"niter": 3}}}
    await auth.client.put(SETTINGS, json=body, headers={**ada, "If-Match": await etag(auth, ada)})
    assert (await auth.client.get(SETTINGS, headers=bob)).json() == {"sections": {}}


async def test_a_key_is_stored_sealed_and_never_shown(auth: Any) -> None:
    header = await auth.signed_in()
    secret = "nova-key-abcdefghij1234"
    answers = [
        await auth.client.put("/api/v1/me/keys/astrometry_net", json={"value": secret}, headers=header),
        await auth.client.get("/api/v1/me/keys", headers=header),
    ]
    assert answers[1].json()["items"][0] | {"updated_at": None} == {
        "name": "astrometry_net",
        "set": True,
        "last4": "1234",
        "updated_at": None,
    }
    seen = "".join(answer.text for answer in answers) + repr(auth.memory.state)
    assert secret not in seen


async def test_a_short_key_does_not_show_its_end(auth: Any) -> None:
    header = await auth.signed_in()
    answer = await auth.client.put("/api/v1/me/keys/colibri", json={"value": "abc123"}, headers=header)
    assert answer.json()["last4"] is None


async def test_a_key_can_be_deleted_once(auth: Any) -> None:
    header = await auth.signed_in()
    await auth.client.put("/api/v1/me/keys/colibri", json={"value": "abc123"}, headers=header)
    statuses = [(await auth.client.delete("/api/v1/me/keys/colibri", headers=header)).status_code for _ in range(2)]
    assert statuses == [204, 404]


@pytest.mark.parametrize("name", ["Astrometry", "a", "../x", "a b", "a" * 41])
async def test_key_names_are_plain(auth: Any, name: str) -> None:
    header = await auth.signed_in()
    answer = await auth.client.put(f"/api/v1/me/keys/{name}", json={"value": "abc123"}, headers=header)
    assert answer.status_code in (404, 422)
    assert auth.memory.state.keys == {}


async def test_the_worker_that_calls_out_opens_the_key(auth: Any) -> None:
    header = await auth.signed_in()
    await auth.client.put("/api/v1/me/keys/astrometry_net", json={"value": "nova-key-1234"}, headers=header)
    user = (await auth.client.get("/api/v1/me", headers=header)).json()["id"]
    service = await auth.service("astrometry", ["keys:unseal"], user)
    answer = await auth.client.get(f"/v1/users/{user}/keys/astrometry_net", headers=service)
    ring = auth.services.settings.sealing_ring()
    assert open_sealed_key(ring, SealedKey.model_validate(answer.json())).get_secret_value() == "nova-key-1234"
    used = auth.memory.events("key_used")[0]
    assert (used.actor, used.subject, used.facts) == ("svc:astrometry", user, {"name": "astrometry_net"})


async def test_a_personal_token_works_and_is_listed_with_its_use(auth: Any) -> None:
    header = await auth.signed_in()
    made = (await auth.client.post("/api/v1/me/tokens", json={"name": "script"}, headers=header)).json()
    body = {"personal_token": made["token"]}
    access = (await auth.client.post("/api/v1/auth/personal-token", json=body)).json()
    scripted = {"Authorization": f"Bearer {access['access_token']}"}
    assert (await auth.client.get("/api/v1/me", headers=scripted)).json()["username"] == "ada"
    item = (await auth.client.get("/api/v1/me/tokens", headers=scripted)).json()["items"][0]
    assert item["last_used_at"] is not None
    assert "token" not in item
    assert made["token"] not in repr(auth.memory.state)


async def test_a_personal_token_can_neither_change_the_password_nor_make_tokens(auth: Any) -> None:
    header = await auth.signed_in()
    made = (await auth.client.post("/api/v1/me/tokens", json={"name": "script"}, headers=header)).json()
    access = (await auth.client.post("/api/v1/auth/personal-token", json={"personal_token": made["token"]})).json()
    scripted = {"Authorization": f"Bearer {access['access_token']}"}
    password = {"current_password": "a wonderful night", "new_password": "another good night"}
    assert (await auth.client.post("/api/v1/me/password", json=password, headers=scripted)).status_code == 403
    assert (await auth.client.post("/api/v1/me/tokens", json={"name": "two"}, headers=scripted)).status_code == 403


@pytest.mark.parametrize("scope", ["tokens:write", "account:write", "jobs:write", "keys:unseal"])
async def test_a_personal_token_cannot_have_more_than_its_maker_may_give(auth: Any, scope: str) -> None:
    header = await auth.signed_in()
    answer = await auth.client.post("/api/v1/me/tokens", json={"name": "x", "scope": [scope]}, headers=header)
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_not_allowed")


async def test_a_revoked_personal_token_and_what_came_of_it_are_refused(auth: Any) -> None:
    header = await auth.signed_in()
    made = (await auth.client.post("/api/v1/me/tokens", json={"name": "script"}, headers=header)).json()
    body = {"personal_token": made["token"]}
    access = (await auth.client.post("/api/v1/auth/personal-token", json=body)).json()
    assert (await auth.client.delete(f"/api/v1/me/tokens/{made['id']}", headers=header)).status_code == 204
    assert (await auth.client.post("/api/v1/auth/personal-token", json=body)).status_code == 401
    scripted = {"Authorization": f"Bearer {access['access_token']}"}
    assert (await auth.client.get("/api/v1/me", headers=scripted)).status_code == 401


async def test_an_expired_personal_token_is_refused(auth: Any) -> None:
    header = await auth.signed_in()
    body = {"name": "script", "expires_in_days": 1}
    made = (await auth.client.post("/api/v1/me/tokens", json=body, headers=header)).json()
    auth.clock.pass_time(days=1, seconds=1)
    answer = await auth.client.post("/api/v1/auth/personal-token", json={"personal_token": made["token"]})
    assert (answer.status_code, answer.json()["code"]) == (401, "bad_personal_token")


async def test_anothers_personal_token_reads_as_absent(auth: Any) -> None:
    ada, bob = await auth.signed_in("ada"), await auth.signed_in("bob")
    made = (await auth.client.post("/api/v1/me/tokens", json={"name": "script"}, headers=ada)).json()
    others = await auth.client.delete(f"/api/v1/me/tokens/{made['id']}", headers=bob)
    absent = await auth.client.delete("/api/v1/me/tokens/0123456789abcdef", headers=bob)
    assert others.status_code == absent.status_code == 404
    assert others.json()["detail"] == absent.json()["detail"]


@pytest.mark.parametrize("text", ["nonsense", "ald_pat_0123456789abcdef_" + "A" * 43])
async def test_guessed_personal_tokens_are_refused_and_limited(auth: Any, text: str) -> None:
    body = {"personal_token": text}
    statuses = {(await auth.client.post("/api/v1/auth/personal-token", json=body)).status_code for _ in range(100)}
    assert statuses == {401}
    assert (await auth.client.post("/api/v1/auth/personal-token", json=body)).status_code == 429


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/me"),
        ("POST", "/api/v1/me/password"),
        ("GET", "/api/v1/me/settings"),
        ("PUT", "/api/v1/me/settings"),
        ("GET", "/api/v1/me/keys"),
        ("PUT", "/api/v1/me/keys/colibri"),
        ("DELETE", "/api/v1/me/keys/colibri"),
        ("GET", "/api/v1/me/tokens"),
        ("POST", "/api/v1/me/tokens"),
        ("DELETE", "/api/v1/me/tokens/0123456789abcdef"),
        ("GET", "/v1/users/someone/settings"),
        ("GET", "/v1/users/someone/keys/colibri"),
    ],
)
async def test_every_route_needs_a_token_and_its_scope(auth: Any, method: str, path: str) -> None:
    assert (await auth.client.request(method, path, json={})).status_code in (401, 422)
    service = await auth.service("gateway", ["jobs:write"])
    answer = await auth.client.request(method, path, json=GOOD_BODIES.get((method, path), {}), headers=service)
    assert answer.status_code == 403
    nobody = await auth.client.request(method, path, json=GOOD_BODIES.get((method, path), {}))
    assert nobody.status_code == 401


GOOD_BODIES = {
    ("POST", "/api/v1/me/password"): {"current_password": "x", "new_password": "y"},
    ("PUT", "/api/v1/me/settings"): {"sections": {}},
    ("PUT", "/api/v1/me/keys/colibri"): {"value": "abc"},
    ("POST", "/api/v1/me/tokens"): {"name": "x"},
}
