"""Client of the internal jobs HTTP of a service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import stamina

from astro_shared.clients.base import ServiceUnreachableError, path_segment
from astro_shared.contracts.jobs import JobCreate, JobEvent, JobView
from astro_shared.errors import RelayedError, UpstreamError

TokenSource = Callable[[], Awaitable[str]]

_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
_STREAM_FAILURES = 5
_RETRIED = (429, 502, 503, 504)


class ServiceJobsClient:
    """Jobs of one service, over HTTP.

    All calls are idempotent (creation by its key) and repeated when the service is away for a moment.

    Parameters
    ----------
    base_url
        Of the service, without ``/v1``.
    token_source
        Returns a service token that this service accepts.
    client
        An HTTP client to use (tests, shared pools); otherwise one is made and closed by `close`.
    """

    def __init__(
        self, base_url: str, token_source: TokenSource | None, *, client: httpx.AsyncClient | None = None
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._token_source = token_source
        self._owned = client is None
        self._client = client or httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False)

    async def close(self) -> None:
        """Release the connections."""
        if self._owned:
            await self._client.aclose()

    async def create(self, job: JobCreate) -> JobView:
        """Create a job, or get the one that its idempotency key made before."""
        return JobView.model_validate(await self._call("POST", "/v1/jobs", json=job.model_dump(mode="json")))

    async def get(self, job_id: str) -> JobView:
        """Read a job."""
        return JobView.model_validate(await self._call("GET", f"/v1/jobs/{path_segment(job_id)}"))

    async def abort(self, job_id: str) -> JobView:
        """End a job that has not ended."""
        return JobView.model_validate(await self._call("POST", f"/v1/jobs/{path_segment(job_id)}:abort"))

    async def events(self, job_id: str, *, after: int = 0) -> AsyncIterator[JobEvent]:
        """Yield the events of a job after event ``after`` until it ends; a broken stream is taken up again."""
        failures = 0
        while True:
            try:
                async for kind, data in self._stream(job_id, after):
                    failures = 0
                    if kind == "end":
                        return
                    event = JobEvent.model_validate_json(data)
                    after = event.id
                    yield event
            except (httpx.TransportError, RelayedError) as error:
                failures += 1
                if isinstance(error, RelayedError) and not _worth_retrying(error):
                    raise
                if failures > _STREAM_FAILURES:
                    raise ServiceUnreachableError(f"{self._base_url} does not answer") from error
            await asyncio.sleep(min(0.2 * 2**failures, 5.0))

    async def _stream(self, job_id: str, after: int) -> AsyncIterator[tuple[str, str]]:
        headers = {**await self._headers(), "Accept": "text/event-stream", "Last-Event-ID": str(after)}
        url = f"{self._base_url}/v1/jobs/{path_segment(job_id)}/events"
        # The service sends a comment every 15 s: a silence of 30 s is a broken connection.
        async with self._client.stream("GET", url, headers=headers, timeout=_TIMEOUT) as response:
            if response.is_error:
                await response.aread()
                raise _relayed(response)
            kind = data = ""
            async for line in response.aiter_lines():
                name, _, value = line.partition(":")
                if name == "event":
                    kind = value.strip()
                elif name == "data":
                    data = value.strip()
                elif not line and kind:
                    yield kind, data
                    kind = data = ""

    async def _call(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            async for attempt in stamina.retry_context(on=_worth_retrying, attempts=4, timeout=30, wait_initial=0.2):
                with attempt:
                    response = await self._client.request(
                        method, f"{self._base_url}{path}", headers=await self._headers(), **arguments
                    )
                    if response.is_error:
                        raise _relayed(response)
                    return response.json()
        except httpx.TransportError as error:
            raise ServiceUnreachableError(f"{self._base_url} does not answer: {type(error).__name__}") from error
        raise ServiceUnreachableError(f"{self._base_url} does not answer")

    async def _headers(self) -> dict[str, str]:
        if self._token_source is None:
            return {}
        return {"Authorization": f"Bearer {await self._token_source()}"}


def _worth_retrying(error: Exception) -> bool:
    if isinstance(error, RelayedError):
        return error.status in _RETRIED
    return isinstance(error, httpx.TransportError)


def _relayed(response: httpx.Response) -> RelayedError:
    """Turn a problem document into the error that the service raised."""
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    return RelayedError(
        str(problem.get("detail") or f"the service answered {response.status_code}"),
        code=str(problem.get("code") or UpstreamError.code),
        status=response.status_code,
        retryable=response.status_code in _RETRIED,
    )
