"""Where a request came from, as far as proxies of ours say so."""

from __future__ import annotations

from ipaddress import ip_network

import httpx
import pytest
from fastapi import FastAPI, Request

from astro_shared.web.forwarded import ForwardedAddressMiddleware, client_address

PODS = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("198.51.100.7", ["203.0.113.5"], "198.51.100.7"),
        ("10.1.1.1", [], "10.1.1.1"),
        ("10.1.1.1", ["203.0.113.5"], "203.0.113.5"),
        ("10.1.1.1", ["192.0.2.1, 203.0.113.5"], "203.0.113.5"),
        ("10.1.1.1", ["192.0.2.1", "203.0.113.5, 10.2.2.2"], "203.0.113.5"),
        ("10.1.1.1", ["10.9.9.9, 10.2.2.2"], "10.2.2.2"),
        ("::ffff:10.1.1.1", ["203.0.113.5"], "203.0.113.5"),
        ("fd00::1", ["2001:db8::5"], "2001:db8::5"),
        ("10.1.1.1", ["203.0.113.5, unknown"], "unknown"),
        ("testclient", ["203.0.113.5"], "testclient"),
        (None, ["203.0.113.5"], None),
    ],
)
def test_the_rightmost_address_that_is_no_proxy_of_ours_counts(
    peer: str | None, forwarded: list[str], address: str | None
) -> None:
    assert client_address(peer, forwarded, PODS) == address


@pytest.mark.parametrize(("trusted", "seen"), [(PODS, "203.0.113.5"), ((), "10.1.1.1")])
async def test_an_application_sees_the_client_of_a_trusted_proxy(trusted: tuple[object, ...], seen: str) -> None:
    app = FastAPI()
    app.add_middleware(ForwardedAddressMiddleware, trusted=trusted)

    @app.get("/")
    async def who(request: Request) -> str:
        assert request.client is not None
        return request.client.host

    transport = httpx.ASGITransport(app, client=("10.1.1.1", 5))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get("/", headers={"X-Forwarded-For": "192.0.2.1, 203.0.113.5"})).json() == seen
