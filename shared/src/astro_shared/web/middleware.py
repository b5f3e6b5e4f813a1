"""What happens around every request: its names, its access log line, its last resort."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from astro_shared.web.context import new_context, request_scope
from astro_shared.web.problems import problem_response

__all__ = ["HttpMetrics", "RequestContextMiddleware"]

_QUIET_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
_log = structlog.get_logger("astro_shared.web")


class HttpMetrics:
    """Requests and their times, by route and status."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route", "status")
        self._seconds = Histogram(
            "http_request_seconds", "Time to the end of the answer", labels, registry=self.registry
        )
        self._failures = Counter("http_unhandled_errors", "Errors that no handler knew", registry=self.registry)
        self._refreshes: list[Callable[[], Awaitable[None]]] = []

    def add(self, collector: Collector, *, refresh: Callable[[], Awaitable[None]]) -> None:
        """Show the metrics of a service too; ``refresh`` is awaited before they are read."""
        self.registry.register(collector)
        self._refreshes.append(refresh)

    async def exposition(self) -> bytes:
        """All metrics as Prometheus reads them."""
        for refresh in self._refreshes:
            await refresh()
        return generate_latest(self.registry)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._seconds.labels(method, route, str(status)).observe(seconds)

    def count_failure(self) -> None:
        """Count an unhandled error."""
        self._failures.inc()


class RequestContextMiddleware:
    """Give each request an id and a trace, log it, and turn what nobody caught into a 500.

    Parameters
    ----------
    trust_request_id : keep an incoming ``X-Request-Id``
        False at the edge; true behind the gateway, which makes the header anew.
    """

    def __init__(self, app: ASGIApp, *, metrics: HttpMetrics, trust_request_id: bool) -> None:
        self._app = app
        self._metrics = metrics
        self._trust_request_id = trust_request_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        incoming_id = headers.get(b"x-request-id", b"").decode("latin-1") if self._trust_request_id else None
        context = new_context(headers.get(b"traceparent", b"").decode("latin-1"), incoming_id)
        begun = time.perf_counter()
        status = 0

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                extra = [(b"x-request-id", context.request_id.encode()), (b"x-content-type-options", b"nosniff")]
                present = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(item for item in extra if item[0] not in present)]
            await send(message)

        with (
            request_scope(context),
            structlog.contextvars.bound_contextvars(request_id=context.request_id, trace_id=context.trace_id),
        ):
            try:
                await self._app(scope, receive, send_named)
            except Exception:
                _log.exception("unhandled_error", method=scope["method"], path=scope["path"])
                self._metrics.count_failure()
                if status:
                    raise
                response = problem_response(
                    scope["path"], status=500, code="internal_error", detail="Something went wrong on our side."
                )
                await response(scope, receive, send_named)
            finally:
                self._finish(scope, status, time.perf_counter() - begun)

    def _finish(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        self._metrics.observe(scope["method"], route, status, seconds)
        if scope["path"] in _QUIET_PATHS and status < 400:
            return
        client = scope.get("client")
        _log.info(
            "http_request",
            method=scope["method"],
            path=scope["path"],
            route=route,
            status=status,
            seconds=round(seconds, 4),
            client=client[0] if client else None,
            subject=scope.get("state", {}).get("subject"),
        )
