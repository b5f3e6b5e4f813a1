"""Limits on request bodies, counted while they stream, and strict JSON.

The JSON parser underneath takes NaN, lone surrogates and any depth; none of them may reach a handler. Nor may the
character NUL, in a body or in an address: no text column of the database can hold it. Control characters in a path or
a header mean nothing to any route, and clients further in refuse to send them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from astro_shared.web.errors import BadJsonError, PayloadTooLargeError
from astro_shared.web.problems import problem_response

__all__ = ["BodyLimitMiddleware", "BodyLimits", "load_strict_json"]

MEBIBYTE = 1 << 20
LONGEST_ADDRESS = 8192
_CONTROL_IN_PATH = re.compile(r"[\x00-\x1f\x7f]")
_CONTROL_IN_HEADER = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_NO_QUERY = re.compile(rb"%00|[^\x21-\x7e]")
_STRANGE_TEXT = re.compile(rb"\\u(?:[dD][89a-fA-F]|0000)")


@dataclass(frozen=True)
class BodyLimits:
    """How large a request body may be.

    Parameters
    ----------
    json_bytes : bytes
        For everything that is neither multipart nor under one of ``path_bytes``.
    multipart_bytes : bytes
    parts : most fields, and most files, of a multipart body together
    depth : deepest nesting of JSON
    path_bytes : bytes by path prefix, for routes that stream raw objects
    """

    json_bytes: int = MEBIBYTE
    multipart_bytes: int = 64 * MEBIBYTE
    parts: int = 20
    depth: int = 32
    path_bytes: Mapping[str, int] = field(default_factory=dict)


def load_strict_json(body: bytes, *, max_depth: int = 32) -> Any:
    """Parse JSON as RFC 8259 has it.

    Parameters
    ----------
    body : UTF-8 text
    max_depth : deepest nesting of arrays and objects

    Raises
    ------
    BadJsonError
        Not UTF-8, not JSON, NaN or Infinity (also as an overflowing number), a lone
        surrogate, a NUL, or nested too deep.
    """
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except RecursionError:
        raise BadJsonError(f"The JSON is nested deeper than {max_depth} levels.", max_depth=max_depth) from None
    except UnicodeDecodeError:
        raise BadJsonError("The body is not UTF-8 text.") from None
    except json.JSONDecodeError as error:
        raise BadJsonError(f"The body is not JSON: {error.msg} at character {error.pos}.") from None
    except ValueError:
        raise BadJsonError("The JSON holds a number that is out of range.") from None
    _check_tree(value, max_depth=max_depth, check_text=_STRANGE_TEXT.search(body) is not None)
    return value


def _refuse_constant(name: str) -> Any:
    raise BadJsonError(f"{name} is not JSON; leave the value out or send null.")


def _check_tree(root: Any, *, max_depth: int, check_text: bool) -> None:
    # An explicit stack: recursion is what a hostile body would exhaust.
    stack: list[tuple[Any, int]] = [(root, 0)]
    while stack:
        value, depth = stack.pop()
        if isinstance(value, dict | list):
            if depth >= max_depth:
                raise BadJsonError(f"The JSON is nested deeper than {max_depth} levels.", max_depth=max_depth)
            children = value.values() if isinstance(value, dict) else value
            stack.extend((child, depth + 1) for child in children)
            if check_text and isinstance(value, dict):
                stack.extend((name, depth + 1) for name in value)
        elif isinstance(value, float) and not math.isfinite(value):
            raise BadJsonError("The JSON holds a number that is out of range.")
        elif check_text and isinstance(value, str):
            if "\x00" in value:
                raise BadJsonError("The JSON holds the character NUL.")
            if not _encodable(value):
                raise BadJsonError("The JSON holds half of a surrogate pair.")


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


class _BodyTooLarge(HTTPException):
    """Raised inside ``receive``: frameworks pass HTTPExceptions through, and nothing else."""

    code = PayloadTooLargeError.code

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(413, f"The body is larger than the {limit_bytes} bytes that this route takes.")


class BodyLimitMiddleware:
    """Refuse bodies that are too large, and JSON that is not JSON."""

    def __init__(self, app: ASGIApp, limits: BodyLimits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if (reason := _refusal_of_head(scope)) is not None:
            status, code, detail = reason
            await problem_response("/", status=status, code=code, detail=detail)(scope, receive, send)
            return
        headers = {name: value for name, value in scope["headers"] if name in (b"content-length", b"content-type")}
        content_type = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
        raw = any(scope["path"].startswith(prefix) for prefix in self._limits.path_bytes)
        limit = self._limit_for(scope["path"], content_type)
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit() or int(declared[:20]) > limit:
            await self._refuse(scope, receive, send, _BodyTooLarge(limit))
            return
        counted = _counting(receive, limit)
        if raw or not _is_json(content_type):
            await self._app(scope, counted, send)
            return
        try:
            body = await _read_all(counted)
            if body:
                load_strict_json(body, max_depth=self._limits.depth)
        except _BodyTooLarge as error:
            await self._refuse(scope, receive, send, error)
            return
        except BadJsonError as error:
            response = problem_response(scope["path"], status=error.status, code=error.code, detail=str(error))
            await response(scope, receive, send)
            return
        if body is None:
            return
        await self._app(scope, _replaying(body, receive), send)

    def _limit_for(self, path: str, content_type: bytes) -> int:
        for prefix, limit in self._limits.path_bytes.items():
            if path.startswith(prefix):
                return limit
        return self._limits.multipart_bytes if content_type == b"multipart/form-data" else self._limits.json_bytes

    @staticmethod
    async def _refuse(scope: Scope, receive: Receive, send: Send, error: _BodyTooLarge) -> None:
        response = problem_response(
            scope["path"],
            status=413,
            code=error.code,
            detail=str(error.detail),
            headers={"Connection": "close"},
        )
        await response(scope, receive, send)


def _refusal_of_head(scope: Scope) -> tuple[int, str, str] | None:
    """Status, code and sentence for an address or header that no route may see, or None."""
    if len(scope["path"]) + len(scope["query_string"]) > LONGEST_ADDRESS:
        return 414, "address_too_long", f"The address is longer than {LONGEST_ADDRESS} characters."
    if _CONTROL_IN_PATH.search(scope["path"]):
        return 400, "bad_request", "The path of the address holds a control character."
    if _NO_QUERY.search(scope["query_string"]):
        return 400, "bad_request", "The query of the address holds a character that must be quoted, or NUL."
    for name, value in scope["headers"]:
        if _CONTROL_IN_HEADER.search(value):
            return 400, "bad_request", f"The header {name.decode('latin-1')} holds a control character."
    return None


def _is_json(content_type: bytes) -> bool:
    return content_type == b"application/json" or content_type.endswith(b"+json")


def _counting(receive: Receive, limit: int) -> Receive:
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > limit:
                raise _BodyTooLarge(limit)
        return message

    return counted


async def _read_all(receive: Receive) -> bytes | None:
    """Return the whole body, or None where the client went away."""
    chunks: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)


def _replaying(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
