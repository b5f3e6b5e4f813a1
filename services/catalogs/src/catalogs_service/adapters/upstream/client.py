"""HTTP to one upstream: deadlines, retries, bounded bodies, every failure by its name.

Nothing is followed anywhere: a redirect is an answer like any other, and the addresses come from the operator's settings.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx

from catalogs_service.adapters.upstream.gate import UpstreamGate
from catalogs_service.domain.questions import Question, Reply
from catalogs_service.errors import QueryError

_TRANSIENT = frozenset({429, 500, 502, 503, 504})
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 5.0
_LONGEST_RETRY_AFTER_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long one question may take, s."""

    connect_s: float = 5.0
    read_s: float = 30.0
    total_s: float = 120.0
    attempts: int = 3
    most_bytes: int = 64 << 20


class UpstreamClient:
    """Asks one upstream.

    Parameters
    ----------
    http : client with its proxy and authorities
    gate : admission, shared with other processes
    deadlines : bounds of one question
    user_agent : names the software and whom to write to
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        gate: UpstreamGate,
        deadlines: Deadlines,
        *,
        user_agent: str,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._http = http
        self._deadlines = deadlines
        self._headers = {"User-Agent": user_agent, "Accept-Encoding": "gzip"}
        self._sleep = sleep
        self.gate = gate

    async def count_cache(self, *, hit: bool) -> None:
        """Count an answer that was known, or was not."""
        await self.gate.count_cache(hit=hit)

    async def ask(self, question: Question) -> Reply:
        """Send a question, again where that helps and does no harm.

        Raises
        ------
        QueryError
            With ``cause`` (unreachable, timeout, http_status, quota, malformed, circuit_open), ``http_status`` and
            ``retry_at`` where known.
        """
        deadline = asyncio.get_running_loop().time() + self._deadlines.total_s
        for attempt in range(1, self._deadlines.attempts + 1):
            async with self._turn(deadline) as probing:
                try:
                    reply = await self._once(question, deadline)
                except QueryError as error:
                    last = probing or attempt == self._deadlines.attempts or not question.repeatable
                    wait_s = None if last else _wait_before_retry(error, attempt)
                    if wait_s is None:
                        await self._count(error)
                        raise
                else:
                    await self.gate.succeeded()
                    return reply
            await self._sleep(wait_s)
        raise AssertionError("unreachable: the last attempt returns or raises")

    @asynccontextmanager
    async def _turn(self, deadline: float) -> AsyncIterator[bool]:
        """Be admitted in time; a turn that does not come is the fault of the many who ask, not of the upstream."""
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout_at(deadline):
                    probing = await stack.enter_async_context(self.gate.admitted())
            except TimeoutError:
                raise QueryError(
                    f"{self.gate.title} is asked so much that the turn of this question did not come within "
                    f"{self._deadlines.total_s:g} s.",
                    cause="quota",
                ) from None
            yield probing

    async def _count(self, error: QueryError) -> None:
        """Count a question that found no answer; a refusal with a reason is none of that."""
        if error.cause == "quota":
            return
        if error.cause == "http_status" and error.details["http_status"] not in _TRANSIENT:
            await self.gate.succeeded()
        else:
            await self.gate.failed(error.cause)

    async def _once(self, question: Question, deadline: float) -> Reply:
        began = time.monotonic()
        try:
            async with asyncio.timeout_at(deadline):
                return await self._sent(question)
        except TimeoutError:
            words = f"did not answer within {self._deadlines.total_s:g} s"
            raise self._error(words, "timeout", quick=False) from None
        except httpx.TimeoutException as error:
            unreachable = isinstance(error, (httpx.ConnectTimeout, httpx.PoolTimeout))
            cause, words = ("unreachable", "cannot be reached") if unreachable else ("timeout", "stopped answering")
            raise self._error(f"{words} (after {time.monotonic() - began:.0f} s)", cause, quick=False) from None
        except httpx.ConnectError as error:
            quick = time.monotonic() - began < 1.0
            raise self._error(f"cannot be reached ({_short(error)})", "unreachable", quick=quick) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._error(f"broke off ({_short(error)})", "unreachable", quick=True) from None

    async def _sent(self, question: Question) -> Reply:
        request = self._http.build_request(
            question.method,
            question.url,
            params=dict(question.parameters) or None,
            data=dict(question.form) if question.form is not None else None,
            json=question.json,
            headers=self._headers,
            timeout=httpx.Timeout(self._deadlines.read_s, connect=self._deadlines.connect_s),
        )
        response = await self._http.send(request, stream=True, follow_redirects=False)
        try:
            if response.status_code >= 400:
                raise await self._refusal(response)
            content = await self._body(response)
        finally:
            await response.aclose()
        return Reply(
            response.status_code,
            content,
            response.headers.get("content-type", "").split(";")[0].strip().lower(),
            response.headers.get("location", ""),
        )

    async def _body(self, response: httpx.Response) -> bytes:
        """The unpacked body, counted while it comes."""
        pieces, size = [], 0
        async for piece in response.aiter_bytes(1 << 16):
            size += len(piece)
            if size > self._deadlines.most_bytes:
                raise self._error(f"sent more than {self._deadlines.most_bytes >> 20} MB", "malformed", quick=False)
            pieces.append(piece)
        return b"".join(pieces)

    async def _refusal(self, response: httpx.Response) -> QueryError:
        status, after_s = response.status_code, retry_after_s(response.headers.get("retry-after"))
        if status == 429 or (status == 503 and after_s is not None):
            pause_s = after_s if after_s is not None else 60.0
            if pause_s > _LONGEST_WAIT_S:
                await self.gate.pause(pause_s)
            return QueryError(
                f"{self.gate.title} has had enough of us (status {status}); again in {pause_s:.0f} s.",
                cause="quota", http_status=status, retry_at=datetime.now(UTC) + timedelta(seconds=pause_s),
                pause_s=pause_s,
            )  # fmt: skip
        return QueryError(
            f"{self.gate.title} answered with status {status}.",
            cause="http_status", http_status=status, quick=status in _TRANSIENT,
        )  # fmt: skip

    def _error(self, words: str, cause: str, *, quick: bool) -> QueryError:
        return QueryError(f"{self.gate.title} {words}.", cause=cause, quick=quick)


def retry_after_s(text: str | None) -> float | None:
    """Seconds of a Retry-After header, a number or a date; None where there is none or it makes no sense."""
    if not text:
        return None
    if text.strip().isdigit():
        return min(float(text.strip()), _LONGEST_RETRY_AFTER_S)
    try:
        wait = (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(wait, 0.0), _LONGEST_RETRY_AFTER_S)


def _wait_before_retry(error: QueryError, attempt: int) -> float | None:
    """Seconds before another attempt, full jitter; None where it would not help.

    What failed slowly (a dead network) is not tried again: the next frame will, and the answer comes in time.
    """
    if error.cause == "quota":
        pause = error.details.get("pause_s")
        return None if pause is None or pause > _LONGEST_WAIT_S else float(pause)
    if not error.details.get("quick"):
        return None
    return random.uniform(0.0, min(_FIRST_WAIT_S * 2 ** (attempt - 1), _LONGEST_WAIT_S))


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
