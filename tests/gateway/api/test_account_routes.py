"""Which routes of auth the gateway passes on, and with what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from gateway_service.config import GatewaySettings
from gateway_service.factory import GatewayFactory
from gateway_service.main import create_app

PAGE_HEADERS = {
    "content-security-policy": "default-src 'none'",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "content-type": "text/html; charset=utf-8",
}


class Auth:
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.asked.append(request)
        return httpx.Response(200, headers=PAGE_HEADERS, content=b"<p>")


@pytest.fixture
def auth() -> Auth:
    return Auth()


@pytest.fixture
async def client(auth: Auth, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    settings = GatewaySettings.model_validate(
        {
            "environment": "development",
            "client_secret": "secret",
            "database_url": "postgresql://nobody@nowhere/none",
            "auth_url": "http://auth",
            "storage": {"kind": "folder", "folder": str(tmp_path), "url_secret": "x" * 32},
        }
    )
    app = create_app(settings)
    app.state.factory = GatewayFactory(settings, http=httpx.AsyncClient(transport=httpx.MockTransport(auth)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway.test") as made:
        yield made


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/auth/recover"),
        ("POST", "/api/v1/auth/new-password"),
        ("POST", "/api/v1/me/email"),
        ("GET", "/api/v1/admin/mail"),
        ("POST", "/api/v1/admin/mail:test"),
        ("POST", "/api/v1/admin/invitations"),
        ("DELETE", "/api/v1/admin/invitations/a%2Bb/c%40example.test"),
        ("GET", "/account/new-password"),
    ],
)
async def test_routes_about_accounts_reach_auth(client: httpx.AsyncClient, auth: Auth, method: str, path: str) -> None:
    answer = await client.request(method, path, headers={"Authorization": "Bearer t"})
    assert answer.status_code == 200
    (asked,) = auth.asked
    assert (asked.method, asked.url.path) == (method, unquote(path))
    assert asked.headers["authorization"] == "Bearer t"


async def test_auth_never_hears_which_host_a_caller_named(client: httpx.AsyncClient, auth: Auth) -> None:
    hostile = {"Host": "evil.test", "X-Forwarded-Host": "evil.test", "Forwarded": "host=evil.test"}
    await client.post("/api/v1/auth/recover", json={"account": "ada"}, headers=hostile)
    assert "evil.test" not in str(auth.asked[0].headers.raw)
    assert auth.asked[0].url.host == "auth"


async def test_a_page_keeps_what_protects_its_token(client: httpx.AsyncClient) -> None:
    answer = await client.get("/account/new-password")
    assert {name: answer.headers[name] for name in PAGE_HEADERS} == PAGE_HEADERS


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/account/%2e%2e/v1/revocations"),
        ("GET", "/account/a/b"),
        ("POST", "/account/new-password"),
        ("GET", "/v1/revocations"),
        ("POST", "/v1/tokens/service"),
        ("DELETE", "/api/v1/admin/invitations/../../../../v1/users/1/settings"),
    ],
)
async def test_nothing_else_does(client: httpx.AsyncClient, auth: Auth, method: str, path: str) -> None:
    answer: Any = await client.send(client.build_request(method, f"http://gateway.test{path}"))
    assert answer.status_code in (401, 404, 405), answer.text
    assert auth.asked == []
