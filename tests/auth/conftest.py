"""Fakes of auth's storage, and the service built on them."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from auth_service.config import AuthSettings
from auth_service.domain.accounts import Account, AccountStatus
from auth_service.domain.mail import Letter, LetterKind, LinkPurpose, MailedLink, OutboxState, QueuedLetter
from auth_service.domain.sessions import (
    PersonalToken,
    RefreshToken,
    Revocations,
    Session,
    StoredSigningKey,
    personal_session,
)
from auth_service.errors import MailRefusedError
from auth_service.factory import Services, build_services
from auth_service.main import attach, bare_app
from auth_service.ports import AuditRecord, StoredKey, StoredSettings


@dataclass
class State:
    accounts: dict[str, Account] = field(default_factory=dict)
    changed: dict[str, datetime] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    refresh: dict[bytes, RefreshToken] = field(default_factory=dict)
    personal: dict[str, PersonalToken] = field(default_factory=dict)
    settings: dict[str, StoredSettings] = field(default_factory=dict)
    keys: dict[tuple[str, str], StoredKey] = field(default_factory=dict)
    signing: dict[str, StoredSigningKey] = field(default_factory=dict)
    audit: list[AuditRecord] = field(default_factory=list)
    outbox: dict[str, QueuedLetter] = field(default_factory=dict)
    links: dict[tuple[LinkPurpose, str], MailedLink] = field(default_factory=dict)


class MemoryAccounts:
    def __init__(self, state: State) -> None:
        self.state = state

    async def add(self, account: Account) -> bool:
        if await self.by_username(account.username):
            return False
        self.state.accounts[account.id] = account
        return True

    async def by_username(self, username: str) -> Account | None:
        return next((item for item in self.state.accounts.values() if item.username == username), None)

    async def by_address(self, address: str, limit: int) -> list[Account]:
        meant = [item for item in self.state.accounts.values() if (item.email or "").lower() == address.lower()]
        return sorted(meant, key=lambda item: (item.email_confirmed_at is None, item.created_at))[:limit]

    async def by_id(self, user_id: str) -> Account | None:
        return self.state.accounts.get(user_id)

    async def confirm_address(self, user_id: str, address: str, at: datetime) -> None:
        self._change(user_id, email=address, email_confirmed_at=at, awaits_confirmation=False)

    async def set_password(self, user_id: str, password_hash: str) -> None:
        self._change(user_id, password_hash=password_hash)

    async def set_status(self, user_id: str, status: AccountStatus, at: datetime) -> None:
        self._change(user_id, status=status)
        self.state.changed[user_id] = at

    async def erase(self, user_id: str, at: datetime) -> None:
        self._change(user_id, username=f"deleted-{user_id}", email=None, password_hash=None)
        await self.set_status(user_id, AccountStatus.DELETED, at)
        self.state.settings.pop(user_id, None)
        self.state.keys = {place: key for place, key in self.state.keys.items() if place[0] != user_id}

    def _change(self, user_id: str, **changes: Any) -> None:
        self.state.accounts[user_id] = replace(self.state.accounts[user_id], **changes)


class MemorySessions:
    def __init__(self, state: State) -> None:
        self.state = state

    async def begin(self, session: Session, token: RefreshToken) -> None:
        self.state.sessions[session.id] = session
        self.state.refresh[token.digest] = token

    async def locked_token(self, digest: bytes) -> tuple[RefreshToken, Session] | None:
        token = self.state.refresh.get(digest)
        return (token, self.state.sessions[token.session_id]) if token else None

    async def rotate(self, spent: RefreshToken, successor: RefreshToken) -> None:
        self.state.refresh[spent.digest] = spent
        self.state.refresh[successor.digest] = successor

    async def replace(self, unused: bytes, successor: RefreshToken, of: RefreshToken) -> bool:
        if unused not in self.state.refresh or self.state.refresh[unused].spent_at is not None:
            return False
        del self.state.refresh[unused]
        self.state.refresh[of.digest] = replace(of, successor=successor.digest)
        self.state.refresh[successor.digest] = successor
        return True

    async def end(self, session_id: str, at: datetime) -> None:
        session = self.state.sessions[session_id]
        if session.ended_at is None:
            self.state.sessions[session_id] = replace(session, ended_at=at)

    async def end_all(self, user_id: str, at: datetime) -> int:
        mine = [item.id for item in self.state.sessions.values() if item.user_id == user_id and item.ended_at is None]
        for session_id in mine:
            await self.end(session_id, at)
        return len(mine)


class MemoryPersonalTokens:
    def __init__(self, state: State) -> None:
        self.state = state

    async def add(self, token: PersonalToken) -> None:
        self.state.personal[token.id] = token

    async def by_id(self, token_id: str) -> PersonalToken | None:
        return self.state.personal.get(token_id)

    async def live_of(self, user_id: str, now: datetime) -> list[PersonalToken]:
        mine = [item for item in self.state.personal.values() if item.user_id == user_id and item.usable_at(now)]
        return sorted(mine, key=lambda token: token.created_at, reverse=True)

    async def mark_used(self, token_id: str, at: datetime) -> None:
        self.state.personal[token_id] = replace(self.state.personal[token_id], last_used_at=at)

    async def revoke(self, token_id: str, at: datetime) -> None:
        self.state.personal[token_id] = replace(self.state.personal[token_id], revoked_at=at)

    async def revoke_all(self, user_id: str, at: datetime) -> int:
        mine = await self.live_of(user_id, at)
        for token in mine:
            await self.revoke(token.id, at)
        return len(mine)


class MemorySettings:
    def __init__(self, state: State) -> None:
        self.state = state

    async def get(self, user_id: str) -> StoredSettings:
        return self.state.settings.get(user_id, StoredSettings({}, 0))

    async def put(self, user_id: str, sections: Mapping[str, Mapping[str, Any]], *, version: int, at: datetime) -> bool:
        if (await self.get(user_id)).version != version:
            return False
        self.state.settings[user_id] = StoredSettings(
            {name: dict(part) for name, part in sections.items()}, version + 1
        )
        return True


class MemoryKeys:
    def __init__(self, state: State) -> None:
        self.state = state

    async def put(self, key: StoredKey) -> None:
        self.state.keys[key.user_id, key.name] = key

    async def get(self, user_id: str, name: str) -> StoredKey | None:
        return self.state.keys.get((user_id, name))

    async def all_of(self, user_id: str) -> list[StoredKey]:
        return sorted((key for key in self.state.keys.values() if key.user_id == user_id), key=lambda key: key.name)

    async def not_sealed_with(self, key_version: str, limit: int) -> list[StoredKey]:
        return [key for key in self.state.keys.values() if key.key_version != key_version][:limit]

    async def delete(self, user_id: str, name: str) -> bool:
        return self.state.keys.pop((user_id, name), None) is not None


class MemorySigningKeys:
    def __init__(self, state: State) -> None:
        self.state = state

    async def published(self, now: datetime) -> list[StoredSigningKey]:
        return [key for key in self.state.signing.values() if key.retired_at is None or key.retired_at > now]

    async def add(self, key: StoredSigningKey) -> None:
        self.state.signing[key.kid] = key

    async def retire_others(self, kid: str, at: datetime) -> None:
        for other in self.state.signing.values():
            if other.kid != kid and other.retired_at is None:
                self.state.signing[other.kid] = replace(other, retired_at=at)

    async def lock(self) -> None:
        return None


class MemoryAudit:
    def __init__(self, state: State) -> None:
        self.state = state

    async def add(self, record: AuditRecord) -> None:
        self.state.audit.append(record)

    async def newest(self, limit: int) -> list[AuditRecord]:
        return self.state.audit[::-1][:limit]


class MemoryOutbox:
    def __init__(self, state: State) -> None:
        self.memory = state

    async def put(self, letter: QueuedLetter) -> None:
        self.memory.outbox[letter.id] = letter

    async def claim(self, now: datetime, *, lease: timedelta) -> QueuedLetter | None:
        due = [item for item in self.memory.outbox.values() if item.failed_at is None and item.due_at <= now]
        if not due:
            return None
        first = min(due, key=lambda item: item.due_at)
        self.memory.outbox[first.id] = replace(first, due_at=now + lease, tries=first.tries + 1)
        return self.memory.outbox[first.id]

    async def holds(self, letter_id: str) -> bool:
        return letter_id in self.memory.outbox

    async def done(self, letter_id: str) -> None:
        self.memory.outbox.pop(letter_id, None)

    async def cancel(self, kind: LetterKind, *, user_id: str | None = None, recipient: str | None = None) -> int:
        def meant(letter: QueuedLetter) -> bool:
            whose = letter.user_id == user_id if recipient is None else letter.recipient == recipient
            return letter.kind is kind and whose

        gone = [letter.id for letter in self.memory.outbox.values() if meant(letter)]
        for letter_id in gone:
            del self.memory.outbox[letter_id]
        return len(gone)

    async def put_off(self, letter_id: str, due_at: datetime, error: str) -> None:
        self.memory.outbox[letter_id] = replace(self.memory.outbox[letter_id], due_at=due_at, last_error=error)

    async def give_up(self, letter_id: str, at: datetime, error: str) -> None:
        self.memory.outbox[letter_id] = replace(self.memory.outbox[letter_id], failed_at=at, last_error=error)

    async def state(self) -> OutboxState:
        waiting = [item for item in self.memory.outbox.values() if item.failed_at is None]
        errors = [item.last_error for item in waiting if item.last_error]
        oldest = min((item.created_at for item in waiting), default=None)
        failed = [item for item in self.memory.outbox.values() if item.failed_at is not None]
        return OutboxState(len(waiting), oldest, errors[-1] if errors else None, failed)


class MemoryLinks:
    def __init__(self, state: State) -> None:
        self.state = state

    async def put(self, link: MailedLink) -> None:
        self.state.links[link.purpose, link.subject] = link

    async def get(self, purpose: LinkPurpose, digest: bytes, now: datetime) -> MailedLink | None:
        found = [link for link in await self.all_of(purpose, now) if link.digest == digest]
        return found[0] if found else None

    async def take(self, purpose: LinkPurpose, digest: bytes, now: datetime) -> MailedLink | None:
        link = await self.get(purpose, digest, now)
        return self.state.links.pop((purpose, link.subject)) if link else None

    async def all_of(self, purpose: LinkPurpose, now: datetime) -> list[MailedLink]:
        return [link for link in self.state.links.values() if link.purpose is purpose and link.expires_at > now]

    async def remove(self, purpose: LinkPurpose, subject: str) -> bool:
        return self.state.links.pop((purpose, subject), None) is not None

    async def remove_all(self, subject: str) -> None:
        self.state.links = {place: link for place, link in self.state.links.items() if place[1] != subject}


class MemoryMailer:
    """Keeps the letters; raises ``error`` instead where there is one, and refuses one recipient for the time being."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.error: Exception | None = None
        self.refuses: str | None = None

    async def send(self, letter: Letter) -> None:
        if letter.recipient == self.refuses:
            raise MailRefusedError("no", permanent=False)
        if self.error is not None:
            raise self.error
        self.letters.append(letter)


