"""No text in any path, query or header makes any service answer with an error of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from astro_shared.clients.auth import AuthClient
from astro_shared.contracts.auth import ADMIN_SCOPES, ALL_USER_SCOPES
from astro_shared.database.migrations import upgrade
from astro_shared.testing.hostile_requests import hostile_outcomes
from astro_shared.testing.tokens import TokenMint
from astrometry_service.config import AstrometrySettings
from astrometry_service.main import create_app as create_astrometry
from auth_service.config import AuthSettings
from auth_service.factory import open_services
from auth_service.main import attach, bare_app
from catalogs_service.config import CatalogsSettings
from catalogs_service.main import create_app as create_catalogs
from gateway_service.config import GatewaySettings
from gateway_service.factory import GatewayFactory
from gateway_service.main import create_app as create_gateway
from photometry_service.config import PhotometrySettings
from photometry_service.main import create_app as create_photometry


class Tokens:
    """Service tokens from the mint."""

    def __init__(self, mint: TokenMint) -> None:
        self._mint = mint

    async def token(self, on_behalf_of: str | None = None) -> str:
        return self._mint.service(on_behalf_of=on_behalf_of)["Authorization"].removeprefix("Bearer ")


@pytest.fixture
async def platform(make_database: Any, tmp_path: Path) -> AsyncIterator[tuple[dict[str, Any], TokenMint]]:
    """The applications of all services, joined by calls in process, and a mint that they trust."""
    mint = TokenMint()
    common = {
        "environment": "development",
        "client_secret": "secret",
        "storage": {"kind": "folder", "folder": str(tmp_path / "objects"), "url_secret": "x" * 32},
    }

    def settings(kind: Any, service: str, **more: Any) -> Any:
        address = make_database()
        upgrade(address, f"{service}_service.migrations")
        return kind.model_validate({**common, "database_url": address, **more})

    apps: dict[str, Any] = {
        "photometry": create_photometry(settings(PhotometrySettings, "photometry")),
        "astrometry": create_astrometry(settings(AstrometrySettings, "astrometry")),
        "catalogs": create_catalogs(
            settings(CatalogsSettings, "catalogs", data_folder=tmp_path / "data", upstream={"mode": "offline"})
        ),
    }
    secrets = {"signing_secret": "1:" + "s" * 32, "sealing_secret": "1:" + "k" * 32}
    mail = {"kind": "folder", "folder": tmp_path / "mail"}
    used = settings(AuthSettings, "auth", mail=mail, **secrets)
    apps["auth"] = bare_app()
    urls = {f"{name}_url": f"http://{name}" for name in apps}
    apps["gateway"] = create_gateway(settings(GatewaySettings, "gateway", **urls))
    mounts = {f"all://{name}": httpx.ASGITransport(app) for name, app in apps.items()}
    http = httpx.AsyncClient(mounts=mounts, trust_env=False)
    factory = GatewayFactory(apps["gateway"].state.factory.settings, http=http)
    tokens = Tokens(mint)
    factory.tokens = tokens  # type: ignore[assignment]
    factory.auth = AuthClient("http://auth", http=http)
    for client in (factory.astrometry, factory.catalogs, factory.stages):
        client._tokens = tokens
    apps["gateway"].state.factory = factory
    async with open_services(used) as services:
        await services.signing_keys.ensure()
        attach(apps["auth"], services)
        for app in apps.values():
            app.state.authenticator = mint.authenticator
        yield apps, mint
    for name in ("photometry", "astrometry", "catalogs"):
        await apps[name].state.parts.close()
    await factory.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "service",
    ["auth", "catalogs", "photometry", "astrometry", pytest.param("gateway", marks=pytest.mark.slow)],
)
async def test_no_parameter_of_any_operation_is_answered_with_a_5xx(
    platform: tuple[dict[str, Any], TokenMint], service: str
) -> None:
    apps, mint = platform
    user = mint.user("ann", ALL_USER_SCOPES | ADMIN_SCOPES)["Authorization"]
    by_prefix = {"/": user, "/v1/": mint.service(on_behalf_of="ann")["Authorization"]}
    outcomes = [outcome async for outcome in hostile_outcomes(apps[service], by_prefix)]
    assert [str(outcome) for outcome in outcomes if outcome.status >= 500 or outcome.status == 0] == []
    assert {outcome.status for outcome in outcomes} >= {400, 401}
