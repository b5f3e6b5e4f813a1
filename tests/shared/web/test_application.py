"""The house's errors, limits, names and health, through an application in process."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

import httpx
import pytest
from fastapi import Depends, FastAPI, UploadFile
from pydantic import BaseModel, Field
from structlog.testing import capture_logs

from astro_shared.errors import ConflictError, NotFoundError, UpstreamError
from astro_shared.testing.tokens import TokenMint
from astro_shared.web import BodyLimits, Principal, create_app, require, require_service, require_user


class Point(BaseModel):
    ra_deg: float = Field(ge=0, lt=360)
    name: str | None = None


def build(mint: TokenMint) -> FastAPI:
    app = create_app("test", "1.0", authenticator=mint.authenticator, limits=BodyLimits(path_bytes={"/raw/": 5 << 20}))

    @app.post("/points", tags=["points"])
    async def create(point: Point) -> Point:
        return point

    @app.post("/files", tags=["files"])
    async def upload(files: list[UploadFile]) -> int:
        return len(files)

    @app.get("/missing", tags=["points"])
    async def missing() -> None:
        raise NotFoundError("There is no such point.", secret=None, wanted=3)

    @app.get("/upstream", tags=["points"])
    async def upstream() -> None:
        raise UpstreamError("Gaia did not answer.")

    @app.get("/later", tags=["points"])
    async def later() -> None:
        raise ConflictError("Still running.", retry_after_s=1.2)

    @app.get("/broken", tags=["points"])
    async def broken() -> None:
        raise RuntimeError("postgresql://user:hunter2@db/x")

    @app.get("/me", tags=["me"])
    async def me(principal: Annotated[Principal, Depends(require("frames:read"))]) -> dict[str, str | None]:
        return {"subject": principal.subject, "user": principal.user}

    @app.post("/me", tags=["me"])
    async def change(principal: Annotated[Principal, Depends(require_user())]) -> str:
        return principal.user_id

    @app.post("/internal", tags=["me"])
    async def internal(principal: Annotated[Principal, Depends(require_service("jobs:write"))]) -> str | None:
        return principal.service

    return app


@pytest.fixture
def mint() -> TokenMint:
    return TokenMint()


@pytest.fixture
def app(mint: TokenMint) -> FastAPI:
    return build(mint)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://svc.test") as http:
        yield http


def problem(response: httpx.Response, status: int, code: str) -> dict[str, object]:
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    body = response.json()
    assert (body["status"], body["code"]) == (status, code)
    assert {"type", "title", "detail", "instance", "trace_id", "errors"} <= set(body)
    return body


JSON = {"content-type": "application/json"}


async def test_our_errors_keep_code_message_and_facts(client: httpx.AsyncClient) -> None:
    body = problem(await client.get("/missing?token=abc"), 404, "not_found")
    assert (body["detail"], body["wanted"], body["instance"]) == ("There is no such point.", 3, "/missing")


async def test_unknown_path_and_method_have_the_same_shape(client: httpx.AsyncClient) -> None:
    problem(await client.get("/nowhere"), 404, "not_found")
    answer = await client.delete("/points")
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


async def test_a_defect_is_500_without_its_text(client: httpx.AsyncClient) -> None:
    answer = await client.get("/broken")
    problem(answer, 500, "internal_error")
    assert "hunter2" not in answer.text
    assert answer.headers["x-request-id"]


async def test_upstream_failures_are_502(client: httpx.AsyncClient) -> None:
    problem(await client.get("/upstream"), 502, "upstream_failed")


async def test_retry_after_is_in_whole_seconds(client: httpx.AsyncClient) -> None:
    assert (await client.get("/later")).headers["retry-after"] == "2"


async def test_validation_says_where_and_never_repeats_the_input(client: httpx.AsyncClient) -> None:
    answer = await client.post("/points", json={"ra_deg": "s3cret-value", "name": 5})
    body = problem(answer, 422, "invalid_request")
    assert [item["pointer"] for item in body["errors"]] == ["/body/ra_deg", "/body/name"]
    assert "s3cret-value" not in answer.text


@pytest.mark.parametrize(
    "text",
    [
        '{"ra_deg": NaN}',
        '{"ra_deg": Infinity}',
        '{"ra_deg": -Infinity}',
        '{"ra_deg": 1e999}',
        '{"ra_deg": 1, "name": "\\ud800"}',
        '{"ra_deg": 1, "\\udfff": 2}',
        '{"ra_deg": ' + "[" * 40 + "]" * 40 + "}",
        "[" * 200_000,
        '{"a":' * 100_000,
        '{"ra_deg": ' + "9" * 5000 + "}",
        '{"ra_deg": 1',
        "\x00",
        '{"ra_deg": 1, "name": "a\\u0000b"}',
        '{"ra_deg": 1, "a\\u0000b": 2}',
    ],
)
async def test_json_that_is_not_json_is_refused(client: httpx.AsyncClient, text: str) -> None:
    problem(await client.post("/points", content=text, headers=JSON), 422, "bad_json")


async def test_bytes_that_are_not_utf8_are_refused(client: httpx.AsyncClient) -> None:
    problem(await client.post("/points", content=b'{"name": "\xff"}', headers=JSON), 422, "bad_json")


async def test_emoji_as_a_surrogate_pair_is_fine(client: httpx.AsyncClient) -> None:
    answer = await client.post("/points", content='{"ra_deg": 1, "name": "\\ud83d\\ude00"}', headers=JSON)
    assert answer.json()["name"] == "\U0001f600"


async def test_an_address_with_a_nul_is_refused(client: httpx.AsyncClient) -> None:
    for address in ("/miss%00ing", "/missing?name=a%00b"):
        problem(await client.get(address), 400, "bad_request")


async def chunks(total: int, size: int = 65536) -> AsyncIterator[bytes]:
    for _ in range(total // size):
        yield b" " * size


async def test_a_large_body_is_refused_by_its_announced_length(client: httpx.AsyncClient) -> None:
    problem(await client.post("/points", content=b" " * (2 << 20), headers=JSON), 413, "payload_too_large")


async def test_a_large_body_is_refused_while_it_streams(client: httpx.AsyncClient) -> None:
    problem(await client.post("/points", content=chunks(2 << 20), headers=JSON), 413, "payload_too_large")


async def test_a_lying_length_does_not_help(client: httpx.AsyncClient) -> None:
    headers = {**JSON, "content-length": "10"}
    problem(await client.post("/points", content=chunks(2 << 20), headers=headers), 413, "payload_too_large")


@pytest.mark.parametrize("length", ["-1", "abc", "9" * 40])
async def test_a_nonsense_length_is_refused(client: httpx.AsyncClient, length: str) -> None:
    headers = {**JSON, "content-length": length}
    problem(await client.post("/points", content=b"{}", headers=headers), 413, "payload_too_large")


async def test_a_form_has_few_parts(client: httpx.AsyncClient) -> None:
    few = [("files", (f"f{i}", b"x")) for i in range(10)]
    many = [("files", (f"f{i}", b"x")) for i in range(21)]
    assert (await client.post("/files", files=few)).json() == 10
    problem(await client.post("/files", files=many), 400, "bad_request")


async def test_a_form_may_be_larger_than_json(client: httpx.AsyncClient) -> None:
    answer = await client.post("/files", files=[("files", ("f", b"x" * (3 << 20)))])
    assert answer.status_code == 200


async def test_an_incoming_trace_goes_on_and_a_bad_one_does_not(client: httpx.AsyncClient) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    kept = await client.get("/missing", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    assert kept.json()["trace_id"] == trace
    made = await client.get("/missing", headers={"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"})
    assert re.fullmatch(r"(?!0{32})[0-9a-f]{32}", made.json()["trace_id"])


async def test_request_ids_are_kept_inside_and_made_anew_at_the_edge(mint: TokenMint) -> None:
    for trusted in (True, False):
        edge = create_app("edge", "1", trust_request_id=trusted)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(edge), base_url="http://e.test") as http:
            answer = await http.get("/healthz", headers={"X-Request-Id": "request-0001"})
        assert (answer.headers["x-request-id"] == "request-0001") is trusted


async def test_a_request_id_cannot_forge_a_log_line(client: httpx.AsyncClient) -> None:
    answer = await client.get("/missing", headers={"X-Request-Id": "x" * 100 + " admin=true"})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["x-request-id"])


async def test_the_access_log_has_facts_and_no_query(client: httpx.AsyncClient, mint: TokenMint) -> None:
    with capture_logs() as lines:
        await client.get("/me?sig=abc123", headers=mint.user("user-7"))
    line = next(item for item in lines if item["event"] == "http_request")
    assert (line["status"], line["subject"], line["path"]) == (200, "user-7", "/me")
    assert "abc123" not in str(lines)


async def test_no_token_and_a_bad_token_are_401(client: httpx.AsyncClient) -> None:
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic dTpw"}):
        answer = await client.get("/me", headers=headers)
        problem(answer, 401, "invalid_token")
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_missing_scope_is_403_and_named(client: httpx.AsyncClient, mint: TokenMint) -> None:
    body = problem(await client.get("/me", headers=mint.user(scopes=["settings:read"])), 403, "forbidden")
    assert body["missing_scopes"] == ["frames:read"]


async def test_a_service_speaks_for_its_user(client: httpx.AsyncClient, mint: TokenMint) -> None:
    answer = await client.get("/me", headers=mint.service("gateway", ["frames:read"], on_behalf_of="user-9"))
    assert answer.json() == {"subject": "svc:gateway", "user": "user-9"}


async def test_users_and_services_are_told_apart(client: httpx.AsyncClient, mint: TokenMint) -> None:
    assert (await client.post("/me", headers=mint.service())).status_code == 403
    assert (await client.post("/internal", headers=mint.user(scopes=["jobs:write"]))).status_code == 403
    assert (await client.post("/internal", headers=mint.service("photometry"))).json() == "photometry"


async def test_a_user_cannot_speak_for_another(client: httpx.AsyncClient, mint: TokenMint) -> None:
    token = mint.token("user-1", ["frames:read"], on_behalf_of="user-2")
    problem(await client.get("/me", headers={"Authorization": f"Bearer {token}"}), 401, "invalid_token")


async def test_an_ended_session_is_401(client: httpx.AsyncClient, mint: TokenMint) -> None:
    mint.revocations.sessions.add("session-user-1")
    problem(await client.get("/me", headers=mint.user("user-1")), 401, "invalid_token")
    assert (await client.get("/me", headers=mint.user("user-2"))).status_code == 200


async def test_a_disabled_user_is_401_also_through_a_service(client: httpx.AsyncClient, mint: TokenMint) -> None:
    mint.revocations.subjects.add("user-1")
    problem(await client.get("/me", headers=mint.user("user-1")), 401, "invalid_token")
    service = mint.service("gateway", ["frames:read"], on_behalf_of="user-1")
    problem(await client.get("/me", headers=service), 401, "invalid_token")


async def test_stale_revocations_refuse_writes(client: httpx.AsyncClient, mint: TokenMint) -> None:
    mint.revocations.age_s = 61
    answer = await client.post("/me", headers=mint.user())
    problem(answer, 503, "revocations_stale")
    assert int(answer.headers["retry-after"]) > 0
    assert (await client.get("/me", headers=mint.user())).status_code == 200
    mint.revocations.age_s = 59
    assert (await client.post("/me", headers=mint.user())).status_code == 200


async def test_revocations_never_known_refuse_everything(client: httpx.AsyncClient, mint: TokenMint) -> None:
    mint.revocations.known = False
    problem(await client.get("/me", headers=mint.user()), 503, "revocations_stale")


@pytest.fixture
def failing() -> Iterator[dict[str, bool]]:
    yield {"database": False}


async def test_readiness_names_what_is_away_and_liveness_does_not_look(failing: dict[str, bool]) -> None:
    async def database() -> None:
        if failing["database"]:
            raise OSError("connection refused to db-17.internal")

    app = create_app("r", "1", readiness={"database": database})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://r.test") as http:
        assert (await http.get("/readyz")).json() == {"status": "ok", "checks": ["database"]}
        failing["database"] = True
        answer = await http.get("/readyz")
        assert problem(answer, 503, "unavailable")["failing"] == ["database"]
        assert "db-17" not in answer.text
        assert (await http.get("/healthz")).status_code == 200


async def test_metrics_count_requests_by_route(client: httpx.AsyncClient) -> None:
    await client.get("/missing")
    assert (
        'http_request_seconds_count{method="GET",route="/missing",status="404"} 1.0'
        in (await client.get("/metrics")).text
    )


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://app.alidade.test", True),
        ("https://evil.test", False),
        ("null", False),
        ("https://app.alidade.test.evil.test", False),
        ("https://xapp.alidade.test", False),
    ],
)
async def test_only_named_origins_may_call(origin: str, allowed: bool) -> None:
    app = create_app("c", "1", cors_origins=["https://app.alidade.test"])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://c.test") as http:
        answer = await http.get("/healthz", headers={"Origin": origin})
    assert ("access-control-allow-origin" in answer.headers) is allowed


def test_the_document_declares_problems_and_stable_operations(app: FastAPI) -> None:
    document = app.openapi()
    operation = document["paths"]["/points"]["post"]
    assert operation["operationId"] == "points_create"
    reference = operation["responses"]["422"]["content"]["application/problem+json"]["schema"]["$ref"]
    assert reference == "#/components/schemas/Problem"
    assert "HTTPValidationError" not in document["components"]["schemas"]
    assert document["openapi"].startswith("3.1")
