"""Routes in process on a real database: who sees what, pages, and how errors look."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from astro_shared.contracts.auth import Scope
from astro_shared.contracts.gateway import ReductionPhase, StageName, StageState
from astro_shared.database.migrations import upgrade
from astro_shared.testing.tokens import TokenMint
from gateway_service.config import GatewaySettings
from gateway_service.domain.reductions import Reduction
from gateway_service.main import create_app

PROBLEM = "application/problem+json"


@pytest.fixture
def mint() -> TokenMint:
    return TokenMint()


@pytest.fixture
async def app(database: str, tmp_path: Path, mint: TokenMint) -> AsyncIterator[Any]:
    upgrade(database, "gateway_service.migrations")
    settings = GatewaySettings.model_validate(
        {
            "environment": "development", "database_url": database, "client_secret": "secret",
            "storage": {"kind": "folder", "folder": str(tmp_path / "objects"), "url_secret": "x" * 32},
            **{f"{name}_url": "http://127.0.0.1:9" for name in ("auth", "photometry", "astrometry", "catalogs")},
        }
    )  # fmt: skip
    app = create_app(settings)
    app.state.authenticator = mint.authenticator
    yield app
    await app.state.factory.close()


@pytest.fixture
async def client(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client


@pytest.fixture
async def finished(app: Any, make_reduction: Any, tmp_path: Path) -> Reduction:
    """A reduction of ann with one file."""
    path = tmp_path / "catalog.csv"
    path.write_text("id,x\n1,2.5\n")
    ref = await app.state.factory.store.put_file("jobs/gateway/1/catalog.csv", path, "text/csv")
    plain = make_reduction()
    stages = tuple(replace(stage, state=StageState.DONE) for stage in plain.stages)
    collect = replace(stages[-1], files={"catalog.csv": ref.model_dump()}, result={"summary": {"status": "calibrated"}})
    done = replace(
        plain, phase=ReductionPhase.COMPLETED, status="calibrated", ended_at=datetime.now(UTC),
        stages=(*stages[:-1], collect),
    )  # fmt: skip
    store = app.state.factory.reductions
    await store.add(plain, None)
    async with store.locked(plain.id) as held:
        await held.save(done)
    return done


async def test_the_owner_sees_and_fetches_and_nobody_else_does(
    client: httpx.AsyncClient, mint: TokenMint, finished: Reduction
) -> None:
    path = f"/api/v1/reductions/{finished.id}"
    seen = await client.get(path, headers=mint.user("ann"))
    assert seen.status_code == 200 and seen.json()["results"] == ["catalog.csv"]
    file = await client.get(f"{path}/results/catalog.csv", headers=mint.user("ann"))
    assert file.status_code == 307
    for way in ("", "/events", "/results", "/results/catalog.csv"):
        answer = await client.get(path + way, headers=mint.user("bob"))
        assert answer.status_code == 404 and answer.json()["code"] == "reduction_not_found", way
        assert answer.headers["content-type"] == PROBLEM
    assert (await client.post(f"{path}:abort", headers=mint.user("bob"))).status_code == 404
    assert (await client.delete(path, headers=mint.user("bob"))).status_code == 404
    assert (await client.get(path, headers=mint.user("ann"))).status_code == 200


async def test_a_file_that_is_not_there_is_named(
    client: httpx.AsyncClient, mint: TokenMint, finished: Reduction
) -> None:
    answer = await client.get(f"/api/v1/reductions/{finished.id}/results/nothing.txt", headers=mint.user("ann"))
    assert answer.status_code == 404 and "nothing.txt" in answer.json()["detail"]


async def test_a_removed_reduction_takes_its_files_along(
    client: httpx.AsyncClient, mint: TokenMint, app: Any, finished: Reduction
) -> None:
    path = f"/api/v1/reductions/{finished.id}"
    assert (await client.delete(path, headers=mint.user("ann"))).status_code == 204
    assert (await client.get(path, headers=mint.user("ann"))).status_code == 404
    assert [item async for item in app.state.factory.store.list("jobs/gateway/1")] == []


async def test_a_running_reduction_is_not_removed(
    client: httpx.AsyncClient, mint: TokenMint, app: Any, make_reduction: Any
) -> None:
    reduction = await app.state.factory.reductions.add(make_reduction(), None)
    answer = await client.delete(f"/api/v1/reductions/{reduction.id}", headers=mint.user("ann"))
    assert answer.status_code == 409 and "abort it first" in answer.json()["detail"]


async def test_pages_follow_their_cursor_to_the_end(
    client: httpx.AsyncClient, mint: TokenMint, app: Any, make_reduction: Any
) -> None:
    moment = datetime.now(UTC)
    made = [make_reduction(created_at=moment - timedelta(minutes=number)) for number in range(5)]
    for reduction in (*made, make_reduction(owner="bob")):
        await app.state.factory.reductions.add(reduction, None)
    seen, cursor = [], None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = await client.get("/api/v1/reductions", params=query, headers=mint.user("ann"))
        seen += [item["id"] for item in page.json()["items"]]
        cursor = page.json()["next"]
        assert ('rel="next"' in page.headers.get("link", "")) == (cursor is not None)
        if cursor is None:
            break
    assert seen == [reduction.id for reduction in made]


@pytest.mark.parametrize("cursor", ["nonsense", "%%%", "MjAyNnxh", "\u00e9"])
async def test_a_cursor_that_was_made_up_is_refused(client: httpx.AsyncClient, mint: TokenMint, cursor: str) -> None:
    answer = await client.get("/api/v1/reductions", params={"cursor": cursor}, headers=mint.user("ann"))
    assert answer.status_code == 422 and "cursor" in answer.json()["detail"]


async def test_without_a_token_or_a_scope_nothing_is_said(
    client: httpx.AsyncClient, mint: TokenMint, finished: Reduction
) -> None:
    path = f"/api/v1/reductions/{finished.id}"
    nobody = await client.get(path)
    assert nobody.status_code == 401 and nobody.headers["content-type"] == PROBLEM
    poor = await client.get(path, headers=mint.user("ann", scopes=[Scope.FRAMES_READ]))
    assert poor.status_code == 403 and poor.json()["code"]


async def test_a_request_that_makes_no_sense_points_at_the_field(client: httpx.AsyncClient, mint: TokenMint) -> None:
    answer = await client.post("/api/v1/uploads", json={"filename": "a.fits", "size": 0}, headers=mint.user("ann"))
    assert answer.status_code == 422 and answer.headers["content-type"] == PROBLEM
    assert any("size" in str(problem) for problem in answer.json()["errors"])


async def test_somebody_elses_upload_cannot_be_reduced_or_completed(client: httpx.AsyncClient, mint: TokenMint) -> None:
    body = {"filename": "a.fits", "size": 10}
    upload = (await client.post("/api/v1/uploads", json=body, headers=mint.user("ann"))).json()
    assert (await client.get(f"/api/v1/uploads/{upload['id']}", headers=mint.user("bob"))).status_code == 404
    completed = await client.post(f"/api/v1/uploads/{upload['id']}:complete", headers=mint.user("bob"))
    assert completed.status_code == 404
    reduced = await client.post("/api/v1/reductions", json={"upload_id": upload["id"]}, headers=mint.user("bob"))
    assert reduced.status_code == 404 and reduced.json()["code"] == "upload_not_found"


async def test_a_callback_is_taken_from_services_only(
    client: httpx.AsyncClient, mint: TokenMint, app: Any, make_reduction: Any
) -> None:
    plain = make_reduction()
    running = replace(plain.stage(StageName.MEASURE), state=StageState.RUNNING, job_id="job-1")
    store = app.state.factory.reductions
    await store.add(replace(plain, stages=(running, *plain.stages[1:])), None)
    await store.claim_due(5)
    job = {
        "id": "job-1", "service": "photometry", "kind": "measure", "owner": "ann", "phase": "COMPLETED", "attempt": 1,
        "created_at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    assert (await client.post("/v1/callbacks/jobs", json=job, headers=mint.user("ann"))).status_code == 403
    assert await store.claim_due(5) == []
    told = await client.post("/v1/callbacks/jobs", json=job, headers=mint.service("photometry"))
    assert told.status_code == 204
    assert await store.claim_due(5) == [plain.id]
