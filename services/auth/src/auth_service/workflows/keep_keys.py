"""Keys of third parties: stored sealed, never read back in clear by anybody but the worker that uses them."""

from __future__ import annotations

from astro_shared.clients.sealed_keys import KeyRing, SealedSecret
from auth_service.domain.accounts import Origin
from auth_service.errors import TooManyTokensError, UnknownKeyError
from auth_service.ports import Clock, OpenUnit, StoredKey, audit_record
from auth_service.workflows.accounts import active_account

MAX_KEYS = 50
SHOW_FROM_CHARACTERS = 12
BATCH = 100


class KeepKeys:
    """Stores, lists, deletes and hands out sealed keys."""

    def __init__(self, open_unit: OpenUnit, ring: KeyRing, clock: Clock) -> None:
        self._open_unit = open_unit
        self._ring = ring
        self._clock = clock

    async def store(self, user_id: str, name: str, value: str, origin: Origin) -> StoredKey:
        """Store or replace a key."""
        now = self._clock()
        sealed = self._ring.seal(value.encode(), owner=user_id, name=name)
        key = StoredKey(
            user_id=user_id,
            name=name,
            key_version=sealed.key_version,
            wrapped_key=sealed.wrapped_key,
            ciphertext=sealed.ciphertext,
            last4=value[-4:] if len(value) >= SHOW_FROM_CHARACTERS else None,
            updated_at=now,
        )
        async with self._open_unit() as unit:
            await active_account(unit, user_id)
            others = [other for other in await unit.keys.all_of(user_id) if other.name != name]
            if len(others) >= MAX_KEYS:
                raise TooManyTokensError(f"There are {len(others)} keys already; delete one first.")
            await unit.keys.put(key)
            await unit.audit.add(audit_record(now, "key_stored", origin, actor=user_id, name=name))
        return key

    async def list(self, user_id: str) -> list[StoredKey]:
        """Return the user's keys, sealed."""
        async with self._open_unit() as unit:
            return await unit.keys.all_of(user_id)

    async def delete(self, user_id: str, name: str, origin: Origin) -> None:
        """Delete a key."""
        async with self._open_unit() as unit:
            if not await unit.keys.delete(user_id, name):
                raise UnknownKeyError(f"There is no key {name}.")
            await unit.audit.add(audit_record(self._clock(), "key_deleted", origin, actor=user_id, name=name))

    async def hand_out(self, user_id: str, name: str, origin: Origin, *, service: str) -> StoredKey:
        """Return a sealed key to the service that will use it, and note that it did."""
        async with self._open_unit() as unit:
            key = await unit.keys.get(user_id, name)
            if key is None:
                raise UnknownKeyError(f"There is no key {name}.")
            record = audit_record(self._clock(), "key_used", origin, actor=service, subject=user_id, name=name)
            await unit.audit.add(record)
        return key

    async def rewrap_all(self, origin: Origin) -> int:
        """Seal all data keys with the current key-encryption key; return how many were changed."""
        changed = 0
        while True:
            async with self._open_unit() as unit:
                batch = await unit.keys.not_sealed_with(self._ring.current_version, BATCH)
                for key in batch:
                    sealed = SealedSecret(key.key_version, key.wrapped_key, key.ciphertext)
                    new = self._ring.rewrap(sealed, owner=key.user_id, name=key.name)
                    await unit.keys.put(
                        StoredKey(
                            user_id=key.user_id,
                            name=key.name,
                            key_version=new.key_version,
                            wrapped_key=new.wrapped_key,
                            ciphertext=new.ciphertext,
                            last4=key.last4,
                            updated_at=key.updated_at,
                        )
                    )
                if batch:
                    record = audit_record(self._clock(), "keys_rewrapped", origin, actor="operator", count=len(batch))
                    await unit.audit.add(record)
            if not batch:
                return changed
            changed += len(batch)
