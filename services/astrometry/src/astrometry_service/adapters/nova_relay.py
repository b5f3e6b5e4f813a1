"""nova.astrometry.net on behalf of a job's owner: the worker has the network and opens the key, the child has neither."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx

from astro_shared.clients.user_keys import OpenKey
from astro_shared.errors import AlidadeError, NotFoundError
from astro_shared.jobs.job_types import JobRun
from astrometry_service.adapters.nova import NovaEngine
from astrometry_service.adapters.relayed_engine import answer_relayed
from astrometry_service.domain.solving import EngineStatus

__all__ = ["KEY_NAME", "NovaRelay"]

KEY_NAME = "nova_api_key"
ANSWER_S = 30.0


class NovaRelay:
    """Opens the user's key for each question and keeps it nowhere.

    Parameters
    ----------
    open_key : fetches and opens the key of a user by name; None where this process may not open any
    online : False is the operator's no
    """

    def __init__(
        self,
        open_key: OpenKey | None,
        *,
        online: bool,
        url: str,
        poll_s: float,
        proxy: str | None,
        ca_file: Path | None,
    ) -> None:
        self._open_key, self._online, self._url, self._poll_s = open_key, online, url, poll_s
        self._proxy, self._verify = proxy, True if ca_file is None else str(ca_file)

    async def status(self, owner: str, *, wanted: bool) -> EngineStatus:
        """Whether it can be asked for this user; starts no conversation with it.

        Parameters
        ----------
        wanted : the user switched it on
        """
        if wanted and not self._online:
            return EngineStatus("nova", False, "switched off by the operator")
        try:
            key = await self._key(owner) if wanted else None
        except AlidadeError:
            return EngineStatus("nova", False, "the user's key cannot be fetched at the moment", "try again later")
        with self._http() as client:
            return NovaEngine(client, key, enabled=wanted, url=self._url).status()

    async def answer(self, payload: dict[str, Any], run: JobRun) -> dict[str, Any]:
        """Answer ``solve_remote``: the conversation from login to WCS, in a thread of its own."""
        key = await self._key(run.job.owner) if self._online else None
        return await asyncio.to_thread(self._converse, key, payload)

    def _converse(self, key: str | None, payload: dict[str, Any]) -> dict[str, Any]:
        with self._http() as client:
            engine = NovaEngine(client, key, enabled=self._online, url=self._url, poll_s=self._poll_s)
            return answer_relayed(engine, payload)

    def _http(self) -> httpx.Client:
        return httpx.Client(timeout=ANSWER_S, trust_env=False, proxy=self._proxy, verify=self._verify)

    async def _key(self, owner: str) -> str | None:
        """The key, or None where none is set.

        Raises
        ------
        AlidadeError
            It is not known whether there is one.
        """
        if self._open_key is None or owner.startswith("svc:"):
            return None
        try:
            return await self._open_key(owner, KEY_NAME)
        except NotFoundError:
            return None
        except AlidadeError as error:
            if error.details.get("upstream_status") == 404 or error.status == 404:
                return None
            raise
