"""The one way to make a FastAPI application in Alidade."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from astro_shared.web.body import BodyLimitMiddleware, BodyLimits
from astro_shared.web.health import ReadinessCheck, install_health_routes
from astro_shared.web.middleware import HttpMetrics, RequestContextMiddleware
from astro_shared.web.problems import MEDIA_TYPE, Problem, install_problem_handlers
from astro_shared.web.security import Authenticator

__all__ = ["create_app", "problem_responses"]

_EXPOSED_HEADERS = ("ETag", "Link", "Location", "Retry-After", "X-Request-Id", "RateLimit", "RateLimit-Policy")
_ALLOWED_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",
    "traceparent",
)


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Declare error answers of a route, for its ``responses=``."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": "Problem", "content": content} for status in statuses}


def create_app(
    title: str,
    version: str,
    *,
    description: str = "",
    authenticator: Authenticator | None = None,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None,
    readiness: Mapping[str, ReadinessCheck] | None = None,
    limits: BodyLimits | None = None,
    cors_origins: Sequence[str] = (),
    trust_request_id: bool = True,
    docs_path: str = "/docs",
    openapi_path: str = "/openapi.json",
) -> FastAPI:
    """Make an application with the house's errors, limits, logs, health and token checks.

    Parameters
    ----------
    title, version, description : as they stand in the OpenAPI document
    authenticator : what `astro_shared.web.require` asks; may be set later as ``app.state.authenticator``
    lifespan : context manager around the life of the application
    readiness : what ``/readyz`` looks at, by name
    limits : sizes of request bodies
    cors_origins : exact origins whose pages may call; none by default
    trust_request_id : keep the caller's ``X-Request-Id``; false at the edge

    Returns
    -------
    The application, without routes of its own beyond health and metrics.
    """
    limits = limits or BodyLimits()
    metrics = HttpMetrics()
    app = FastAPI(
        title=title,
        version=version,
        description=description,
        lifespan=lifespan,
        docs_url=docs_path,
        redoc_url=None,
        openapi_url=openapi_path,
        generate_unique_id_function=_operation_id,
        responses=problem_responses(401, 403, 404, 413, 422, 429, 500, 503),
        form_limits={"max_files": limits.parts // 2, "max_fields": limits.parts // 2},
    )
    app.state.authenticator = authenticator
    app.state.metrics = metrics
    install_problem_handlers(app)
    # The last one added is the outermost.
    app.add_middleware(BodyLimitMiddleware, limits=limits)
    if cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(cors_origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=list(_ALLOWED_HEADERS),
            expose_headers=list(_EXPOSED_HEADERS),
            allow_credentials=True,
            max_age=600,
        )
    app.add_middleware(RequestContextMiddleware, metrics=metrics, trust_request_id=trust_request_id)
    install_health_routes(app, checks=readiness or {}, metrics=metrics)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _operation_id(route: APIRoute) -> str:
    """Stable operation ids, ``<tag>_<function>``."""
    tag = str(route.tags[0]) if route.tags else "default"
    return f"{tag.replace('-', '_').replace(' ', '_')}_{route.name}"


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Build the document once, with the problem shape in place of the framework's validation error."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            openapi_version=app.openapi_version,
            description=app.description,
            routes=app.routes,
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.pop("HTTPValidationError", None)
        schemas.pop("ValidationError", None)
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(problem.pop("$defs", {}))
        schemas["Problem"] = problem
        app.openapi_schema = document
    return app.openapi_schema
