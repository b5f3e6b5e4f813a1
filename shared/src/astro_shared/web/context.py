"""The request being served, for logs, error bodies and outgoing calls."""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

__all__ = ["RequestContext", "current_request", "new_context", "outgoing_headers", "request_scope"]

_TRACEPARENT = re.compile(r"^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})$")
_REQUEST_ID = re.compile(r"^[A-Za-z0-9_-]{8,64}$")


@dataclass(frozen=True)
class RequestContext:
    """Names of one request: its own id and its place in a trace (W3C Trace Context)."""

    request_id: str
    trace_id: str
    span_id: str
    flags: str = "01"

    @property
    def traceparent(self) -> str:
        """The header for calls made while serving this request."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


_current: ContextVar[RequestContext | None] = ContextVar("alidade_request", default=None)


def current_request() -> RequestContext | None:
    """Return the request being served by this task, if any."""
    return _current.get()


def new_context(traceparent: str | None, request_id: str | None) -> RequestContext:
    """Continue the caller's trace where its header is well formed, else begin one.

    Parameters
    ----------
    traceparent : the caller's header, or None
    request_id : an id to keep, or None to make one; a malformed one is replaced
    """
    match = _TRACEPARENT.match(traceparent or "")
    trace_id, flags = (match[1], match[3]) if match else (secrets.token_hex(16), "01")
    kept = request_id if request_id and _REQUEST_ID.match(request_id) else uuid.uuid4().hex
    return RequestContext(request_id=kept, trace_id=trace_id, span_id=secrets.token_hex(8), flags=flags)


@contextmanager
def request_scope(context: RequestContext) -> Iterator[RequestContext]:
    """Make ``context`` the current request inside the block (workers use it for a job)."""
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)


def outgoing_headers() -> dict[str, str]:
    """Return the headers that carry the current request's names to another service."""
    context = _current.get()
    if context is None:
        return {}
    return {"traceparent": context.traceparent, "X-Request-Id": context.request_id}
