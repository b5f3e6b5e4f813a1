"""Auth is told the client's address, behind an ingress the one that the ingress saw, never one that a client wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway_service.config import GatewaySettings
from gateway_service.factory import GatewayFactory
from gateway_service.main import create_app


@pytest.mark.parametrize(
    ("networks", "peer", "told"),
    [
        (["10.1.0.0/16"], "10.1.2.3", "203.0.113.5"),
        (["10.1.0.0/16"], "10.2.2.3", "10.2.2.3"),
        ([], "10.1.2.3", "10.1.2.3"),
        ([], "127.0.0.1", "127.0.0.1"),
    ],
)
async def test_the_address_that_auth_is_told(tmp_path: Path, networks: list[str], peer: str, told: str) -> None:
    seen: list[httpx.Request] = []

    def auth(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(401, json={})

    settings = GatewaySettings.model_validate(
        {
            "environment": "development", "client_secret": "secret", "forwarded_allow_ips": networks,
            "database_url": "postgresql://nobody@127.0.0.1:1/none",
            "storage": {"kind": "folder", "folder": str(tmp_path), "url_secret": "x" * 32},
        }
    )  # fmt: skip
    app: Any = create_app(settings)
    app.state.factory = GatewayFactory(settings, http=httpx.AsyncClient(transport=httpx.MockTransport(auth)))
    transport = httpx.ASGITransport(app=app, client=(peer, 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        headers = [(b"x-forwarded-for", b"192.0.2.1, 203.0.113.5"), (b"authorization", b"Bearer na\xefve")]
        answer = await client.post("/api/v1/auth/login", json={}, headers=headers)
    assert answer.status_code == 401
    assert seen[0].headers.get_list("x-forwarded-for") == [told]
    assert (b"authorization", b"Bearer na\xefve") in [(name.lower(), value) for name, value in seen[0].headers.raw]
    await app.state.factory.close()
