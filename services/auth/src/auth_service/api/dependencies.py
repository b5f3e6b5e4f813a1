"""What routes are given: the workflows, where the request came from, the refresh cookie."""

from __future__ import annotations

from typing import Annotated, cast
from urllib.parse import urlsplit

from fastapi import Depends, Request, Response
from pydantic import SecretStr

from astro_shared.web.context import current_request
from astro_shared.web.forwarded import client_address
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
    peer = request.client.host if request.client else None
    source = client_address(peer, request.headers.getlist("x-forwarded-for"), settings.trusted_proxies)
    return Origin(source=source, request_id=context.request_id if context else None)


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


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
