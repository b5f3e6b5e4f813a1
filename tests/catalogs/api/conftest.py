"""The application of the catalogs service in process, with a mint of tokens."""

import httpx
import pytest

from astro_shared.testing.tokens import TokenMint
from catalogs_service.config import CatalogsSettings
from catalogs_service.main import create_app


@pytest.fixture
def settings(tmp_path):
    return CatalogsSettings(
        environment="development",
        database_url="postgresql://nobody@127.0.0.1:1/none",
        storage={"kind": "folder", "folder": str(tmp_path / "objects"), "url_secret": "x" * 32},
        client_secret="secret",
        data_folder=tmp_path / "data",
        upstream={"mode": "offline"},
    )


@pytest.fixture
def mint():
    return TokenMint()


@pytest.fixture
def app(settings, mint):
    app = create_app(settings)
    app.state.authenticator = mint.authenticator
    return app


@pytest.fixture
async def client(app):
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://catalogs") as client:
        yield client
