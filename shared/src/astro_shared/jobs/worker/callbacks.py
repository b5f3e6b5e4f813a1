"""Telling whoever asked that a job has ended.

A callback is a courtesy: it is tried a few times and then forgotten, and the receiver asks by itself now and then. It
is signed in that it carries this service's own access token (ES256), which the receiver checks like any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import stamina

from astro_shared.contracts.jobs import JobView
from astro_shared.errors import AlidadeError
from astro_shared.logs import get_logger

_log = get_logger(__name__)

TokenSource = Callable[[], Awaitable[str]]
"""Returns a valid service token; called per request, so it keeps its own cache."""

_TIMEOUT = httpx.Timeout(10.0, connect=5.0)


class Callbacks:
    """Sends callbacks beside the work.

    Parameters
    ----------
    token_source
        Of this service; None sends without a token.
    """

    def __init__(self, token_source: TokenSource | None) -> None:
        self._token_source = token_source
        self._sending: set[asyncio.Task[None]] = set()

    def send(self, job: JobView, url: str | None) -> None:
        """Start telling ``url`` about the end of a job."""
        if url is None:
            return
        task = asyncio.create_task(self._send(job, url))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def close(self, wait_s: float = 2.0) -> None:
        """Give those under way a moment, then forget them."""
        if self._sending:
            _, late = await asyncio.wait(self._sending, timeout=wait_s)
            for task in late:
                task.cancel()

    async def _send(self, job: JobView, url: str) -> None:
        try:
            async for attempt in stamina.retry_context(on=_worth_retrying, attempts=4, timeout=60, wait_initial=0.2):
                with attempt:
                    await self._post(job, url)
        except (httpx.HTTPError, AlidadeError) as error:
            _log.info("callback_lost", job_id=job.id, error=str(error) or type(error).__name__)

    async def _post(self, job: JobView, url: str) -> None:
        headers = {"Content-Type": "application/json"}
        if self._token_source is not None:
            headers["Authorization"] = f"Bearer {await self._token_source()}"
        async with httpx.AsyncClient(timeout=_TIMEOUT, follow_redirects=False, trust_env=False) as client:
            response = await client.post(url, content=job.model_dump_json(), headers=headers)
            response.raise_for_status()


def _worth_retrying(error: Exception) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= 500 or error.response.status_code == 429
    return isinstance(error, httpx.TransportError) or (isinstance(error, AlidadeError) and error.retryable)
