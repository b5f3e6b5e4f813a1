"""The plain pages that mailed links lead to, for platforms without a frontend of their own."""

from __future__ import annotations

from importlib.resources import files
from typing import Literal

from fastapi import APIRouter, Response

router = APIRouter(prefix="/account", include_in_schema=False)

_FILES = files("auth_service.api") / "account_pages"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@router.get("/account.js")
async def script() -> Response:
    """Return the script of the pages."""
    return _file("account.js", "text/javascript; charset=utf-8")


@router.get("/account.css")
async def style() -> Response:
    """Return the style of the pages."""
    return _file("account.css", "text/css; charset=utf-8")


@router.get("/{name}")
async def page(name: Literal["new-password", "confirm", "register"]) -> Response:
    """Return a page; it reads the token behind ``#`` of its address, which never reaches a server by itself."""
    return _file(f"{name}.html", "text/html; charset=utf-8")


def _file(name: str, media_type: str) -> Response:
    return Response((_FILES / name).read_bytes(), media_type=media_type, headers=_HEADERS)
