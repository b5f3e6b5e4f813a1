"""What the workflows need from the world."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from auth_service.domain.accounts import Account, AccountStatus, Origin
from auth_service.domain.mail import Letter, LetterKind, LinkPurpose, MailedLink, OutboxState, QueuedLetter
from auth_service.domain.sessions import PersonalToken, RefreshToken, Revocations, Session, StoredSigningKey


class Clock(Protocol):
    """Tells the time."""

    def __call__(self) -> datetime:
        """Return the present time, UTC."""
        ...


class Accounts(Protocol):
    """Stored accounts."""

    async def add(self, account: Account) -> bool:
        """Store a new account; return False where its user name is in use."""
        ...

    async def by_username(self, username: str) -> Account | None:
        """Return the account with this (normalised) name."""
        ...

    async def by_address(self, address: str, limit: int) -> list[Account]:
        """Return some accounts with this address, whatever its case: those that confirmed it first, then the oldest."""
        ...

    async def by_id(self, user_id: str) -> Account | None:
        """Return the account with this id."""
        ...

    async def confirm_address(self, user_id: str, address: str, at: datetime) -> None:
        """Give an account an address that was proven to be its owner's."""
        ...

    async def set_password(self, user_id: str, password_hash: str) -> None:
        """Replace the password."""
        ...

    async def set_status(self, user_id: str, status: AccountStatus, at: datetime) -> None:
        """Disable, enable or mark as deleted."""
        ...

    async def erase(self, user_id: str, at: datetime) -> None:
        """Remove everything personal; the id stays, so that it is never used again."""
        ...


class Sessions(Protocol):
    """Stored sessions and their refresh tokens."""

    async def begin(self, session: Session, token: RefreshToken) -> None:
        """Store a new session with its first refresh token."""
        ...

    async def locked_token(self, digest: bytes) -> tuple[RefreshToken, Session] | None:
        """Return a refresh token and its session, locked against every other unit until this one ends."""
        ...

    async def rotate(self, spent: RefreshToken, successor: RefreshToken) -> None:
        """Mark a token as spent and store the one that follows it."""
        ...

    async def replace(self, unused: bytes, successor: RefreshToken, of: RefreshToken) -> bool:
        """Put ``successor`` in place of a token that was never used; return False if it was used."""
        ...

    async def end(self, session_id: str, at: datetime) -> None:
        """End a session."""
        ...

    async def end_all(self, user_id: str, at: datetime) -> int:
        """End all sessions of a user; return how many."""
        ...


class PersonalTokens(Protocol):
    """Stored personal access tokens."""

    async def add(self, token: PersonalToken) -> None:
        """Store a new one."""
        ...

    async def by_id(self, token_id: str) -> PersonalToken | None:
        """Return one."""
        ...

    async def live_of(self, user_id: str, now: datetime) -> list[PersonalToken]:
        """Return those of a user that can be used, newest first."""
        ...

    async def mark_used(self, token_id: str, at: datetime) -> None:
        """Note the last use."""
        ...

    async def revoke(self, token_id: str, at: datetime) -> None:
        """Revoke one."""
        ...

    async def revoke_all(self, user_id: str, at: datetime) -> int:
        """Revoke all of a user; return how many."""
        ...


@dataclass(frozen=True)
class StoredSettings:
    """A user's overrides and how often they were changed."""

    sections: dict[str, dict[str, Any]]
    version: int


class UserSettings(Protocol):
    """Saved processing settings."""

    async def get(self, user_id: str) -> StoredSettings:
        """Return them; version 0 and nothing where there are none."""
        ...

    async def put(self, user_id: str, sections: Mapping[str, Mapping[str, Any]], *, version: int, at: datetime) -> bool:
        """Replace them if they are still at ``version``; return False if they are not."""
        ...


@dataclass(frozen=True)
class StoredKey:
    """A third party's key, sealed."""

    user_id: str
    name: str
    key_version: str
    wrapped_key: bytes
    ciphertext: bytes
    last4: str | None
    updated_at: datetime


class ThirdPartyKeys(Protocol):
    """Sealed keys of third parties."""

    async def put(self, key: StoredKey) -> None:
        """Store or replace one."""
        ...

    async def get(self, user_id: str, name: str) -> StoredKey | None:
        """Return one."""
        ...

    async def all_of(self, user_id: str) -> list[StoredKey]:
        """Return those of a user, by name."""
        ...

    async def not_sealed_with(self, key_version: str, limit: int) -> list[StoredKey]:
        """Return some that another version sealed, locked."""
        ...

    async def delete(self, user_id: str, name: str) -> bool:
        """Delete one; return whether it was there."""
        ...


class SigningKeys(Protocol):
    """Key pairs that sign access tokens."""

    async def published(self, now: datetime) -> list[StoredSigningKey]:
        """Return those that are not retired."""
        ...

    async def add(self, key: StoredSigningKey) -> None:
        """Store one."""
        ...

    async def retire_others(self, kid: str, at: datetime) -> None:
        """Let every other key that has no such time yet retire at ``at``."""
        ...

    async def lock(self) -> None:
        """Keep other units from making keys until this one ends."""
        ...


@dataclass(frozen=True)
class AuditRecord:
    """One line of the audit log; no secrets."""

    at: datetime
    event: str
    outcome: str
    actor: str | None
    subject: str | None
    source: str | None
    request_id: str | None
    facts: dict[str, str | int | bool | None]


