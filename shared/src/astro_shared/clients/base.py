"""Calls from one service to another: deadlines, retries, names of the request, typed errors."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar
from urllib.parse import quote

import httpx
import stamina
from pydantic import BaseModel, ValidationError

from astro_shared.errors import AlidadeError, NotFoundError, RelayedError, UnavailableError, UpstreamError
from astro_shared.web.context import outgoing_headers

__all__ = [
    "DEFAULT_TIMEOUT",
    "ServiceClient",
    "ServiceUnreachableError",
    "TokenSource",
    "error_from_response",
    "path_segment",
]

DEFAULT_TIMEOUT = httpx.Timeout(30.0, connect=5.0)
ATTEMPTS = 3
FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 5.0
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})
_TRANSIENT = frozenset({429, 502, 503, 504})


class ServiceUnreachableError(UnavailableError):
    """A service of Alidade does not answer, or the connection broke."""

    code = "service_unreachable"


AnyModel = TypeVar("AnyModel", bound=BaseModel)


class TokenSource(Protocol):
    """Gives the token to call with."""

    async def token(self, on_behalf_of: str | None = None) -> str:
        """Return an access token that is valid for another minute at least."""
        ...


def path_segment(text: str) -> str:
    """Quote what somebody called a thing as one segment of a path.

    Raises
    ------
    NotFoundError
        It would climb or vanish in the address, so nothing is called that.
    """
    if text in ("", ".", ".."):
        raise NotFoundError(f"Nothing has the name {text!r}.")
    return quote(text, safe="")


class ServiceClient:
    """Base of the clients of our own services.

    Parameters
    ----------
    base_url : address of the service, without a path
    tokens : where bearer tokens come from; None calls without one
    http : a client to use instead of a new one, for tests (an ASGI transport)

    Notes
    -----
    A call that may be repeated without harm (GET, PUT, DELETE, or a POST with ``idempotent=True``)
    is tried three times, with jitter and honouring ``Retry-After``. Problem documents become
    `RelayedError` with the service's own code and status; everything else becomes `UpstreamError`.
    """

    def __init__(
        self,
        base_url: str,
        *,
        tokens: TokenSource | None = None,
        http: httpx.AsyncClient | None = None,
        timeout: httpx.Timeout = DEFAULT_TIMEOUT,
        attempts: int = ATTEMPTS,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._tokens = tokens
        self._timeout = timeout
        self._http = http or httpx.AsyncClient(trust_env=False)
        self._attempts = attempts

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: BaseModel | Mapping[str, Any] | None = None,
        params: Mapping[str, str | int | float] | None = None,
        headers: Mapping[str, str] | None = None,
        on_behalf_of: str | None = None,
        idempotent: bool | None = None,
        accept: frozenset[int] | set[int] = frozenset(),
    ) -> httpx.Response:
        """Call the service.

        Parameters
        ----------
        path : begins with a slash
        on_behalf_of : user id the call is for
        idempotent : whether it may be repeated; by default the method says so
        accept : statuses of 400 and above that are answers, not errors

        Raises
        ------
        RelayedError
            The service refused, with its own code, status and readiness for retries.
        ServiceUnreachableError
            It could not be reached.
        UpstreamError
            It answered something that is not ours.
        """
        repeat = method in _IDEMPOTENT if idempotent is None else idempotent
        content = json.model_dump(mode="json") if isinstance(json, BaseModel) else json
        attempts = stamina.retry_context(
            on=_delay_before_retry,
            attempts=self._attempts if repeat else 1,
            timeout=None,
            wait_initial=FIRST_WAIT_S,
            wait_jitter=FIRST_WAIT_S,
            wait_max=LONGEST_WAIT_S,
        )
        async for attempt in attempts:
            with attempt:
                sent_headers = {**outgoing_headers(), **(headers or {})}
                if self._tokens is not None:
                    sent_headers["Authorization"] = f"Bearer {await self._tokens.token(on_behalf_of)}"
                try:
                    response = await self._http.request(
                        method,
                        self._base_url + path,
                        json=content,
                        params=params,
                        headers=sent_headers,
                        timeout=self._timeout,
                    )
                except httpx.TransportError as error:
                    raise ServiceUnreachableError(f"{self._name} cannot be reached.", service=self._name) from error
                if response.status_code >= 400 and response.status_code not in accept:
                    raise self._error_from(response)
        return response

    async def request_model(self, model: type[AnyModel], method: str, path: str, **options: Any) -> AnyModel:
        """Call the service and read the answer as ``model``; options as for `request`."""
        response = await self.request(method, path, **options)
        try:
            return model.model_validate_json(response.content)
        except ValidationError as error:
            raise UpstreamError(f"{self._name} answered something unexpected.", service=self._name) from error

    @property
    def _name(self) -> str:
        return type(self).__name__.removesuffix("Client").lower() or "service"

    def _error_from(self, response: httpx.Response) -> AlidadeError:
        if response.status_code == 401 and self._tokens is not None:
            # Our own credentials were refused; the user whose request this serves did nothing wrong.
            return UpstreamError(f"{self._name} refused the token of this service.", service=self._name)
        return error_from_response(response, service=self._name)


def _delay_before_retry(error: Exception) -> bool | float:
    """Tell stamina whether to try again, and when the service itself said how long to wait."""
    if isinstance(error, ServiceUnreachableError):
        return True
    if not isinstance(error, AlidadeError) or error.details.get("upstream_status") not in _TRANSIENT:
        return False
    wait_s = error.details.get("retry_after_s")
    return True if wait_s is None else min(LONGEST_WAIT_S, float(wait_s))


def error_from_response(response: httpx.Response, *, service: str) -> AlidadeError:
    """Turn an error answer into an exception: ours by its problem document, else an UpstreamError."""
    facts: dict[str, Any] = {"upstream_status": response.status_code}
    retry_after = response.headers.get("retry-after", "")
    if retry_after.isdigit():
        facts["retry_after_s"] = int(retry_after)
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict) or not isinstance(problem.get("code"), str):
        return UpstreamError(f"{service} answered with status {response.status_code}.", service=service, **facts)
    return RelayedError(
        str(problem.get("detail", "")),
        code=problem["code"],
        status=response.status_code,
        retryable=response.status_code in _TRANSIENT,
        **facts,
    )
