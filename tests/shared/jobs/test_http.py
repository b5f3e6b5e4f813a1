"""The jobs HTTP of a service and its client, against each other."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import respx
import stamina
from fastapi import FastAPI
from pydantic import ValidationError

from astro_shared.clients.jobs import ServiceJobsClient, ServiceUnreachableError
from astro_shared.contracts.jobs import JobCreate, JobPhase, JobView
from astro_shared.errors import RelayedError
from astro_shared.jobs.api import jobs_router
from astro_shared.jobs.ledger.claims import Timing
from astro_shared.web.problems import install_problem_handlers

from .conftest import JOB_TYPES


@dataclass
class Caller:
    subject: str = "svc:gateway"
    user: str | None = "ada"


@pytest.fixture
def caller() -> Caller:
    return Caller()


@pytest.fixture
async def http(ledger, caller):
    app = FastAPI()
    install_problem_handlers(app)
    app.include_router(jobs_router(ledger, JOB_TYPES, lambda: caller, poll_s=0.02))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://example") as client:
        yield client


@pytest.fixture
def client(http) -> ServiceJobsClient:
    async def token() -> str:
        return "a-token"

    return ServiceJobsClient("http://example", token, client=http)


def creation(**values) -> JobCreate:
    return JobCreate(**{"kind": "shout", "idempotency_key": "key-12345", "request": {"text": "x"}, **values})


async def test_create_answers_201_then_200_then_409(http):
    body = creation().model_dump()
    first = await http.post("/v1/jobs", json=body)
    again = await http.post("/v1/jobs", json=body)
    other = await http.post("/v1/jobs", json={**body, "request": {"text": "y"}})
    assert [answer.status_code for answer in (first, again, other)] == [201, 200, 409]
    assert first.json() == again.json()
    assert first.headers["Location"] == f"/v1/jobs/{first.json()['id']}"
    assert other.json()["code"] == "idempotency_conflict"


async def test_a_wrong_request_is_refused_before_it_is_stored(http, ledger):
    for change, code in (
        ({"kind": "juggle"}, "job_kind_unknown"),
        ({"request": {"text": "x", "owner": "root"}}, "invalid_request"),
        ({"request": {"seconds": -1}}, "invalid_request"),
    ):
        answer = await http.post("/v1/jobs", json={**creation().model_dump(), **change})
        assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert await ledger.queue_length() == 0


def test_a_key_must_be_printable_and_of_some_length():
    for key in ("short", "has space", "x" * 129, "bell\x07bell"):
        with pytest.raises(ValidationError):
            creation(idempotency_key=key)


async def test_a_user_sees_only_their_jobs_and_a_service_sees_all(client, caller):
    job = await client.create(creation())
    assert job.owner == "ada"
    caller.user = "eve"
    for call in (client.get(job.id), client.abort(job.id)):
        with pytest.raises(RelayedError) as refused:
            await call
        assert (refused.value.status, refused.value.code) == (404, "job_not_found")
    caller.user = None
    assert (await client.get(job.id)).id == job.id
    own = await client.create(creation())
    assert own.owner == "svc:gateway" and own.id != job.id


async def test_events_stream_to_the_end_and_resume(client, http, start_worker):
    await start_worker()
    job = await client.create(creation())
    events = [event async for event in client.events(job.id)]
    assert [event.data.get("phase", event.data.get("step")) for event in events] == [
        "QUEUED", "EXECUTING", "shouting", "COMPLETED",
    ]  # fmt: skip
    rest = [event async for event in client.events(job.id, after=events[1].id)]
    assert rest == events[2:]
    raw = await http.get(f"/v1/jobs/{job.id}/events", headers={"Last-Event-ID": str(events[2].id)})
    assert raw.headers["content-type"].startswith("text/event-stream")
    assert raw.headers["cache-control"] == "no-cache" and raw.headers["x-accel-buffering"] == "no"
    assert raw.text.count("event: phase") == 1 and raw.text.count("event: end") == 1
    final = JobView.model_validate_json(raw.text.rpartition("data: ")[2])
    assert final.phase == JobPhase.COMPLETED


async def test_events_of_an_unknown_job_are_a_404(http):
    assert (await http.get("/v1/jobs/nonsense/events")).status_code == 404


async def test_abort_ends_a_running_job_at_once(client, start_worker, wait_for, submit, store, tmp_path):
    await start_worker(timing=Timing())  # whose heartbeats are too slow for this
    job = await submit("sleep", seconds=30, marker=str(tmp_path / "pid"))
    await wait_for(job, lambda view: view.progress.step == "sleeping")
    child = Path("/proc", (tmp_path / "pid").read_text().strip())
    assert child.exists()
    aborted = await client.abort(job.id)
    assert aborted.phase == JobPhase.ABORTED
    async with asyncio.timeout(2):
        while child.exists():
            await asyncio.sleep(0.02)
    assert [stat.key async for stat in store.list("jobs/")] == []
    after = await wait_for(await submit("shout", text="x"))
    assert after.phase == JobPhase.COMPLETED
    assert (await client.get(job.id)).phase == JobPhase.ABORTED


async def test_the_client_repeats_calls_to_a_service_that_is_away():
    view = {"id": "1", "service": "s", "kind": "k", "owner": "o", "phase": "QUEUED", "attempt": 0, "created_at": 0}
    with respx.mock(base_url="http://away") as mock:
        route = mock.get("/v1/jobs/1")
        route.side_effect = [httpx.ConnectError("no"), httpx.Response(503), httpx.Response(200, json=view)]
        assert (await ServiceJobsClient("http://away", None).get("1")).phase == JobPhase.QUEUED
        assert route.call_count == 3
        route.side_effect = httpx.ConnectError("no")
        with stamina.set_testing(True, attempts=4), pytest.raises(ServiceUnreachableError):
            await ServiceJobsClient("http://away", None).get("1")
        assert route.call_count == 7


async def test_the_client_does_not_repeat_refusals():
    with respx.mock(base_url="http://strict") as mock:
        route = mock.get("/v1/jobs/1").respond(403, json={"code": "forbidden", "detail": "not you"})
        with pytest.raises(RelayedError, match="not you"):
            await ServiceJobsClient("http://strict", None).get("1")
        assert route.call_count == 1


async def test_a_final_phase_is_called_back_with_the_services_token(start_worker, submit, wait_for):
    async def token() -> str:
        return "of-the-service"

    told = asyncio.Event()
    with respx.mock(assert_all_called=False) as mock:
        route = mock.post("http://gateway/callback")
        route.side_effect = [httpx.Response(503), httpx.Response(204)]
        await start_worker(token_source=token)
        job = await wait_for(await submit("shout", text="x", callback_url="http://gateway/callback"))
        async with asyncio.timeout(5):
            while route.call_count < 2:
                await asyncio.sleep(0.05)
        told.set()
        request = route.calls.last.request
        assert request.headers["Authorization"] == "Bearer of-the-service"
        assert JobView.model_validate_json(request.content) == job
