"""Settings, sealed keys, signing keys and the audit log in PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from auth_service.adapters.tables import audit_events, signing_keys, third_party_keys, user_settings
from auth_service.domain.sessions import StoredSigningKey
from auth_service.ports import AuditRecord, StoredKey, StoredSettings

_KEY_LOCK = 0x616C6B79


class SettingsStore:
    """`auth_service.ports.UserSettings` on a connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def get(self, user_id: str) -> StoredSettings:
        """Return what was saved."""
        statement = select(user_settings).where(user_settings.c.user_id == user_id)
        row = (await self._connection.execute(statement)).first()
        return StoredSettings(row.sections, row.version) if row else StoredSettings({}, 0)

    async def put(self, user_id: str, sections: Mapping[str, Mapping[str, Any]], *, version: int, at: datetime) -> bool:
        """Replace what is still at ``version``."""
        values = {"sections": sections, "version": version + 1, "updated_at": at}
        if version == 0:
            new = insert(user_settings).values(user_id=user_id, **values).on_conflict_do_nothing()
            result = await self._connection.execute(new.returning(user_settings.c.version))
        else:
            at_version = (user_settings.c.user_id == user_id) & (user_settings.c.version == version)
            changed = update(user_settings).where(at_version).values(values)
            result = await self._connection.execute(changed.returning(user_settings.c.version))
        return result.first() is not None


class KeyStore:
    """`auth_service.ports.ThirdPartyKeys` on a connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def put(self, key: StoredKey) -> None:
        """Store or replace a key."""
        values = {
            "key_version": key.key_version,
            "wrapped_key": key.wrapped_key,
            "ciphertext": key.ciphertext,
            "last4": key.last4,
            "updated_at": key.updated_at,
        }
        statement = insert(third_party_keys).values(user_id=key.user_id, name=key.name, **values)
        await self._connection.execute(statement.on_conflict_do_update(index_elements=["user_id", "name"], set_=values))

    async def get(self, user_id: str, name: str) -> StoredKey | None:
        """Return a key."""
        statement = select(third_party_keys).where(_named(user_id, name))
        row = (await self._connection.execute(statement)).first()
        return _key(row) if row else None

    async def all_of(self, user_id: str) -> list[StoredKey]:
        """Return the keys of a user."""
        table = third_party_keys.c
        statement = select(third_party_keys).where(table.user_id == user_id).order_by(table.name)
        return [_key(row) for row in await self._connection.execute(statement)]

    async def not_sealed_with(self, key_version: str, limit: int) -> list[StoredKey]:
        """Return some keys of other versions, locked."""
        table = third_party_keys.c
        statement = (
            select(third_party_keys)
            .where(table.key_version != key_version)
            .order_by(table.user_id, table.name)
            .limit(limit)
            .with_for_update()
        )
        return [_key(row) for row in await self._connection.execute(statement)]

    async def delete(self, user_id: str, name: str) -> bool:
        """Delete a key."""
        return (await self._connection.execute(delete(third_party_keys).where(_named(user_id, name)))).rowcount == 1


class SigningKeyStore:
    """`auth_service.ports.SigningKeys` on a connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def published(self, now: datetime) -> list[StoredSigningKey]:
        """Return the keys that are not retired, newest first."""
        table = signing_keys.c
        statement = (
            select(signing_keys)
            .where(or_(table.retired_at.is_(None), table.retired_at > now))
            .order_by(table.active_from.desc(), table.kid)
        )
        return [
            StoredSigningKey(row.kid, row.public_jwk, row.sealed_private, row.active_from, row.retired_at)
            for row in await self._connection.execute(statement)
        ]

    async def add(self, key: StoredSigningKey) -> None:
        """Store a key."""
        statement = insert(signing_keys).values(
            kid=key.kid, public_jwk=key.public_jwk, sealed_private=key.sealed_private, active_from=key.active_from
        )
        await self._connection.execute(statement)

    async def retire_others(self, kid: str, at: datetime) -> None:
        """Set the end of every other key."""
        table = signing_keys.c
        statement = update(signing_keys).where(table.kid != kid, table.retired_at.is_(None)).values(retired_at=at)
        await self._connection.execute(statement)

    async def lock(self) -> None:
        """Let one unit at a time make keys."""
        await self._connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _KEY_LOCK})


class AuditStore:
    """`auth_service.ports.AuditLog` on a connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add(self, record: AuditRecord) -> None:
        """Append a line."""
        statement = insert(audit_events).values(
            at=record.at,
            event=record.event,
            outcome=record.outcome,
            actor=record.actor,
            subject=record.subject,
            source=record.source,
            request_id=record.request_id,
            facts=record.facts,
        )
        await self._connection.execute(statement)

    async def newest(self, limit: int) -> list[AuditRecord]:
        """Return the newest lines."""
        statement = select(audit_events).order_by(audit_events.c.id.desc()).limit(limit)
        return [
            AuditRecord(
                at=row.at,
                event=row.event,
                outcome=row.outcome,
                actor=row.actor,
                subject=row.subject,
                source=row.source,
                request_id=row.request_id,
                facts=row.facts,
            )
            for row in await self._connection.execute(statement)
        ]


def _named(user_id: str, name: str) -> Any:
    return (third_party_keys.c.user_id == user_id) & (third_party_keys.c.name == name)


def _key(row: Row[Any]) -> StoredKey:
    return StoredKey(
        user_id=row.user_id,
        name=row.name,
        key_version=row.key_version,
        wrapped_key=row.wrapped_key,
        ciphertext=row.ciphertext,
        last4=row.last4,
        updated_at=row.updated_at,
    )
