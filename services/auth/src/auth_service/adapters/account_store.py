"""Accounts, sessions and personal tokens in PostgreSQL."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from auth_service.adapters.tables import (
    mailed_links,
    outbox,
    personal_tokens,
    refresh_tokens,
    sessions,
    third_party_keys,
    user_settings,
    users,
)
from auth_service.domain.accounts import Account, AccountStatus
from auth_service.domain.sessions import PersonalToken, RefreshToken, Session


class AccountStore:
    """`auth_service.ports.Accounts` on a connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, account: Account) -> bool:
        """Store a new account; return False where its user name is in use."""
        statement = insert(users).values(
            id=account.id,
            username=account.username,
            email=account.email,
            role=account.role,
            status=account.status.value,
            password_hash=account.password_hash,
            created_at=account.created_at,
            status_changed_at=account.created_at,
            email_confirmed_at=account.email_confirmed_at,
            awaits_confirmation=account.awaits_confirmation,
        )
        result = await self._connection.execute(
            statement.on_conflict_do_nothing(index_elements=["username"]).returning(users.c.id)
        )
        return result.first() is not None

    async def by_username(self, username: str) -> Account | None:
        """Return the account with this name."""
        row = (await self._connection.execute(select(users).where(users.c.username == username))).first()
        return _account(row)

    async def by_address(self, address: str, limit: int) -> list[Account]:
        """Return some accounts with this address, whatever its case: those that confirmed it first, then the oldest."""
        order = (users.c.email_confirmed_at.is_(None), users.c.created_at)
        statement = select(users).where(func.lower(users.c.email) == address.lower()).order_by(*order)
        found = [_account(row) for row in await self._connection.execute(statement.limit(limit))]
        return [account for account in found if account is not None]

    async def by_id(self, user_id: str) -> Account | None:
        """Return the account with this id, locked, so that nobody changes its password or state meanwhile."""
        statement = select(users).where(users.c.id == user_id).with_for_update(key_share=True)
        return _account((await self._connection.execute(statement)).first())

    async def set_password(self, user_id: str, password_hash: str) -> None:
        """Replace the password."""
        statement = update(users).where(users.c.id == user_id).values(password_hash=password_hash)
        await self._connection.execute(statement)

    async def confirm_address(self, user_id: str, address: str, at: datetime) -> None:
        """Give an account an address that was proven to be its owner's."""
        values = {"email": address, "email_confirmed_at": at, "awaits_confirmation": False}
        await self._connection.execute(update(users).where(users.c.id == user_id).values(values))

    async def set_status(self, user_id: str, status: AccountStatus, at: datetime) -> None:
        """Change the state."""
        values = {"status": status.value, "status_changed_at": at}
        await self._connection.execute(update(users).where(users.c.id == user_id).values(values))

    async def erase(self, user_id: str, at: datetime) -> None:
        """Remove everything personal."""
        for table in (user_settings, third_party_keys, outbox):
            await self._connection.execute(delete(table).where(table.c.user_id == user_id))
        await self._connection.execute(delete(mailed_links).where(mailed_links.c.subject == user_id))
        gone = {"username": f"deleted-{user_id}", "email": None, "email_confirmed_at": None, "password_hash": None}
        state = {"status": AccountStatus.DELETED.value, "status_changed_at": at}
        await self._connection.execute(update(users).where(users.c.id == user_id).values({**gone, **state}))


