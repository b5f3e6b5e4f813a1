"""Reference stars, which the catalogs service keeps: asked for by the worker when its child wants them."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

from astro_shared.clients.base import ServiceClient
from astro_shared.contracts.catalogs import REFERENCE_LAYER_HEADER, ReferenceConeRequest
from astro_shared.jobs.job_types import JobRun


class CatalogsClient(ServiceClient):
    """The catalogs service, on behalf of a job's owner."""

    async def answer(self, payload: dict[str, Any], run: JobRun) -> dict[str, Any]:
        """Answer ``reference_stars``: a `ReferenceConeRequest` as JSON; gives the path of a FITS table and its layer.

        The owner is the job's, whatever the child asks for.
        """
        user = None if run.job.owner.startswith("svc:") else run.job.owner
        request = ReferenceConeRequest.model_validate(payload | {"owner": user})
        response = await self.request("POST", "/v1/reference/cone", json=request, on_behalf_of=user, idempotent=True)
        path = run.workspace / f"reference-{uuid.uuid4().hex}.fits"
        await asyncio.to_thread(path.write_bytes, response.content)
        return {"path": str(path), "layer": response.headers.get(REFERENCE_LAYER_HEADER)}
