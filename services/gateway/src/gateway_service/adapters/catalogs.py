"""Plain questions to the catalogs service."""

from __future__ import annotations

from collections.abc import Mapping

from astro_shared.clients.base import ServiceClient, path_segment
from astro_shared.contracts.catalogs import (
    REFERENCE_LAYER_HEADER,
    REFERENCE_ROWS_HEADER,
    ReferenceConeRequest,
    ReferenceLists,
    UpstreamStates,
)


class CatalogsClient(ServiceClient):
    """Reference lists on behalf of a user, cone searches also on behalf of nobody, and the state of upstreams."""

    async def lists(self, user: str) -> ReferenceLists:
        return await self.request_model(ReferenceLists, "GET", "/v1/reference", on_behalf_of=user)

    async def remove(self, name: str, user: str) -> None:
        await self.request("DELETE", f"/v1/reference/{path_segment(name)}", on_behalf_of=user)

    async def cone(self, request: ReferenceConeRequest, user: str) -> tuple[bytes, dict[str, str]]:
        """A FITS binary table, and the headers that say where its rows come from."""
        answer = await self.request("POST", "/v1/reference/cone", json=request, on_behalf_of=user, idempotent=True)
        told = (REFERENCE_LAYER_HEADER, REFERENCE_ROWS_HEADER)
        return answer.content, {name: answer.headers[name] for name in told if name in answer.headers}

    async def cone_search(self, name: str, parameters: Mapping[str, str], user: str | None) -> tuple[bytes, str]:
        """A VOTable and its media type; parameters go on as they came."""
        answer = await self.request("GET", f"/v1/scs/{path_segment(name)}", params=parameters, on_behalf_of=user)
        return answer.content, answer.headers["content-type"]

    async def availability(self) -> bytes:
        """VOSI availability, XML."""
        return (await self.request("GET", "/v1/vosi/availability")).content

    async def upstreams(self) -> UpstreamStates:
        """State of every remote catalogue."""
        return await self.request_model(UpstreamStates, "GET", "/v1/upstreams")
