"""What routes are given: the workflows, where the request came from, the refresh cookie."""

from __future__ import annotations

import ipaddress
from typing import Annotated, cast
from urllib.parse import urlsplit

from fastapi import Depends, Request, Response
from pydantic import SecretStr

from astro_shared.web.context import current_request
from auth_service.config import AuthSettings
from auth_service.domain.accounts import Origin
from auth_service.domain.sessions import IssuedSession
from auth_service.errors import ForeignOriginError, SessionEndedError
from auth_service.factory import Services

REFRESH_COOKIE = "__Host-alidade_refresh"


def services_of(request: Request) -> Services:
    """Return the workflows of this application."""
    return cast(Services, request.app.state.services)


def origin_of(request: Request) -> Origin:
    """Return where the request came from."""
    settings = services_of(request).settings
    context = current_request()
    return Origin(source=_source(request, settings), request_id=context.request_id if context else None)


ServicesDep = Annotated[Services, Depends(services_of)]
OriginDep = Annotated[Origin, Depends(origin_of)]


def refresh_token_of(request: Request, given: SecretStr | None) -> tuple[str, bool]:
    """Return the refresh token from the body, else from the cookie, and whether it was the cookie.

    Raises
    ------
    SessionEndedError
        There is neither.
    ForeignOriginError
        The cookie came from a page that is not ours.
    """
    if given is not None:
        return given.get_secret_value(), False
    cookie = request.cookies.get(REFRESH_COOKIE)
    if cookie is None:
        raise SessionEndedError("There is no refresh token; log in again.")
    settings = services_of(request).settings
    allowed = {_origin(settings.public_base_url), *map(_origin, settings.allowed_origins)}
    if request.headers.get("origin") not in allowed:
        raise ForeignOriginError("The refresh cookie is only taken from our own pages.")
    return cookie, True


def set_refresh_cookie(response: Response, issued: IssuedSession) -> None:
    """Keep the refresh token where no script of a page can read it."""
    response.set_cookie(
        REFRESH_COOKIE,
        issued.refresh_token,
        expires=issued.refresh_expires_at,
        path="/",
        secure=True,
        httponly=True,
        samesite="strict",
    )


def clear_refresh_cookie(response: Response) -> None:
    """Remove the cookie."""
    response.delete_cookie(REFRESH_COOKIE, path="/", secure=True, httponly=True, samesite="strict")


def no_store(response: Response) -> None:
    """Dependency: answers with tokens are kept nowhere."""
    response.headers["Cache-Control"] = "no-store"


def _source(request: Request, settings: AuthSettings) -> str | None:
    peer = request.client.host if request.client else None
    if peer is None or not _is_trusted(peer, settings):
        return peer
    forwarded = [item.strip() for item in request.headers.get("x-forwarded-for", "").split(",") if item.strip()]
    # From the right: what stands left of the last untrusted address was written by that address.
    return next((address for address in reversed(forwarded) if not _is_trusted(address, settings)), peer)


def _is_trusted(address: str, settings: AuthSettings) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in settings.trusted_proxies)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