class MemoryUnit:
    def __init__(self, state: State) -> None:
        self.state = state
        self.accounts = MemoryAccounts(state)
        self.sessions = MemorySessions(state)
        self.personal_tokens = MemoryPersonalTokens(state)
        self.settings = MemorySettings(state)
        self.keys = MemoryKeys(state)
        self.signing_keys = MemorySigningKeys(state)
        self.audit = MemoryAudit(state)
        self.outbox = MemoryOutbox(state)
        self.links = MemoryLinks(state)

    async def revocations(self, since: datetime, now: datetime) -> Revocations:
        ended = {item.id for item in self.state.sessions.values() if item.ended_at and item.ended_at >= since}
        revoked = {
            personal_session(item.id)
            for item in self.state.personal.values()
            if item.revoked_at and item.revoked_at >= since
        }
        gone = {
            item.id
            for item in self.state.accounts.values()
            if not item.active and self.state.changed.get(item.id, since) >= since
        }
        return Revocations(at=now, sessions=frozenset(ended | revoked), subjects=frozenset(gone))

    async def purge(self, before: datetime) -> int:
        return 0


class Memory:
    """All of auth's storage: one unit at a time, taken back when it raises."""

    def __init__(self) -> None:
        self.state = State()
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[MemoryUnit]:
        async with self._lock:
            before = copy.deepcopy(self.state)
            try:
                yield MemoryUnit(self.state)
            except BaseException:
                self.state.__dict__.update(before.__dict__)
                raise

    def events(self, name: str) -> list[AuditRecord]:
        return [record for record in self.state.audit if record.event == name]


