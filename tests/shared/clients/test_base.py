"""Calls between services: retries, deadlines, names, typed errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest
import stamina
from pydantic import BaseModel

from astro_shared.clients.base import (
    LONGEST_WAIT_S,
    ServiceClient,
    ServiceUnreachableError,
    _delay_before_retry,
    error_from_response,
)
from astro_shared.errors import AlidadeError, RelayedError, UpstreamError
from astro_shared.web.context import new_context, request_scope


class PhotometryClient(ServiceClient):
    """A client with a name."""


class Answer(BaseModel):
    value: int


class Script:
    """Answers with what was written down, in order; the last one for ever."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Token:
    async def token(self, on_behalf_of: str | None = None) -> str:
        return f"token-for-{on_behalf_of}"


@pytest.fixture(autouse=True)
def no_waiting() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


@pytest.fixture
def make() -> Callable[..., PhotometryClient]:
    def build(script: Script, *, tokens: Token | None = None) -> PhotometryClient:
        http = httpx.AsyncClient(transport=httpx.MockTransport(script))
        return PhotometryClient("http://photometry.test/", tokens=tokens, http=http)

    return build


def problem(status: int, code: str, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "detail": f"it is {code}"}, headers=headers)


GOOD = httpx.Response(200, json={"value": 3})


async def test_an_answer_is_read_as_its_model(make: Callable[..., PhotometryClient]) -> None:
    assert (await make(Script(GOOD)).request_model(Answer, "GET", "/v1/x")).value == 3


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_transient_failure_is_tried_again(make: Callable[..., PhotometryClient], status: int) -> None:
    script = Script(problem(status, "busy"), problem(status, "busy"), GOOD)
    assert (await make(script).request("GET", "/v1/x")).status_code == 200
    assert len(script.requests) == 3


async def test_three_attempts_are_all(make: Callable[..., PhotometryClient]) -> None:
    script = Script(problem(503, "busy"))
    with pytest.raises(RelayedError) as caught:
        await make(script).request("GET", "/v1/x")
    assert len(script.requests) == 3
    assert (caught.value.code, caught.value.status, caught.value.retryable) == ("busy", 503, True)


async def test_a_post_is_not_repeated_unless_it_is_said_to_be_safe(make: Callable[..., PhotometryClient]) -> None:
    for idempotent, times in ((None, 1), (False, 1), (True, 3)):
        script = Script(httpx.ConnectError("refused"))
        with pytest.raises(ServiceUnreachableError, match="photometry cannot be reached"):
            await make(script).request("POST", "/v1/jobs", json={}, idempotent=idempotent)
        assert len(script.requests) == times


@pytest.mark.parametrize("status", [400, 404, 409, 422, 500])
async def test_a_final_failure_is_not_repeated(make: Callable[..., PhotometryClient], status: int) -> None:
    script = Script(problem(status, "no_such_job"))
    with pytest.raises(RelayedError) as caught:
        await make(script).request("GET", "/v1/x")
    assert len(script.requests) == 1
    assert (caught.value.code, str(caught.value), caught.value.retryable) == ("no_such_job", "it is no_such_job", False)


async def test_our_own_refused_token_is_not_the_users_fault(make: Callable[..., PhotometryClient]) -> None:
    with pytest.raises(UpstreamError):
        await make(Script(problem(401, "invalid_token")), tokens=Token()).request("GET", "/v1/x")


async def test_a_status_that_is_expected_is_an_answer(make: Callable[..., PhotometryClient]) -> None:
    answer = await make(Script(problem(404, "no_such_job"))).request("GET", "/v1/x", accept={404})
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "answer",
    [httpx.Response(500, text="<html>"), httpx.Response(200, text="<html>"), httpx.Response(200, json={"x": 1})],
)
async def test_what_is_not_ours_is_an_upstream_error(
    make: Callable[..., PhotometryClient], answer: httpx.Response
) -> None:
    with pytest.raises(UpstreamError):
        await make(Script(answer)).request_model(Answer, "GET", "/v1/x")


async def test_the_request_keeps_its_names_and_its_user(make: Callable[..., PhotometryClient]) -> None:
    script = Script(GOOD)
    with request_scope(new_context(None, "request-0001")) as context:
        await make(script, tokens=Token()).request("GET", "/v1/x", on_behalf_of="user-1")
    headers = script.requests[0].headers
    assert headers["x-request-id"] == "request-0001"
    assert headers["traceparent"].split("-")[1] == context.trace_id
    assert headers["authorization"] == "Bearer token-for-user-1"


async def test_the_service_says_how_long_to_wait() -> None:
    def delay(**headers: str) -> bool | float:
        error = error_from_response(problem(503, "busy", **headers), service="x")
        assert isinstance(error, AlidadeError)
        return _delay_before_retry(error)

    assert delay(**{"retry-after": "2"}) == 2
    assert delay(**{"retry-after": "3600"}) == LONGEST_WAIT_S
    assert delay() is True
