"""Stages as jobs of the services that own them, over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from astro_shared.clients.base import TokenSource
from astro_shared.clients.jobs import ServiceJobsClient
from astro_shared.contracts.gateway import StageName
from astro_shared.contracts.jobs import JobCreate, JobView

OWNERS: Mapping[StageName, str] = {
    StageName.MEASURE: "photometry",
    StageName.SOLVE: "astrometry",
    StageName.CALIBRATE: "photometry",
    StageName.IDENTIFY: "catalogs",
    StageName.COLLECT: "gateway",
}


class HttpStageRunner:
    """A `StageRunner`.

    Parameters
    ----------
    urls : by service name
    tokens : gives service tokens on behalf of the owner
    callback_url : where the services tell of a final phase
    """

    def __init__(
        self, urls: Mapping[str, str], tokens: TokenSource, http: httpx.AsyncClient, *, callback_url: str
    ) -> None:
        self._urls = urls
        self._tokens = tokens
        self._http = http
        self._callback_url = callback_url

    async def start(self, stage: StageName, *, key: str, owner: str, request: Mapping[str, Any]) -> JobView:
        job = JobCreate(kind=str(stage), idempotency_key=key, request=dict(request), callback_url=self._callback_url)
        return await self.client(OWNERS[stage], owner).create(job)

    async def look(self, stage: StageName, *, job_id: str, owner: str) -> JobView:
        return await self.client(OWNERS[stage], owner).get(job_id)

    async def abort(self, stage: StageName, *, job_id: str, owner: str) -> JobView:
        return await self.client(OWNERS[stage], owner).abort(job_id)

    def client(self, service: str, owner: str | None) -> ServiceJobsClient:
        """Jobs of one service as seen for one user, or for nobody: the platform's own."""

        async def token() -> str:
            return await self._tokens.token(owner)

        return ServiceJobsClient(self._urls[service], token, client=self._http)
