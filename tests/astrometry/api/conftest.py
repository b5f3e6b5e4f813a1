"""The application of the astrometry service in process, with a mint of tokens."""

import httpx
import pytest

from astro_shared.testing.tokens import TokenMint
from astrometry_service.config import AstrometrySettings
from astrometry_service.main import create_app


@pytest.fixture
def mint():
    return TokenMint()


@pytest.fixture
async def client(tmp_path, mint):
    settings = AstrometrySettings(
        environment="development",
        database_url="postgresql://nobody@127.0.0.1:1/none",
        storage={"kind": "folder", "folder": str(tmp_path / "objects"), "url_secret": "x" * 32},
        client_secret="secret",
        index_folders=(str(tmp_path / "nowhere"),),
    )
    app = create_app(settings)
    app.state.authenticator = mint.authenticator
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://astrometry") as client:
        yield client
