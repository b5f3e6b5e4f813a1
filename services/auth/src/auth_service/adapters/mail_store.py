"""The outbox and mailed links in PostgreSQL."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from auth_service.adapters.tables import mailed_links, outbox
from auth_service.domain.mail import LetterKind, LinkPurpose, MailedLink, OutboxState, QueuedLetter

_FAILED_SHOWN = 50


class OutboxStore:
    """`auth_service.ports.Outbox` on a connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def put(self, letter: QueuedLetter) -> None:
        """Let a letter wait."""
        await self._connection.execute(
            insert(outbox).values(
                id=letter.id,
                kind=letter.kind.value,
                recipient=letter.recipient,
                user_id=letter.user_id,
                account=letter.account,
                facts=letter.facts,
                created_at=letter.created_at,
                due_at=letter.due_at,
                tries=letter.tries,
            )
        )

    async def claim(self, now: datetime, *, lease: timedelta) -> QueuedLetter | None:
        """Return the letter that is due longest, kept from others for the lease."""
        table = outbox.c
        due = (
            select(table.id)
            .where(table.failed_at.is_(None), table.due_at <= now)
            .order_by(table.due_at)
            .limit(1)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        claimed = update(outbox).where(table.id == due).values(due_at=now + lease, tries=table.tries + 1)
        row = (await self._connection.execute(claimed.returning(*table))).first()
        return _letter(row) if row else None

    async def holds(self, letter_id: str) -> bool:
        """Return whether a letter is still there, locked, so that nobody cancels it meanwhile."""
        found = await self._connection.execute(select(outbox.c.id).where(outbox.c.id == letter_id).with_for_update())
        return found.first() is not None

    async def done(self, letter_id: str) -> None:
        """Remove a letter that needs no more work."""
        await self._connection.execute(delete(outbox).where(outbox.c.id == letter_id))

    async def cancel(self, kind: LetterKind, *, user_id: str | None = None, recipient: str | None = None) -> int:
        """Remove the letters of a kind that wait for a user or an address."""
        table = outbox.c
        whose = table.user_id == user_id if recipient is None else func.lower(table.recipient) == recipient.lower()
        return (await self._connection.execute(delete(outbox).where(table.kind == kind.value, whose))).rowcount

    async def put_off(self, letter_id: str, due_at: datetime, error: str) -> None:
        """Try again later."""
        changed = update(outbox).where(outbox.c.id == letter_id).values(due_at=due_at, last_error=error)
        await self._connection.execute(changed)

    async def give_up(self, letter_id: str, at: datetime, error: str) -> None:
        """Keep a letter that cannot be delivered, for the operator to see."""
        changed = update(outbox).where(outbox.c.id == letter_id).values(failed_at=at, last_error=error)
        await self._connection.execute(changed)

    async def state(self) -> OutboxState:
        """Return how mail is getting on."""
        table = outbox.c
        waiting = table.failed_at.is_(None)
        count, oldest = (
            await self._connection.execute(select(func.count(), func.min(table.created_at)).where(waiting))
        ).one()
        newest_error = (
            select(table.last_error)
            .where(waiting, table.last_error.is_not(None))
            .order_by(table.due_at.desc())
            .limit(1)
        )
        failed = (
            select(outbox).where(table.failed_at.is_not(None)).order_by(table.failed_at.desc()).limit(_FAILED_SHOWN)
        )
        return OutboxState(
            waiting=count,
            oldest_at=oldest,
            last_error=(await self._connection.execute(newest_error)).scalar(),
            failed=[_letter(row) for row in await self._connection.execute(failed)],
        )


class LinkStore:
    """`auth_service.ports.MailedLinks` on a connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def put(self, link: MailedLink) -> None:
        """Store a link in place of an earlier one of its purpose and subject."""
        values = {
            "address": link.address,
            "digest": link.digest,
            "issued_at": link.issued_at,
            "expires_at": link.expires_at,
        }
        statement = insert(mailed_links).values(purpose=link.purpose.value, subject=link.subject, **values)
        await self._connection.execute(
            statement.on_conflict_do_update(index_elements=["purpose", "subject"], set_=values)
        )

    async def get(self, purpose: LinkPurpose, digest: bytes, now: datetime) -> MailedLink | None:
        """Return a link that can be used."""
        row = (await self._connection.execute(select(mailed_links).where(_usable(purpose, digest, now)))).first()
        return _link(row) if row else None

    async def take(self, purpose: LinkPurpose, digest: bytes, now: datetime) -> MailedLink | None:
        """Return a link that can be used and remove it: nobody else gets it."""
        taken = delete(mailed_links).where(_usable(purpose, digest, now)).returning(*mailed_links.c)
        row = (await self._connection.execute(taken)).first()
        return _link(row) if row else None

    async def all_of(self, purpose: LinkPurpose, now: datetime) -> list[MailedLink]:
        """Return the links of a purpose that can be used, newest first."""
        table = mailed_links.c
        usable = (table.purpose == purpose.value) & (table.expires_at > now)
        statement = select(mailed_links).where(usable).order_by(table.issued_at.desc(), table.subject)
        return [_link(row) for row in await self._connection.execute(statement)]

    async def remove(self, purpose: LinkPurpose, subject: str) -> bool:
        """Remove a link; return whether there was one."""
        table = mailed_links.c
        gone = delete(mailed_links).where(table.purpose == purpose.value, table.subject == subject)
        return (await self._connection.execute(gone)).rowcount == 1

    async def remove_all(self, subject: str) -> None:
        """Remove the links of a subject."""
        await self._connection.execute(delete(mailed_links).where(mailed_links.c.subject == subject))


def _usable(purpose: LinkPurpose, digest: bytes, now: datetime) -> Any:
    table = mailed_links.c
    return (table.digest == digest) & (table.purpose == purpose.value) & (table.expires_at > now)


def _letter(row: Row[Any]) -> QueuedLetter:
    return QueuedLetter(
        id=row.id,
        kind=LetterKind(row.kind),
        recipient=row.recipient,
        user_id=row.user_id,
        account=row.account,
        facts=row.facts,
        created_at=row.created_at,
        due_at=row.due_at,
        tries=row.tries,
        failed_at=row.failed_at,
        last_error=row.last_error,
    )


def _link(row: Row[Any]) -> MailedLink:
    return MailedLink(LinkPurpose(row.purpose), row.subject, row.address, row.digest, row.issued_at, row.expires_at)
