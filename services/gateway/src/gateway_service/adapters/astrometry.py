"""Plain questions to the astrometry service."""

from __future__ import annotations

from astro_shared.clients.base import ServiceClient
from astro_shared.contracts.astrometry import EnginesView, TransformRequest, TransformResult
from astro_shared.contracts.frames import FrameFootprint


class AstrometryClient(ServiceClient):
    """Engines and transforms, on behalf of a user."""

    async def engines(self, user: str) -> EnginesView:
        return await self.request_model(EnginesView, "GET", "/v1/engines", on_behalf_of=user)

    async def transform(self, request: TransformRequest, user: str) -> TransformResult:
        return await self.request_model(
            TransformResult, "POST", "/v1/transform", json=request, on_behalf_of=user, idempotent=True
        )

    async def frames_at(self, user: str, ra_deg: float, dec_deg: float) -> list[FrameFootprint]:
        answer = await self.request("GET", "/v1/frames", params={"ra": ra_deg, "dec": dec_deg}, on_behalf_of=user)
        return [FrameFootprint.model_validate(item) for item in answer.json()]
