"""One shape for every error that leaves a service: RFC 9457 problem documents."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from astro_shared.errors import AlidadeError
from astro_shared.web.context import current_request

__all__ = ["HTTP_CODES", "FieldProblem", "Problem", "install_problem_handlers", "problem_response"]

MEDIA_TYPE = "application/problem+json"

#: Codes of refusals by the web framework, which have no class of ours.
HTTP_CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    409: "conflict",
    413: "payload_too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
    429: "too_many_requests",
    500: "internal_error",
    502: "upstream_failed",
    503: "unavailable",
    504: "upstream_timeout",
}

_INTERNAL_FACTS = frozenset({"errors", "upstream_status", "service"})
_log = structlog.get_logger("astro_shared.web")


class FieldProblem(BaseModel):
    """What is wrong with one field of a request."""

    pointer: str = Field(
        title="Where",
        description="JSON pointer that begins with body, query, path or header.",
        examples=["/body/frame"],
    )
    code: str = Field(title="What kind", examples=["missing"])
    message: str = Field(title="In words", examples=["Field required"])


class Problem(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(title="Kind of problem", description="A stable URI.", examples=["urn:alidade:problem:not_found"])
    title: str = Field(title="The status in words", examples=["Not Found"])
    status: int = Field(title="HTTP status", examples=[404])
    detail: str = Field(title="What happened", examples=["There is no such reduction."])
    instance: str = Field(title="Path of the request", examples=["/api/v1/reductions/42"])
    code: str = Field(title="Stable code for programs", examples=["not_found"])
    trace_id: str | None = Field(default=None, title="Trace id, to be quoted to the operator")
    errors: list[FieldProblem] = Field(default_factory=list, title="Fields at fault")


def problem_response(
    path: str,
    *,
    status: int,
    code: str,
    detail: str,
    errors: Sequence[FieldProblem] = (),
    facts: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Build the answer for one error.

    Parameters
    ----------
    path : path of the request, without its query (which may hold signatures)
    facts : typed attributes of the error, added as extension members
    headers : further headers, such as ``Retry-After``
    """
    context = current_request()
    problem = Problem(
        type=f"urn:alidade:problem:{code}",
        title=_title(status),
        status=status,
        detail=detail,
        instance=path,
        code=code,
        trace_id=context.trace_id if context else None,
        errors=list(errors),
    )
    document = {name: _plain(value) for name, value in (facts or {}).items() if name not in Problem.model_fields}
    document.update(problem.model_dump())
    body = json.dumps(document, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")
    return Response(body, status_code=status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def install_problem_handlers(app: FastAPI) -> None:
    """Turn every error of ``app`` into a problem document."""
    # The framework's type for handlers takes any Exception; it passes the registered class only.
    app.add_exception_handler(AlidadeError, _on_alidade_error)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _on_validation_error)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, _on_http_exception)  # type: ignore[arg-type]


async def _on_alidade_error(request: Request, error: AlidadeError) -> Response:
    if error.status >= 500:
        _log.warning("request_failed", code=error.code, status=error.status, error=str(error))
    facts = error.details
    return problem_response(
        request.url.path,
        status=error.status,
        code=error.code,
        detail=str(error),
        facts={name: value for name, value in facts.items() if name not in _INTERNAL_FACTS},
        errors=[item for item in facts.get("errors", ()) if isinstance(item, FieldProblem)],
        headers=_headers_of(error),
    )


async def _on_validation_error(request: Request, error: RequestValidationError) -> Response:
    errors = [
        FieldProblem(pointer=_pointer(item["loc"]), code=str(item["type"]), message=_readable(str(item["msg"])))
        for item in error.errors()[:100]
    ]
    first = errors[0] if errors else None
    detail = f"{first.pointer}: {first.message}" if first else "The request is not valid."
    if len(errors) > 1:
        detail += f" ({len(errors)} fields are at fault)"
    return problem_response(request.url.path, status=422, code="invalid_request", detail=detail, errors=errors)


async def _on_http_exception(request: Request, error: HTTPException) -> Response:
    code = getattr(error, "code", None) or _code_of(error.status_code)
    return problem_response(
        request.url.path,
        status=error.status_code,
        code=code,
        detail=str(error.detail),
        headers=error.headers,
    )


def _code_of(status: int) -> str:
    other = HTTP_CODES[500] if status >= 500 else HTTP_CODES[400]
    return HTTP_CODES.get(status, other)


def _headers_of(error: AlidadeError) -> dict[str, str]:
    headers: dict[str, str] = {}
    retry_after_s = error.details.get("retry_after_s")
    if retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(float(retry_after_s))))
    elif error.status == 503:
        headers["Retry-After"] = "5"
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="alidade"'
    return headers


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _pointer(location: Sequence[str | int]) -> str:
    return "/" + "/".join(str(part).replace("~", "~0").replace("/", "~1") for part in location)


def _readable(message: str) -> str:
    return message.removeprefix("Value error, ")


def _plain(value: Any) -> Any:
    """Keep what JSON has, say the rest as text."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return str(value)
