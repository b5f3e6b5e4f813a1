"""Requests with hostile parameters for every operation of an application, as a web server would hand them over.

HTTP clients refuse to send most of them; a server does not. So the application is called without either.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_from_bytes, unquote

from fastapi import FastAPI
from fastapi.routing import APIRoute

__all__ = ["HOSTILE", "Outcome", "hostile_outcomes"]

HOSTILE: Mapping[str, bytes] = {
    "nul": b"a\x00b",
    "newline": b"a\r\nb",
    "tab": b"a\tb",
    "escape": b"\x1b[31m",
    "delete": b"a\x7fb",
    "latin": b"na\xefve",
    "utf8": "Ωμέγα😀".encode(),
    "surrogate": b"a\xed\xa0\x80b",
    "half a character": b"a\xf0\x9f",
    "right to left": "a\u202eb".encode(),
    "dots": b"..",
    "climbing": b"../../v1/jobs",
    "quotes": b"a'\"; DROP TABLE jobs;--",
    "braces": b"{}%s%n${x}",
    "percent": b"%2e%2e%zz",
    "number": b"9" * 400,
    "not a number": b"nan",
    "long": b"x" * 10_000,
    "empty": b"",
}
"""Texts by what is wrong with them, as bytes before any quoting."""

_HEADERS = (
    "Accept", "Authorization", "Content-Length", "Content-Type", "Cookie", "Host", "Idempotency-Key", "If-Match",
    "If-None-Match", "Last-Event-ID", "Origin", "Range", "Transfer-Encoding", "User-Agent", "X-Forwarded-For",
    "X-Request-Id", "traceparent",
)  # fmt: skip
_LONGEST_WAIT_S = 20.0
_Names = tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What one request was answered with."""

    method: str
    path: str
    place: str
    kind: str
    status: int

    def __str__(self) -> str:
        return f"{self.status} {self.method} {self.path}: {self.kind} in {self.place}"


@dataclass(frozen=True)
class _Request:
    method: str
    template: str
    place: str
    kind: str
    path: bytes
    query: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""


async def hostile_outcomes(app: FastAPI, authorization: Mapping[str, str]) -> AsyncIterator[Outcome]:
    """Send every kind of text in every parameter of every operation, one at a time.

    Parameters
    ----------
    app : with all it needs attached
    authorization : the ``Authorization`` header by path prefix; the longest prefix counts
    """
    for operation in _operations(app):
        header = max((item for item in authorization.items() if operation[1].startswith(item[0])), default=("", ""))[1]
        for request in _requests(*operation, authorization=header):
            status = await _send(app, request)
            yield Outcome(request.method, request.template, request.place, request.kind, status)


def _operations(app: FastAPI) -> Iterator[tuple[str, str, _Names, _Names, _Names]]:
    """Method, path template, parameters of path, query and header of every route, documented or not."""
    for route in _api_routes(app.routes):
        in_query = tuple(field.alias for field in _flat(route.dependant, "query_params"))
        in_header = tuple(field.alias for field in _flat(route.dependant, "header_params"))
        for method in sorted(route.methods or ()):
            yield method, route.path_format, tuple(route.param_convertors), in_query, in_header


def _api_routes(routes: Sequence[Any]) -> Iterator[APIRoute]:
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        elif (router := getattr(route, "original_router", None)) is not None:
            yield from _api_routes(router.routes)


def _flat(dependant: Any, kind: str) -> Iterator[Any]:
    yield from getattr(dependant, kind)
    for inner in dependant.dependencies:
        yield from _flat(inner, kind)


def _requests(
    method: str, template: str, in_path: _Names, in_query: _Names, in_header: _Names, *, authorization: str
) -> Iterator[_Request]:
    plain = template.format(**dict.fromkeys(in_path, "some-name")).encode()
    known = {b"authorization": authorization.encode()} if authorization else {}
    if method in ("POST", "PUT", "PATCH"):
        known |= {b"content-type": b"application/json"}

    def made(place: str, kind: str, path: bytes = plain, query: bytes = b"", **header: bytes) -> _Request:
        given = {**known, **{name.replace("_", "-").encode(): value for name, value in header.items()}}
        body = b"{}" if b"content-type" in known else b""
        return _Request(method, template, place, kind, path, query, tuple(given.items()), body)

    for number, (kind, text) in enumerate(HOSTILE.items(), start=len(template)):
        for name in in_path:
            others = {other: "some-name" for other in in_path if other != name}
            path = template.format(**others, **{name: quote_from_bytes(text, safe="")})
            yield made(f"path {name}", kind, path.encode())
        for name in in_query:
            yield made(f"query {name}", kind, query=f"{name}={quote_from_bytes(text)}".encode())
        if number % 3 == 0:
            yield made("bare query", kind, query=text)
        for name in (*in_header, *_some_headers(number)):
            yield made(f"header {name}", kind, **{name.lower().replace("-", "_"): text})
        yield made("bearer token", kind, authorization=b"Bearer " + text)


def _some_headers(number: int) -> Iterator[str]:
    """Two of those that servers and middlewares read; every operation gets all of them, each with another text."""
    for step in range(2):
        yield _HEADERS[(2 * number + step) % len(_HEADERS)]


async def _send(app: FastAPI, request: _Request) -> int:
    """Call the application as a server does: the path is unquoted, everything else stays bytes."""
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": request.method, "scheme": "http",
        "path": unquote(request.path.decode("ascii")), "raw_path": request.path, "query_string": request.query,
        "headers": [(b"host", b"test"), *request.headers], "client": ("192.0.2.1", 1), "server": ("test", 80),
        "root_path": "", "state": {},
    }  # fmt: skip
    status = 0
    ended = asyncio.Event()
    sent = False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if sent:
            await ended.wait()
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": request.body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            ended.set()

    async with asyncio.timeout(_LONGEST_WAIT_S):
        await app(scope, receive, send)  # type: ignore[arg-type]
    return status