class SessionStore:
    """`auth_service.ports.Sessions` on a connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def begin(self, session: Session, token: RefreshToken) -> None:
        """Store a session with its first token."""
        statement = insert(sessions).values(
            id=session.id, user_id=session.user_id, created_at=session.created_at, expires_at=session.expires_at
        )
        await self._connection.execute(statement)
        await self._add(token)

    async def locked_token(self, digest: bytes) -> tuple[RefreshToken, Session] | None:
        """Return a token and its session, the token locked."""
        statement = (
            select(
                refresh_tokens,
                sessions.c.user_id,
                sessions.c.created_at,
                sessions.c.expires_at,
                sessions.c.ended_at,
            )
            .join(sessions, sessions.c.id == refresh_tokens.c.session_id)
            .where(refresh_tokens.c.digest == digest)
            .with_for_update(of=refresh_tokens)
        )
        row = (await self._connection.execute(statement)).first()
        if row is None:
            return None
        token = RefreshToken(row.digest, row.session_id, row.issued_at, row.spent_at, row.successor, row.retry_digest)
        return token, Session(row.session_id, row.user_id, row.created_at, row.expires_at, row.ended_at)

    async def rotate(self, spent: RefreshToken, successor: RefreshToken) -> None:
        """Spend a token and store its successor."""
        await self._connection.execute(
            update(refresh_tokens)
            .where(refresh_tokens.c.digest == spent.digest)
            .values(spent_at=spent.spent_at, successor=spent.successor, retry_digest=spent.retry_digest)
        )
        await self._add(successor)

    async def replace(self, unused: bytes, successor: RefreshToken, of: RefreshToken) -> bool:
        """Put another successor in place of one that was never used."""
        removed = await self._connection.execute(
            delete(refresh_tokens)
            .where(refresh_tokens.c.digest == unused, refresh_tokens.c.spent_at.is_(None))
            .returning(refresh_tokens.c.digest)
        )
        if removed.first() is None:
            return False
        await self._connection.execute(
            update(refresh_tokens).where(refresh_tokens.c.digest == of.digest).values(successor=successor.digest)
        )
        await self._add(successor)
        return True

    async def end(self, session_id: str, at: datetime) -> None:
        """End a session that has not ended."""
        statement = update(sessions).where(sessions.c.id == session_id, sessions.c.ended_at.is_(None))
        await self._connection.execute(statement.values(ended_at=at))

    async def end_all(self, user_id: str, at: datetime) -> int:
        """End all sessions of a user."""
        statement = update(sessions).where(sessions.c.user_id == user_id, sessions.c.ended_at.is_(None))
        return (await self._connection.execute(statement.values(ended_at=at))).rowcount

    async def _add(self, token: RefreshToken) -> None:
        statement = insert(refresh_tokens).values(
            digest=token.digest, session_id=token.session_id, issued_at=token.issued_at
        )
        await self._connection.execute(statement)


class PersonalTokenStore:
    """`auth_service.ports.PersonalTokens` on a connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, token: PersonalToken) -> None:
        """Store a token."""
        statement = insert(personal_tokens).values(
            id=token.id,
            user_id=token.user_id,
            name=token.name,
            digest=token.digest,
            scopes=" ".join(sorted(token.scopes)),
            created_at=token.created_at,
            expires_at=token.expires_at,
        )
        await self._connection.execute(statement)

    async def by_id(self, token_id: str) -> PersonalToken | None:
        """Return a token."""
        statement = select(personal_tokens).where(personal_tokens.c.id == token_id)
        row = (await self._connection.execute(statement)).first()
        return _personal_token(row) if row else None

    async def live_of(self, user_id: str, now: datetime) -> list[PersonalToken]:
        """Return the usable tokens of a user, newest first."""
        table = personal_tokens.c
        statement = (
            select(personal_tokens)
            .where(table.user_id == user_id, table.revoked_at.is_(None), table.expires_at > now)
            .order_by(table.created_at.desc(), table.id)
        )
        return [_personal_token(row) for row in await self._connection.execute(statement)]

    async def mark_used(self, token_id: str, at: datetime) -> None:
        """Note the last use."""
        statement = update(personal_tokens).where(personal_tokens.c.id == token_id).values(last_used_at=at)
        await self._connection.execute(statement)

    async def revoke(self, token_id: str, at: datetime) -> None:
        """Revoke a token."""
        table = personal_tokens.c
        statement = update(personal_tokens).where(table.id == token_id, table.revoked_at.is_(None))
        await self._connection.execute(statement.values(revoked_at=at))

    async def revoke_all(self, user_id: str, at: datetime) -> int:
        """Revoke all tokens of a user."""
        table = personal_tokens.c
        statement = update(personal_tokens).where(table.user_id == user_id, table.revoked_at.is_(None))
        return (await self._connection.execute(statement.values(revoked_at=at))).rowcount


def _account(row: Row[Any] | None) -> Account | None:
    if row is None:
        return None
    return Account(
        id=row.id,
        username=row.username,
        email=row.email,
        role=row.role,
        status=AccountStatus(row.status),
        password_hash=row.password_hash,
        created_at=row.created_at,
        email_confirmed_at=row.email_confirmed_at,
        awaits_confirmation=row.awaits_confirmation,
    )


def _personal_token(row: Row[Any]) -> PersonalToken:
    return PersonalToken(
        id=row.id,
        user_id=row.user_id,
        name=row.name,
        digest=row.digest,
        scopes=frozenset(row.scopes.split()),
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )
