"""Who is asking, and whether they may."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import structlog
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from astro_shared.errors import ForbiddenError
from astro_shared.web.errors import InvalidTokenError, RevocationsStaleError
from astro_shared.web.tokens import TokenClaims, TokenVerifier

__all__ = [
    "Authenticator",
    "Principal",
    "RevocationSnapshot",
    "RevocationSource",
    "bearer_token",
    "current_principal",
    "require",
    "require_service",
    "require_user",
]

SERVICE_PREFIX = "svc:"
STALE_AFTER_S = 60.0
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_bearer = HTTPBearer(auto_error=False, scheme_name="bearer", bearerFormat="JWT", description="An access token of auth.")
_log = structlog.get_logger("astro_shared.web")


@dataclass(frozen=True)
class Principal:
    """The caller of a request.

    Parameters
    ----------
    subject : user id, or ``svc:<name>``
    user : id of the user whose things this is about: the caller, or whom a service works for; None for a
        service that works for nobody in particular
    scopes : what the token may be used for
    session : what a logout ends
    """

    subject: str
    user: str | None
    scopes: frozenset[str]
    is_service: bool
    on_behalf_of: str | None = None
    session: str | None = None
    token_id: str | None = None

    @property
    def user_id(self) -> str:
        """The user this is about; a ForbiddenError where there is none."""
        if self.user is None:
            raise ForbiddenError("This needs a user; the token speaks for a service alone.")
        return self.user

    @property
    def service(self) -> str | None:
        """Name of the calling service, if it is one."""
        return self.subject.removeprefix(SERVICE_PREFIX) if self.is_service else None

    @classmethod
    def from_claims(cls, claims: TokenClaims) -> Principal:
        """Read the caller from checked claims."""
        is_service = claims.subject.startswith(SERVICE_PREFIX)
        if claims.on_behalf_of is not None and not is_service:
            raise InvalidTokenError("Only a service can act for somebody.")
        return cls(
            subject=claims.subject,
            user=claims.on_behalf_of if is_service else claims.subject,
            scopes=claims.scopes,
            is_service=is_service,
            on_behalf_of=claims.on_behalf_of,
            session=claims.session,
            token_id=claims.token_id,
        )


@dataclass(frozen=True)
class RevocationSnapshot:
    """Ended sessions and disabled users, as known at ``fetched_at_s`` (monotonic seconds)."""

    sessions: frozenset[str]
    subjects: frozenset[str]
    fetched_at_s: float

    def covers(self, principal: Principal) -> bool:
        """Return whether the caller's token was revoked."""
        return principal.session in self.sessions or bool({principal.subject, principal.user} & self.subjects)


class RevocationSource(Protocol):
    """Where revocations come from."""

    async def snapshot(self) -> RevocationSnapshot | None:
        """Return the newest that is known, refreshed when it is older than the polling interval; None if never had."""
        ...


class Authenticator:
    """Turns a bearer token into a `Principal`.

    Revocations that are older than ``stale_after_s`` are not believed: writes are then refused, and
    without any revocations ever known everything is. Reads go on, since a token lives 15 minutes at most.
    """

    def __init__(
        self,
        verifier: TokenVerifier,
        revocations: RevocationSource,
        *,
        stale_after_s: float = STALE_AFTER_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._verifier = verifier
        self._revocations = revocations
        self._stale_after_s = stale_after_s
        self._monotonic = monotonic

    async def authenticate(self, token: str, *, write: bool) -> Principal:
        """Return the caller.

        Parameters
        ----------
        token : the bearer token
        write : whether the request changes anything

        Raises
        ------
        InvalidTokenError
            The token is not valid, or was revoked.
        RevocationsStaleError
            It cannot be known whether it was revoked.
        """
        principal = Principal.from_claims(await self._verifier.verify(token))
        snapshot = await self._revocations.snapshot()
        if snapshot is None:
            raise RevocationsStaleError("It cannot be checked at the moment whether this token is still valid.")
        if snapshot.covers(principal):
            raise InvalidTokenError("The token was revoked.")
        if write and self._monotonic() - snapshot.fetched_at_s > self._stale_after_s:
            raise RevocationsStaleError("It cannot be checked at the moment whether this token is still valid.")
        return principal


def bearer_token(request: Request) -> str | None:
    """Return the bearer token of a request, or None."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


async def current_principal(
    request: Request, _credentials: HTTPAuthorizationCredentials | None = Depends(_bearer)
) -> Principal:
    """FastAPI dependency: the caller, whatever the scopes."""
    token = bearer_token(request)
    if token is None:
        raise InvalidTokenError("This needs an access token: send it as 'Authorization: Bearer ...'.")
    authenticator: Authenticator = request.app.state.authenticator
    try:
        principal = await authenticator.authenticate(token, write=request.method not in _SAFE_METHODS)
    except InvalidTokenError as error:
        _log.warning("access_denied", reason=str(error), path=request.url.path)
        raise
    request.state.subject = principal.subject
    return principal


def require(*scopes: str) -> Callable[..., Awaitable[Principal]]:
    """Build a dependency that returns the caller and insists on every one of ``scopes``.

    Use it as ``principal: Annotated[Principal, Depends(require(Scope.JOBS_WRITE))]``.
    """

    async def checked(principal: Principal = Depends(current_principal)) -> Principal:
        missing = sorted(set(map(str, scopes)) - principal.scopes)
        if missing:
            _log.warning("access_denied", reason="scope", missing=missing, subject=principal.subject)
            raise ForbiddenError(f"The token lacks the scope {', '.join(missing)}.", missing_scopes=missing)
        return principal

    return checked


def require_user(*scopes: str) -> Callable[..., Awaitable[Principal]]:
    """Like `require`, and the caller is a user, not a service."""

    async def checked(principal: Principal = Depends(require(*scopes))) -> Principal:
        if principal.is_service:
            raise ForbiddenError("This is for users, not for services.")
        return principal

    return checked


def require_service(*scopes: str) -> Callable[..., Awaitable[Principal]]:
    """Like `require`, and the caller is a service."""

    async def checked(principal: Principal = Depends(require(*scopes))) -> Principal:
        if not principal.is_service:
            raise ForbiddenError("This is for services.")
        return principal

    return checked
