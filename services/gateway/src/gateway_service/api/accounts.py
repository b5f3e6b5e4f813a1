"""The public routes of auth, passed on as they are."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx
from fastapi import APIRouter, Request, Response

from astro_shared.errors import NotFoundError, UnavailableError
from astro_shared.web import outgoing_headers
from gateway_service.api.dependencies import Factory

router = APIRouter(include_in_schema=False)
PREFIXES = ("/api/v1/auth", "/api/v1/me", "/api/v1/admin/mail", "/api/v1/admin/invitations")
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_SENT = (
    b"authorization",
    b"content-type",
    b"accept",
    b"if-match",
    b"if-none-match",
    b"cookie",
    b"origin",
    b"idempotency-key",
    b"user-agent",
)
_RETURNED = (
    "content-type",
    "etag",
    "location",
    "retry-after",
    "www-authenticate",
    "cache-control",
    "content-security-policy",
    "referrer-policy",
    "x-content-type-options",
    "ratelimit",
    "ratelimit-policy",
)


@router.get("/.well-known/jwks.json")
@router.api_route("/api/v1/auth/{rest:path}", methods=_METHODS)
@router.api_route("/api/v1/me", methods=_METHODS)
@router.api_route("/api/v1/me/{rest:path}", methods=_METHODS)
@router.get("/api/v1/admin/mail")
@router.post("/api/v1/admin/mail:test")
@router.api_route("/api/v1/admin/invitations", methods=["GET", "POST"])
@router.delete("/api/v1/admin/invitations/{rest:path}")
@router.get("/account/{rest}")
async def pass_on(request: Request, factory: Factory) -> Response:
    """Headers of the caller are taken by name; its address is told as this gateway saw it."""
    # as bytes: a header may hold any, and text would have to be ASCII
    headers = [(name, value) for name, value in request.headers.raw if name in _SENT]
    headers += [(name.encode(), value.encode()) for name, value in outgoing_headers().items()]
    if request.client is not None:
        headers.append((b"x-forwarded-for", request.client.host.encode()))
    try:
        answer = await factory.http.request(
            request.method,
            factory.settings.auth_url + _public_path(request),
            params=str(request.query_params),
            content=await request.body(),
            headers=headers,
        )
    except httpx.TransportError:
        raise UnavailableError("Accounts cannot be reached at the moment.", retry_after_s=2) from None
    response = Response(answer.content, status_code=answer.status_code)
    for name in _RETURNED:
        if name in answer.headers:
            response.headers[name] = answer.headers[name]
    for cookie in answer.headers.get_list("set-cookie"):
        response.headers.append("set-cookie", cookie)
    return response


def _public_path(request: Request) -> str:
    """Return the path, quoted anew; one that climbs (``/api/v1/auth/../..``) would reach auth's internal routes."""
    path = request.scope["path"]
    if {".", ".."} & set(path.split("/")):
        raise NotFoundError("There is nothing here.")
    return quote(path)


async def merged_openapi(own: dict[str, Any], factory: Factory) -> dict[str, Any]:
    """The one public document: this service's routes and the public ones of auth."""
    try:
        theirs = (await factory.http.get(f"{factory.settings.auth_url}/openapi.json")).json()
    except (httpx.TransportError, ValueError):
        return own
    public = {path: item for path, item in theirs.get("paths", {}).items() if path.startswith(PREFIXES)}
    schemas = theirs.get("components", {}).get("schemas", {})
    merged = {**own, "paths": {**own["paths"], **public}}
    components = own.get("components", {})
    merged["components"] = {**components, "schemas": {**schemas, **components.get("schemas", {})}}
    return merged
