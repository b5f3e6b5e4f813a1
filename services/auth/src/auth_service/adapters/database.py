"""Transactions and counters in PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy import case, delete, func, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from astro_shared.database.errors import DatabaseUnavailableError
from auth_service.adapters.account_store import AccountStore, PersonalTokenStore, SessionStore
from auth_service.adapters.document_store import AuditStore, KeyStore, SettingsStore, SigningKeyStore
from auth_service.adapters.mail_store import LinkStore, OutboxStore
from auth_service.adapters.tables import (
    counters,
    familiar_places,
    mailed_links,
    outbox,
    personal_tokens,
    sessions,
    users,
)
from auth_service.domain.accounts import AccountStatus
from auth_service.domain.sessions import Revocations, personal_session

FAMILIAR_FOR = timedelta(days=180)


def utc_now() -> datetime:
    """Return the present time, UTC."""
    return datetime.now(UTC)


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Run a block in a transaction; a database that is away becomes DatabaseUnavailableError."""
    try:
        async with engine.begin() as connection:
            yield connection
    except (OperationalError, InterfaceError, PoolTimeoutError, OSError) as error:
        raise DatabaseUnavailableError("The database does not answer.") from error
    except DBAPIError as error:
        if error.connection_invalidated:
            raise DatabaseUnavailableError("The database does not answer.") from error
        raise


class DatabaseUnit:
    """`auth_service.ports.Unit` on a connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.accounts = AccountStore(connection)
        self.sessions = SessionStore(connection)
        self.personal_tokens = PersonalTokenStore(connection)
        self.settings = SettingsStore(connection)
        self.keys = KeyStore(connection)
        self.signing_keys = SigningKeyStore(connection)
        self.audit = AuditStore(connection)
        self.outbox = OutboxStore(connection)
        self.links = LinkStore(connection)

    async def revocations(self, since: datetime, now: datetime) -> Revocations:
        """Return what was ended or disabled since a time."""
        ended = await self._connection.execute(select(sessions.c.id).where(sessions.c.ended_at >= since))
        revoked = await self._connection.execute(
            select(personal_tokens.c.id).where(personal_tokens.c.revoked_at >= since)
        )
        disabled = await self._connection.execute(
            select(users.c.id).where(users.c.status != AccountStatus.ACTIVE, users.c.status_changed_at >= since)
        )
        return Revocations(
            at=now,
            sessions=frozenset(ended.scalars()) | {personal_session(token_id) for token_id in revoked.scalars()},
            subjects=frozenset(disabled.scalars()),
        )

    async def purge(self, before: datetime) -> int:
        """Remove what ended before a time; refresh tokens go with their sessions."""
        ended = or_(sessions.c.ended_at < before, sessions.c.expires_at < before)
        spent = or_(personal_tokens.c.revoked_at < before, personal_tokens.c.expires_at < before)
        removed = 0
        for statement in (
            delete(sessions).where(ended),
            delete(personal_tokens).where(spent),
            delete(counters).where(counters.c.ends_at < before),
            delete(outbox).where(outbox.c.failed_at < before),
            delete(mailed_links).where(mailed_links.c.expires_at < before),
            delete(familiar_places).where(familiar_places.c.seen_at < before - FAMILIAR_FOR),
        ):
            removed += (await self._connection.execute(statement)).rowcount
        return removed


class DatabaseUnits:
    """Begins transactions."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[DatabaseUnit]:
        """Begin one; commit at the end of the block, roll back when it raises."""
        async with transaction(self._engine) as connection:
            yield DatabaseUnit(connection)


class DatabaseCounters:
    """`auth_service.ports.Counters`: one row per bucket, changed in one statement, each in its own transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, bucket: str, *, window_s: int, amount: int = 1) -> tuple[int, float]:
        """Add to a bucket; a window that has ended begins anew. A count never falls below zero."""
        now = func.now()
        ends_at = now + timedelta(seconds=window_s)
        over = counters.c.ends_at <= now
        statement = (
            insert(counters)
            .values(bucket=bucket, count=max(0, amount), ends_at=ends_at)
            .on_conflict_do_update(
                index_elements=["bucket"],
                set_={
                    "count": case((over, max(0, amount)), else_=func.greatest(0, counters.c.count + amount)),
                    "ends_at": case((over, ends_at), else_=counters.c.ends_at),
                },
            )
            .returning(counters.c.count, func.extract("epoch", counters.c.ends_at - now))
        )
        async with transaction(self._engine) as connection:
            count, left_s = (await connection.execute(statement)).one()
        return count, float(left_s)

    async def clear(self, bucket: str) -> None:
        """Empty a bucket."""
        async with transaction(self._engine) as connection:
            await connection.execute(delete(counters).where(counters.c.bucket == bucket))

    async def is_familiar(self, place: str) -> bool:
        """Return whether a place was remembered and is not too old."""
        table = familiar_places.c
        statement = select(table.place).where(table.place == place, table.seen_at > utc_now() - FAMILIAR_FOR)
        async with transaction(self._engine) as connection:
            return (await connection.execute(statement)).first() is not None

    async def remember(self, place: str) -> None:
        """Remember a place."""
        seen = {"seen_at": utc_now()}
        statement = insert(familiar_places).values(place=place, **seen)
        async with transaction(self._engine) as connection:
            await connection.execute(statement.on_conflict_do_update(index_elements=["place"], set_=seen))
