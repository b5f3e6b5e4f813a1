"""The job ``match_surveys`` through the routes and a worker of the catalogs service, where LSDB is installed.

``python survey_job.py '{"database", "folder", "request", "abort", "memory_mb"}'``: ``left.npz`` and ``right.npz`` of the
folder become lists of a user, the job runs, ``pairs.npz`` gets what it found; printed is the job. ``abort``: it is stopped
when the cluster works.
"""

import asyncio
import json
import sys
import tarfile
from pathlib import Path

import httpx
import lsdb
import numpy as np

from astro_shared.database.migrations import upgrade
from astro_shared.jobs.worker.run import run_workers
from astro_shared.testing.tokens import TokenMint
from catalogs_service.config import CatalogsSettings
from catalogs_service.domain.stars import Stars
from catalogs_service.factory import CatalogsParts
from catalogs_service.main import create_app
from catalogs_service.worker import worker_of

FINAL = ("COMPLETED", "ERROR", "ABORTED")


async def main(given):
    folder = Path(given["folder"])
    upgrade(given["database"], "catalogs_service.migrations")
    settings = CatalogsSettings(
        environment="development", database_url=given["database"], client_secret="secret",
        storage={"kind": "folder", "folder": str(folder / "objects"), "url_secret": "x" * 32},
        data_folder=folder / "data", scratch_folder=folder / "scratch", upstream={"mode": "offline"},
        surveys={"workers": 2, "worker_memory_mb": given["memory_mb"]},
    )  # fmt: skip
    mint, app, parts = TokenMint(), create_app(settings), CatalogsParts(settings)
    app.state.authenticator = mint.authenticator
    for name in ("left", "right"):
        stars = Stars(dict(np.load(folder / f"{name}.npz")))
        parts.lists.save(stars, name=name, scope="user", owner="user-1", facts={})
    stop = asyncio.Event()
    worker = asyncio.create_task(run_workers([worker_of(parts)], scratch=folder / "scratch", stop=stop))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://catalogs") as client:
        client.headers = mint.service(on_behalf_of="user-1")
        job = await finished(client, given)
    if job["phase"] == "COMPLETED":
        await keep_pairs(parts, job, folder)
    stop.set()
    await worker
    await app.state.parts.close()
    sys.stdout.write(json.dumps(job))


async def finished(client, given):
    request = {"kind": "match_surveys", "idempotency_key": "surveys-0001", "request": given["request"]}
    made = await client.post("/v1/jobs", json=request)
    assert made.status_code == 201, made.text
    address, steps = f"/v1/jobs/{made.json()['id']}", []
    while True:
        job = (await client.get(address)).json()
        step = job["progress"]["step"]
        if step and step not in steps:
            steps.append(step)
        if job["phase"] in FINAL:
            return job | {"steps": steps}
        if given.get("abort") and step == "match":
            assert (await client.post(f"{address}:abort")).status_code < 300
        await asyncio.sleep(0.2)


async def keep_pairs(parts, job, folder):
    packed = folder / "matched.tar"
    with packed.open("wb") as file:
        async for piece in parts.store.open(job["files"]["matched.tar"]["key"]):
            file.write(piece)
    with tarfile.open(packed) as archive:
        archive.extractall(folder, filter="data")
    pairs = lsdb.open_catalog(folder / "matched").compute()
    names = ("source_id_left", "source_id_right", "_dist_arcsec")
    np.savez(folder / "pairs.npz", **{name: pairs[name].to_numpy() for name in names})


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
