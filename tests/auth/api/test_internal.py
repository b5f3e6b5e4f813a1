"""Service tokens, public keys, revocations, and other services as their clients see them."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from astro_shared.clients.auth import AuthClient, RemoteKeys, RemoteRevocations, ServiceTokens, remote_authenticator
from astro_shared.contracts.auth import Scope
from astro_shared.errors import AlidadeError
from astro_shared.web.errors import InvalidTokenError
from auth_service.domain.accounts import Origin
from auth_service.main import bare_app

SECRET = "gateway" * 8
TOKEN = "/v1/tokens/service"


def remote(auth: Any) -> AuthClient:
    http = httpx.AsyncClient(transport=httpx.ASGITransport(auth.app, client=("10.0.0.3", 1)))
    return AuthClient("http://auth.test", http=http)


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"client_secret": "wrong"}, 401, "bad_client"),
        ({"client_id": "nobody"}, 401, "bad_client"),
        ({"client_id": "nobody", "client_secret": ""}, 422, "invalid_request"),
        ({"scope": ["keys:unseal"]}, 403, "scope_not_allowed"),
        ({"scope": ["frames:write"]}, 403, "scope_not_allowed"),
        ({"scope": []}, 422, "invalid_request"),
        ({"scope": ["everything"]}, 422, "invalid_request"),
        ({"on_behalf_of": "no-such-user"}, 404, "unknown_account"),
    ],
)
async def test_bad_client_credentials(auth: Any, changes: dict[str, Any], status: int, code: str) -> None:
    body = {"client_id": "gateway", "client_secret": SECRET, "scope": ["jobs:write"], **changes}
    answer = await auth.client.post(TOKEN, json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert SECRET not in answer.text


async def test_a_service_token_speaks_for_one_user_alone(auth: Any) -> None:
    ada, bob = await auth.register("ada"), await auth.register("bob")
    service = await auth.service("gateway", ["user-settings:read"], ada)
    assert (await auth.client.get(f"/v1/users/{ada}/settings", headers=service)).status_code == 200
    assert (await auth.client.get(f"/v1/users/{bob}/settings", headers=service)).status_code == 403
    nobodys = await auth.service("gateway", ["user-settings:read"])
    assert (await auth.client.get(f"/v1/users/{ada}/settings", headers=nobodys)).status_code == 403


async def test_there_is_no_token_for_a_disabled_user(auth: Any) -> None:
    user = await auth.register("ada")
    account = await auth.services.read_account.named("ada")
    await auth.services.change_status.disable(account, Origin(), actor="operator")
    body = {"client_id": "gateway", "client_secret": SECRET, "scope": ["jobs:write"], "on_behalf_of": user}
    assert (await auth.client.post(TOKEN, json=body)).status_code == 404


async def test_published_keys_are_public(auth: Any) -> None:
    keys = (await auth.client.get("/.well-known/jwks.json")).json()["keys"]
    assert [sorted(key) for key in keys] == [["alg", "crv", "kid", "kty", "use", "x", "y"]]


async def test_private_keys_are_sealed_at_rest(auth: Any) -> None:
    stored = next(iter(auth.memory.state.signing.values()))
    assert b'"d"' not in stored.sealed_private
    assert "d" not in stored.public_jwk


async def test_a_new_key_is_published_before_it_signs_and_the_old_one_stays(auth: Any) -> None:
    old = (await auth.services.signing_keys.published())[0]["kid"]
    header = await auth.signed_in()
    new = await auth.services.signing_keys.rotate()
    assert {key["kid"] for key in await auth.services.signing_keys.published()} == {old, new}
    assert kid_of(await auth.login()) == old
    auth.clock.pass_time(seconds=121)
    assert kid_of(await auth.login()) == new
    assert (await auth.client.get("/api/v1/me", headers=header)).status_code == 200
    auth.clock.pass_time(hours=1)
    auth.services.signing_keys._read_at_s = float("-inf")
    assert [key["kid"] for key in await auth.services.signing_keys.published()] == [new]


def kid_of(tokens: dict[str, Any]) -> str:
    header = tokens["access_token"].split(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(header + "=="))["kid"])


async def test_another_service_accepts_and_later_refuses_a_session(auth: Any) -> None:
    http = httpx.AsyncClient(transport=httpx.ASGITransport(auth.app))
    there = remote_authenticator("http://auth.test", issuer="https://alidade.test", poll_s=0.0, http=http)
    user = await auth.register()
    tokens = await auth.login()
    principal = await there.authenticate(tokens["access_token"], write=True)
    assert (principal.user, principal.is_service) == (user, False)
    await auth.client.post("/api/v1/auth/logout", json={"refresh_token": tokens["refresh_token"]})
    fresh = remote_authenticator("http://auth.test", issuer="https://alidade.test", http=http)
    with pytest.raises(InvalidTokenError, match="revoked"):
        await fresh.authenticate(tokens["access_token"], write=False)


async def test_tokens_of_another_platform_are_refused(auth: Any, make_auth: Any) -> None:
    other = await make_auth()
    await other.register()
    tokens = await other.login()
    client = remote(auth)
    there = remote_authenticator("http://auth.test", issuer="https://alidade.test", http=client._http)
    with pytest.raises(InvalidTokenError, match="unknown key"):
        await there.authenticate(tokens["access_token"], write=False)


async def test_the_clients_of_other_services_fit(auth: Any) -> None:
    client = remote(auth)
    user = await auth.register()
    tokens = ServiceTokens(
        client, client_id="gateway", client_secret=SecretStr(SECRET), scopes={Scope.USER_SETTINGS_READ}
    )
    assert await tokens.token(user) == await tokens.token(user)
    assert await tokens.token(user) != await tokens.token(None)
    speaking = AuthClient("http://auth.test", http=client._http, tokens=tokens)
    assert (await speaking.user_settings(user)).sections == {}
    jwk = (await auth.services.signing_keys.published())[0]
    assert await RemoteKeys(client).key(jwk["kid"]) == jwk
    snapshot = await RemoteRevocations(client).snapshot()
    assert snapshot is not None
    assert snapshot.sessions == frozenset()


async def test_a_wrong_secret_is_not_tried_again(auth: Any) -> None:
    tokens = ServiceTokens(
        remote(auth), client_id="gateway", client_secret=SecretStr("wrong"), scopes={Scope.JOBS_WRITE}
    )
    with pytest.raises(AlidadeError) as caught:
        await tokens.token()
    assert caught.value.code == "bad_client"
    assert len(auth.memory.events("service_token")) == 1


def test_every_operation_is_described() -> None:
    document = bare_app().openapi()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert all(operation.get("summary") and operation.get("tags") for operation in operations)
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    assert {"auth_login", "me_save_settings"} <= set(names)
