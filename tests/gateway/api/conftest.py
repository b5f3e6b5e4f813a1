"""The gateway in process, and the catalogs that it asks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from astro_shared.database.migrations import upgrade
from astro_shared.testing.tokens import TokenMint
from catalogs_service.config import CatalogsSettings
from catalogs_service.domain.stars import Stars
from catalogs_service.main import create_app as create_catalogs
from gateway_service.adapters.catalogs import CatalogsClient
from gateway_service.adapters.stage_runner import HttpStageRunner
from gateway_service.config import GatewaySettings
from gateway_service.main import create_app


class Tokens:
    """Service tokens of the gateway, from the mint."""

    def __init__(self, mint: TokenMint) -> None:
        self._mint = mint

    async def token(self, on_behalf_of: str | None = None) -> str:
        header = self._mint.service(on_behalf_of=on_behalf_of)
        return header["Authorization"].removeprefix("Bearer ")


@pytest.fixture
def mint() -> TokenMint:
    return TokenMint()


@pytest.fixture
async def apps(make_database: Any, tmp_path: Path, mint: TokenMint) -> AsyncIterator[tuple[Any, Any]]:
    """The gateway, and the catalogs that it asks."""
    databases = make_database(), make_database()
    storage = {"kind": "folder", "folder": str(tmp_path / "objects"), "url_secret": "x" * 32}
    common = {"environment": "development", "client_secret": "secret", "storage": storage}
    upgrade(databases[0], "gateway_service.migrations")
    upgrade(databases[1], "catalogs_service.migrations")
    gateway = create_app(GatewaySettings.model_validate({**common, "database_url": databases[0]}))
    catalogs = create_catalogs(
        CatalogsSettings.model_validate(
            {**common, "database_url": databases[1], "data_folder": tmp_path / "data", "upstream": {"mode": "offline"}}
        )
    )
    gateway.state.authenticator = catalogs.state.authenticator = mint.authenticator
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app=catalogs))
    factory = gateway.state.factory
    factory.catalogs = CatalogsClient("http://catalogs", tokens=Tokens(mint), http=http)
    factory.stages = HttpStageRunner(
        {"catalogs": "http://catalogs"}, Tokens(mint), http, callback_url="http://gateway/x"
    )
    yield gateway, catalogs
    await catalogs.state.parts.close()
    await factory.close()
    await http.aclose()


@pytest.fixture
def lists(apps: tuple[Any, Any]) -> Any:
    stars = Stars({"source_id": np.array([7, 8]), "ra": np.array([10.0, 10.2]), "dec": np.array([20.0, 20.1]),
                   "ruwe": np.array([1.0, 2.0], np.float32)})  # fmt: skip
    lists = apps[1].state.parts.lists
    lists.save(stars, name="everyones", scope="global", owner=None, facts={})
    lists.save(stars, name="anns", scope="user", owner="ann", facts={})
    return lists
