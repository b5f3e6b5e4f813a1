"""Reference lists, which the catalogs service keeps."""

from __future__ import annotations

from astro_shared.clients.base import ServiceClient
from astro_shared.contracts.catalogs import ReferenceConeRequest, ReferenceLists


class CatalogsClient(ServiceClient):
    """Plain requests of the catalogs service, on behalf of a user."""

    async def lists(self, user: str) -> ReferenceLists:
        return await self.request_model(ReferenceLists, "GET", "/v1/reference", on_behalf_of=user)

    async def remove(self, name: str, user: str) -> None:
        await self.request("DELETE", f"/v1/reference/{name}", on_behalf_of=user)

    async def cone(self, request: ReferenceConeRequest, user: str) -> bytes:
        """A FITS binary table."""
        answer = await self.request("POST", "/v1/reference/cone", json=request, on_behalf_of=user, idempotent=True)
        return answer.content
