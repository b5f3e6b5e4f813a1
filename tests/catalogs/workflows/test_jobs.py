"""The jobs of the service as the gateway sees them: over HTTP, through the queue, in a child of the worker."""

import asyncio
import importlib.util
import io

import httpx
import numpy as np
import pytest
from astropy.io import fits

from astro_shared.contracts.tables import POSITIONS
from astro_shared.database.migrations import upgrade
from astro_shared.fits.tables import write_columns
from astro_shared.jobs.worker.run import run_workers
from astro_shared.testing.tokens import TokenMint
from catalogs_service.config import CatalogsSettings
from catalogs_service.factory import CatalogsParts
from catalogs_service.main import create_app
from catalogs_service.worker import worker_of

CSV = b"ra_deg,dec_deg,vt_mag\n" + b"".join(
    b"%f,%f,%f\n" % (30 + k / 500, 46 + k / 700, 6 + k / 100) for k in range(400)
)


@pytest.fixture
async def platform(database, tmp_path):
    """The web process and the worker of the service on one database and folder, with a dead network outside."""
    upgrade(database, "catalogs_service.migrations")
    dead = {f"{name}_url": "http://127.0.0.1:9/x" for name in ("simbad", "vizier", "skybot", "astro_colibri", "gaia")}
    settings = CatalogsSettings(
        environment="development",
        database_url=database,
        storage={"kind": "folder", "folder": str(tmp_path / "objects"), "url_secret": "x" * 32},
        client_secret="secret",
        data_folder=tmp_path / "data",
        scratch_folder=tmp_path / "scratch",
        upstream=dead,
    )
    mint = TokenMint()
    app = create_app(settings)
    app.state.authenticator = mint.authenticator
    parts = CatalogsParts(settings)
    stop, ready = asyncio.Event(), asyncio.Event()
    worker = asyncio.create_task(
        run_workers([worker_of(parts)], scratch=tmp_path / "scratch", stop=stop, on_ready=ready.set)
    )
    await asyncio.wait_for(ready.wait(), 30)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://catalogs") as client:
        client.headers = mint.service(on_behalf_of="user-1")
        yield client, parts
    stop.set()
    await worker
    await app.state.parts.close()


async def finished(client, kind, key, request):
    made = await client.post("/v1/jobs", json={"kind": kind, "idempotency_key": key, "request": request})
    assert made.status_code == 201, made.text
    for _ in range(300):
        job = (await client.get(f"/v1/jobs/{made.json()['id']}")).json()
        if job["phase"] in ("COMPLETED", "ERROR", "ABORTED"):
            return job
        await asyncio.sleep(0.05)
    raise AssertionError(f"still {job['phase']}")


async def test_a_list_is_imported_searched_and_used_while_the_network_is_dead(platform, tmp_path):
    client, parts = platform
    file = tmp_path / "tycho2.csv"
    file.write_bytes(CSV)
    ref = await parts.store.put_file("uploads/user-1/1", file, "text/csv")
    job = await finished(
        client, "import_reference", "import-0001",
        {"name": "tycho2", "file": ref.model_dump(), "file_name": "tycho2.csv"},
    )  # fmt: skip
    assert job["phase"] == "COMPLETED", job["error"]
    assert job["result"]["reference"]["rows"] == 400
    assert job["result"]["reference"]["owner"] == "user-1"
    body = {"name": "tycho2", "ra_deg": 30.4, "dec_deg": 46.3, "radius_deg": 0.5, "max_rows": 50}
    answer = await client.post("/v1/reference/cone", json=body)
    stars = fits.open(io.BytesIO(answer.content))[1].data
    assert len(stars) == 50

    positions = tmp_path / "positions.fits"
    columns = {"id": np.arange(50), "ra": np.asarray(stars["ra"], float), "dec": np.asarray(stars["dec"], float)}
    write_columns(positions, columns, POSITIONS)
    ref = await parts.store.put_file("jobs/solve/positions.fits", positions, "application/fits")
    request = {"positions": ref.model_dump(), "epoch_jyear": 2017.97, "date_mid": "2017-12-20T05:36:12Z"}
    job = await finished(client, "identify", "identify-0001", request)
    assert job["phase"] == "COMPLETED", job["error"]
    words = {item["catalogue"]: (item["status"], item["cause"]) for item in job["result"]["catalogues"]}
    assert words == {
        **dict.fromkeys(("gaia", "simbad", "vsx", "milliquas", "skybot"), ("failed", "unreachable")),
        "astro_colibri": ("not_asked", "no_key"),
    }
    assert set(job["files"]) == {"matches.fits", "identifications.fits"}
    assert job["usage"]["seconds"] < 10


async def test_a_bad_file_ends_with_a_code_and_a_sentence(platform, tmp_path):
    client, parts = platform
    file = tmp_path / "bad.csv"
    file.write_bytes(b"ra,dec\n10,abc\n")
    ref = await parts.store.put_file("uploads/user-1/2", file, "text/csv")
    request = {"name": "bad", "file": ref.model_dump(), "file_name": "bad.csv"}
    job = await finished(client, "import_reference", "import-0002", request)
    assert (job["phase"], job["error"]["code"]) == ("ERROR", "catalogue_values_invalid")
    assert "'abc' in row 1" in job["error"]["message"]
    assert job["attempt"] == 1


@pytest.mark.skipif(importlib.util.find_spec("lsdb") is not None, reason="LSDB is installed here")
async def test_without_lsdb_a_match_of_surveys_says_what_to_install(platform):
    client, _ = platform
    job = await finished(client, "match_surveys", "surveys-0001", {"left": "a", "right": "b"})
    assert (job["phase"], job["attempt"], job["error"]["code"]) == ("ERROR", 1, "surveys_not_installed")
    assert "pip install 'catalogs-service[surveys]'" in job["error"]["message"]