class AuditLog(Protocol):
    """Append-only."""

    async def add(self, record: AuditRecord) -> None:
        """Append a line."""
        ...

    async def newest(self, limit: int) -> list[AuditRecord]:
        """Return the newest lines, newest first."""
        ...


class Outbox(Protocol):
    """Letters that wait to be sent."""

    async def put(self, letter: QueuedLetter) -> None:
        """Let a letter wait."""
        ...

    async def claim(self, now: datetime, *, lease: timedelta) -> QueuedLetter | None:
        """Return the letter that is due longest, with one try more, kept from others for the lease."""
        ...

    async def holds(self, letter_id: str) -> bool:
        """Return whether a letter is still there; it is not cancelled before the unit ends."""
        ...

    async def done(self, letter_id: str) -> None:
        """Remove a letter that needs no more work."""
        ...

    async def cancel(self, kind: LetterKind, *, user_id: str | None = None, recipient: str | None = None) -> int:
        """Remove the letters of a kind that wait for a user or an address; return how many."""
        ...

    async def put_off(self, letter_id: str, due_at: datetime, error: str) -> None:
        """Try again later."""
        ...

    async def give_up(self, letter_id: str, at: datetime, error: str) -> None:
        """Keep a letter that cannot be delivered, for the operator to see."""
        ...

    async def state(self) -> OutboxState:
        """Return how mail is getting on."""
        ...


class MailedLinks(Protocol):
    """Links that were mailed, one of each purpose for a subject."""

    async def put(self, link: MailedLink) -> None:
        """Store a link in place of an earlier one of its purpose and subject."""
        ...

    async def get(self, purpose: LinkPurpose, digest: bytes, now: datetime) -> MailedLink | None:
        """Return a link that can be used."""
        ...

    async def take(self, purpose: LinkPurpose, digest: bytes, now: datetime) -> MailedLink | None:
        """Return a link that can be used and remove it: nobody else gets it."""
        ...

    async def all_of(self, purpose: LinkPurpose, now: datetime) -> list[MailedLink]:
        """Return the links of a purpose that can be used, newest first."""
        ...

    async def remove(self, purpose: LinkPurpose, subject: str) -> bool:
        """Remove a link; return whether there was one."""
        ...

    async def remove_all(self, subject: str) -> None:
        """Remove the links of a subject, whatever they are good for."""
        ...


class Mailer(Protocol):
    """Hands letters to a mail server."""

    async def send(self, letter: Letter) -> None:
        """Deliver a letter; raise MailRefusedError or MailUnreachableError where that fails."""
        ...


class Unit(Protocol):
    """One transaction."""

    @property
    def accounts(self) -> Accounts: ...
    @property
    def sessions(self) -> Sessions: ...
    @property
    def personal_tokens(self) -> PersonalTokens: ...
    @property
    def settings(self) -> UserSettings: ...
    @property
    def keys(self) -> ThirdPartyKeys: ...
    @property
    def signing_keys(self) -> SigningKeys: ...
    @property
    def audit(self) -> AuditLog: ...
    @property
    def outbox(self) -> Outbox: ...
    @property
    def links(self) -> MailedLinks: ...

    async def revocations(self, since: datetime, now: datetime) -> Revocations:
        """Return what was ended or disabled since a time."""
        ...

    async def purge(self, before: datetime) -> int:
        """Remove sessions, tokens and counters that ended before a time; return how many rows."""
        ...


OpenUnit = Callable[[], AbstractAsyncContextManager[Unit]]
"""Begins a transaction: committed at the end of the block, rolled back by an exception."""


class PasswordHasher(Protocol):
    """Hashes passwords; slow on purpose, and only so many at a time."""

    async def hash(self, password: str) -> str:
        """Return the PHC string of a password."""
        ...

    async def verify(self, password: str, password_hash: str | None) -> tuple[bool, str | None]:
        """Check a password; with None take as long and say no. The second value is a new hash to store, if due."""
        ...


class Counters(Protocol):
    """Counts within fixed windows, shared by all replicas and kept across restarts."""

    async def add(self, bucket: str, *, window_s: int, amount: int = 1) -> tuple[int, float]:
        """Add to a bucket; return its count and the seconds left in its window."""
        ...

    async def clear(self, bucket: str) -> None:
        """Empty a bucket."""
        ...

    async def is_familiar(self, place: str) -> bool:
        """Return whether this place was remembered."""
        ...

    async def remember(self, place: str) -> None:
        """Remember a place."""
        ...


class TokenSigner(Protocol):
    """Makes access tokens."""

    @property
    def lifetime_s(self) -> int:
        """Seconds that an access token lives."""
        ...

    async def sign(
        self, *, subject: str, scopes: Collection[str], session: str | None = None, on_behalf_of: str | None = None
    ) -> str:
        """Return a signed access token."""
        ...


class SettingsCheck(Protocol):
    """Knows which processing settings there are."""

    def check(self, sections: Mapping[str, Mapping[str, Any]]) -> None:
        """Raise BadSettingsError where an override does not fit."""
        ...


def audit_record(
    at: datetime,
    event: str,
    origin: Origin,
    *,
    outcome: str = "ok",
    actor: str | None = None,
    subject: str | None = None,
    **facts: str | int | bool | None,
) -> AuditRecord:
    """Write one line of the audit log."""
    return AuditRecord(
        at=at,
        event=event,
        outcome=outcome,
        actor=actor,
        subject=subject if subject is not None else actor,
        source=origin.source,
        request_id=origin.request_id,
        facts=facts,
    )
