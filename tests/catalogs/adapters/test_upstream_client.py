"""Asking an upstream that refuses, hangs, lies or sends too much."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from catalogs_service.adapters.upstream.breaker_store import LocalBreakerStore
from catalogs_service.adapters.upstream.client import Deadlines, UpstreamClient, retry_after_s
from catalogs_service.adapters.upstream.gate import UpstreamGate
from catalogs_service.domain.questions import Question
from catalogs_service.domain.upstream_state import Limits
from catalogs_service.errors import QueryError

FAST = Limits(requests_per_s=1000.0, concurrency=4)


@pytest.fixture
def memory():
    return LocalBreakerStore()


@pytest.fixture
async def make(memory):
    clients = []

    def build(*, limits=FAST, name="simbad", **deadlines):
        http = httpx.AsyncClient(trust_env=False)
        clients.append(http)
        bounds = Deadlines(**({"connect_s": 1.0, "read_s": 0.3, "total_s": 5.0} | deadlines))
        return UpstreamClient(http, UpstreamGate(memory, name, limits), bounds, user_agent="alidade/test")

    yield build
    for client in clients:
        await client.aclose()


def question(remote, **options):
    return Question(remote.url, "a question", **options)


async def wait_is_over(memory):
    await memory.change("simbad", lambda state, now: (replace(state, open_until=0.0), None))


async def failure(client, asked):
    with pytest.raises(QueryError) as caught:
        await client.ask(asked)
    return caught.value


async def test_a_good_answer_comes_as_it_is(remote, play, make):
    remote.plays(play.answers("<VOTABLE/>", media_type="application/x-votable+xml; charset=utf-8"))
    reply = await make().ask(question(remote, parameters={"a": "b c"}))
    assert (reply.status, reply.content, reply.media_type) == (200, b"<VOTABLE/>", "application/x-votable+xml")
    assert remote.heard[0].query == {"a": "b c"}
    assert remote.heard[0].headers["user-agent"] == "alidade/test"


async def test_a_refused_connection_is_unreachable_within_seconds(make):
    began = time.monotonic()
    error = await failure(make(), Question("http://127.0.0.1:9/", "q"))
    assert error.cause == "unreachable"
    assert time.monotonic() - began < 4.0


async def test_an_unknown_host_is_unreachable(make):
    error = await failure(make(), Question("http://catalogue.invalid/", "q"))
    assert error.cause == "unreachable"


async def test_a_hanging_server_is_a_timeout_and_not_asked_again(remote, play, make):
    remote.plays(play.hangs())
    assert (await failure(make(), question(remote))).cause == "timeout"
    assert len(remote.heard) == 1


async def test_slow_drops_end_at_the_total(remote, make):
    async def drip(_, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _n in range(100):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.1)

    remote.plays(drip)
    began = time.monotonic()
    assert (await failure(make(total_s=0.6), question(remote))).cause == "timeout"
    assert time.monotonic() - began < 2.0


async def test_a_reset_in_mid_body_is_tried_again(remote, play, make):
    remote.plays(play.resets_in_body(), play.answers("whole"))
    assert (await make().ask(question(remote))).content == b"whole"


async def test_what_must_not_be_repeated_is_asked_once(remote, play, make):
    remote.plays(play.resets_in_body(), play.answers("whole"))
    error = await failure(make(), question(remote, repeatable=False))
    assert error.cause == "unreachable"
    assert len(remote.heard) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_server_error_is_tried_three_times(remote, play, make, status):
    remote.plays(play.answers("oops", status=status))
    error = await failure(make(), question(remote))
    assert (error.cause, error.http_status) == ("http_status", status)
    assert len(remote.heard) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
async def test_a_client_error_is_final(remote, play, make, status):
    remote.plays(play.answers("no", status=status))
    error = await failure(make(), question(remote))
    assert (error.cause, error.http_status) == ("http_status", status)
    assert len(remote.heard) == 1


async def test_a_short_retry_after_is_waited_for(remote, play, make):
    remote.plays(play.answers("", status=429, Retry_After="1"), play.answers("whole"))
    began = time.monotonic()
    assert (await make().ask(question(remote))).content == b"whole"
    assert time.monotonic() - began >= 1.0


async def test_a_long_retry_after_ends_the_question_and_holds_for_every_process(remote, play, make):
    remote.plays(play.answers("", status=429, Retry_After="120"))
    error = await failure(make(), question(remote))
    assert error.cause == "quota"
    assert error.retry_at > datetime.now(UTC) + timedelta(seconds=100)
    second = await failure(make(), question(remote))
    assert second.cause == "quota"
    assert len(remote.heard) == 1


async def test_redirects_are_not_followed(remote, play, make):
    remote.plays(play.answers("", status=302, Location="file:///etc/passwd"))
    reply = await make().ask(question(remote))
    assert (reply.status, reply.location) == (302, "file:///etc/passwd")
    assert len(remote.heard) == 1


async def test_an_endless_body_is_cut(remote, play, make):
    remote.plays(play.endless())
    error = await failure(make(most_bytes=1 << 20), question(remote))
    assert error.cause == "malformed"
    assert "more than 1 MB" in error.message


async def test_what_is_not_http_is_unreachable(remote, play, make):
    remote.plays(play.talks_nonsense())
    assert (await failure(make(), question(remote))).cause == "unreachable"


async def test_the_breaker_opens_for_all_processes_and_lets_one_probe_through(remote, play, make, memory):
    remote.plays(play.answers("", status=500))
    client = make()
    for _ in range(5):
        await failure(client, question(remote, repeatable=False))
    assert len(remote.heard) == 5
    error = await failure(make(), question(remote))
    assert len(remote.heard) == 5
    assert error.cause == "http_status"
    assert error.retry_at is not None
    await wait_is_over(memory)
    remote.plays(play.answers("well again"))
    assert (await client.ask(question(remote))).content == b"well again"
    assert (await client.gate.state()).breaker(time.time()) == "closed"


async def test_while_one_probes_others_wait_outside(remote, play, make, memory):
    remote.plays(play.answers("", status=500))
    client = make()
    for _ in range(5):
        await failure(client, question(remote, repeatable=False))
    await wait_is_over(memory)

    async def slow(_, writer):
        await asyncio.sleep(0.2)
        play.answers("well again")(_, writer)

    remote.plays(slow)
    results = await asyncio.gather(*(client.ask(question(remote)) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(result, QueryError) for result in results) == 3
    assert len(remote.heard) == 6


async def test_no_more_than_so_many_at_a_time(remote, play, make):
    async def slow(_, writer):
        await asyncio.sleep(0.1)
        play.answers("x")(_, writer)

    remote.plays(slow)
    limits = Limits(requests_per_s=1000.0, concurrency=2)
    one, two = make(limits=limits), make(limits=limits)
    await asyncio.gather(*(client.ask(question(remote)) for client in (one, two) for _ in range(4)))
    assert len(remote.heard) == 8
    assert remote.most_at_once == 2


async def test_no_faster_than_so_many_a_second(remote, play, make):
    remote.plays(play.answers("x"))
    limits = Limits(requests_per_s=20.0, concurrency=10)
    one, two = make(limits=limits), make(limits=limits)
    began = time.monotonic()
    await asyncio.gather(*(client.ask(question(remote)) for client in (one, two) for _ in range(5)))
    # ten turns are nine intervals of 50 ms
    assert time.monotonic() - began >= 0.45


async def test_a_turn_that_does_not_come_is_no_failure_of_the_upstream(remote, play, make):
    remote.plays(play.hangs())
    limits = Limits(requests_per_s=1000.0, concurrency=1)
    asked = asyncio.create_task(make(limits=limits, read_s=30.0, total_s=30.0).ask(question(remote)))
    await asyncio.sleep(0.1)
    waiting = make(limits=limits, total_s=0.3)
    errors = await asyncio.gather(*(failure(waiting, question(remote)) for _ in range(6)))
    assert {error.cause for error in errors} == {"quota"}
    assert "did not come within 0.3 s" in errors[0].message
    assert ((await waiting.gate.state()).failures, len(remote.heard)) == (0, 1)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)


async def test_a_cancelled_question_gives_its_place_back(remote, play, make):
    remote.plays(play.hangs())
    client = make(limits=Limits(requests_per_s=1000.0, concurrency=1), read_s=30.0)
    task = asyncio.create_task(client.ask(question(remote)))
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    remote.plays(play.answers("x"))
    assert (await client.ask(question(remote))).content == b"x"


@pytest.mark.parametrize(
    ("text", "seconds"), [("7", 7.0), (None, None), ("soon", None), ("-3", None), ("999999999", 86400.0)]
)
def test_retry_after_as_a_number(text, seconds):
    assert retry_after_s(text) == seconds


def test_retry_after_as_a_date():
    assert retry_after_s(format_datetime(datetime.now(UTC) + timedelta(seconds=60))) == pytest.approx(60, abs=2)


async def test_a_probe_that_fails_is_not_repeated_and_opens_for_longer(remote, play, make, memory):
    remote.plays(play.answers("", status=500))
    client = make()
    for _ in range(5):
        await failure(client, question(remote, repeatable=False))
    first = (await client.gate.state()).open_until - time.time()
    await wait_is_over(memory)
    await failure(client, question(remote))
    assert len(remote.heard) == 6
    assert (await client.gate.state()).open_until - time.time() > 1.5 * first


async def test_refusals_with_a_reason_do_not_open_the_breaker(remote, play, make):
    remote.plays(play.answers("bad query", status=400))
    client = make()
    for _ in range(8):
        assert (await failure(client, question(remote))).http_status == 400
    assert len(remote.heard) == 8