class MemoryCounters:
    """Counts without an end of windows."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.places: set[str] = set()

    async def add(self, bucket: str, *, window_s: int, amount: int = 1) -> tuple[int, float]:
        self.counts[bucket] = max(0, self.counts.get(bucket, 0) + amount)
        return self.counts[bucket], float(window_s)

    async def clear(self, bucket: str) -> None:
        self.counts.pop(bucket, None)

    def end_pauses(self) -> None:
        self.counts = {bucket: count for bucket, count in self.counts.items() if "-pause:" not in bucket}

    async def is_familiar(self, place: str) -> bool:
        return place in self.places

    async def remember(self, place: str) -> None:
        self.places.add(place)


class PlainHasher:
    """Costs nothing; notes what it was asked to check."""

    def __init__(self) -> None:
        self.checked: list[str | None] = []

    async def hash(self, password: str) -> str:
        return f"plain:{password}"

    async def verify(self, password: str, password_hash: str | None) -> tuple[bool, str | None]:
        self.checked.append(password_hash)
        return password_hash == f"plain:{password}", None


class Clock:
    """Tells a time that tests move."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_time(self, **amounts: float) -> None:
        self.now += timedelta(**amounts)


@dataclass
class Auth:
    """The service on fakes."""

    services: Services
    memory: Memory
    counters: MemoryCounters
    hasher: PlainHasher
    clock: Clock
    delays: list[float]
    app: FastAPI
    client: httpx.AsyncClient
    mailer: MemoryMailer

    def from_address(self, address: str) -> httpx.AsyncClient:
        """Return a client that comes from another address, without a proxy."""
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, client=(address, 1)), base_url="http://auth.test"
        )

    async def register(
        self, username: str = "ada", password: str = "a wonderful night", email: str | None = None
    ) -> str:
        body = {"username": username, "password": password, "email": email}
        answer = await self.client.post("/api/v1/auth/register", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def login(self, username: str = "ada", password: str = "a wonderful night") -> dict[str, Any]:
        answer = await self.client.post("/api/v1/auth/login", json={"username": username, "password": password})
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    async def signed_in(self, username: str = "ada") -> dict[str, str]:
        """Register and log in; return the header."""
        await self.register(username)
        return {"Authorization": f"Bearer {(await self.login(username))['access_token']}"}

    async def post(self) -> list[Letter]:
        """Empty the outbox; return the letters that were sent now."""
        assert self.services.send_letters is not None
        before = len(self.mailer.letters)
        await self.services.send_letters.all_due()
        return self.mailer.letters[before:]

    async def service(self, name: str, scopes: list[str], user: str | None = None) -> dict[str, str]:
        body = {"client_id": name, "client_secret": CLIENT_SECRETS[name], "scope": scopes, "on_behalf_of": user}
        answer = await self.client.post("/v1/tokens/service", json=body)
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}


