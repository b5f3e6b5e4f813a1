"""Sessions, refresh tokens, personal access tokens and signing keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Session:
    """What a login began and a logout ends: one family of refresh tokens."""

    id: str
    user_id: str
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True)
class RefreshToken:
    """One refresh token of a session, known by its digest alone.

    Parameters
    ----------
    spent_at : when it was swapped for ``successor``
    retry_digest : digest of the idempotency key with which it was spent, if there was one
    """

    digest: bytes
    session_id: str
    issued_at: datetime
    spent_at: datetime | None = None
    successor: bytes | None = None
    retry_digest: bytes | None = None


@dataclass(frozen=True)
class PersonalToken:
    """A personal access token, known by its digest alone."""

    id: str
    user_id: str
    name: str
    digest: bytes
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    def usable_at(self, now: datetime) -> bool:
        """Return whether it can be exchanged."""
        return self.revoked_at is None and now < self.expires_at


@dataclass(frozen=True)
class StoredSigningKey:
    """A key pair; its private half is sealed."""

    kid: str
    public_jwk: dict[str, str]
    sealed_private: bytes
    active_from: datetime
    retired_at: datetime | None = None


@dataclass(frozen=True)
class IssuedSession:
    """What a login or a refresh hands out; the texts exist here only."""

    access_token: str
    expires_in_s: int
    scopes: frozenset[str]
    refresh_token: str
    refresh_expires_at: datetime


@dataclass(frozen=True)
class IssuedAccess:
    """An access token alone."""

    access_token: str
    expires_in_s: int
    scopes: frozenset[str]


@dataclass(frozen=True)
class Revocations:
    """Ended sessions and disabled users whose access tokens may still be about."""

    at: datetime
    sessions: frozenset[str]
    subjects: frozenset[str]


PERSONAL_SESSION_PREFIX = "pat-"


def personal_session(token_id: str) -> str:
    """Return the session id that stands for a personal token in access tokens and in the revocation feed."""
    return PERSONAL_SESSION_PREFIX + token_id