CLIENT_SECRETS = {name: name * 8 for name in ("gateway", "catalogs", "astrometry")}


@pytest.fixture
def make_settings() -> Callable[..., AuthSettings]:
    def make(**changes: Any) -> AuthSettings:
        values: dict[str, Any] = {
            "environment": "development",
            "database_url": "postgresql://nobody@nowhere/none",
            "public_base_url": "https://alidade.test",
            "signing_secret": "1:" + "s" * 32,
            "sealing_secret": "1:" + "k" * 32,
            "mail": {"kind": "folder", "folder": "/nowhere"},
            "service_clients": {name: {"secret": secret} for name, secret in CLIENT_SECRETS.items()},
        }
        return AuthSettings(**{**values, **changes})

    return make


@pytest.fixture
def make_auth(make_settings: Callable[..., AuthSettings]) -> Callable[..., Any]:
    async def make(**changes: Any) -> Auth:
        memory, counters, hasher, clock, mailer = Memory(), MemoryCounters(), PlainHasher(), Clock(), MemoryMailer()
        settings = make_settings(**changes)
        delays: list[float] = []

        async def sleep(seconds: float) -> None:
            delays.append(seconds)

        async def check_database() -> None:
            return None

        services = build_services(
            settings,
            open_unit=memory,
            counters=counters,
            hasher=hasher,
            check_database=check_database,
            mailer=None if settings.mail.kind == "none" else mailer,
            clock=clock,
            sleep=sleep,
        )
        await services.signing_keys.ensure()
        app = bare_app()
        attach(app, services)
        transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
        client = httpx.AsyncClient(transport=transport, base_url="http://auth.test")
        return Auth(services, memory, counters, hasher, clock, delays, app, client, mailer)

    return make


@pytest.fixture
async def auth(make_auth: Callable[..., Any]) -> AsyncIterator[Auth]:
    made = await make_auth()
    yield made
    await made.client.aclose()
