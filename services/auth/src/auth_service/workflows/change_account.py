"""Change a password; disable, enable or delete an account. Each ends every session and token at once."""

from __future__ import annotations

from auth_service.domain.accounts import Account, AccountStatus, Origin, normalise_username
from auth_service.domain.passwords import check_password
from auth_service.errors import BadCredentialsError, UnknownAccountError
from auth_service.ports import Clock, OpenUnit, PasswordHasher, Unit, audit_record
from auth_service.workflows.guard_attempts import GuardAttempts


class ReadAccount:
    """Looks accounts up."""

    def __init__(self, open_unit: OpenUnit) -> None:
        self._open_unit = open_unit

    async def __call__(self, user_id: str) -> Account:
        """Return an active account."""
        async with self._open_unit() as unit:
            return await active_account(unit, user_id)

    async def named(self, username: str) -> Account:
        """Return the account with this name, whatever its state."""
        async with self._open_unit() as unit:
            account = await unit.accounts.by_username(normalise_username(username))
        if account is None:
            raise UnknownAccountError(f"There is no user {username}.")
        return account


class ChangePassword:
    """Replaces passwords."""

    def __init__(self, open_unit: OpenUnit, hasher: PasswordHasher, guard: GuardAttempts, clock: Clock) -> None:
        self._open_unit = open_unit
        self._hasher = hasher
        self._guard = guard
        self._clock = clock

    async def __call__(self, user_id: str, current: str, new: str, origin: Origin) -> None:
        """Change a password for its owner, and end all sessions and personal tokens.

        Raises
        ------
        BadCredentialsError, WeakPasswordError, TooManyAttemptsError
        """
        async with self._open_unit() as unit:
            account = await active_account(unit, user_id)
        await self._guard.before_login(account.username, origin.source)
        good, _ = await self._hasher.verify(current, account.password_hash)
        if not good:
            async with self._open_unit() as unit:
                record = audit_record(self._clock(), "password_changed", origin, outcome="refused", actor=user_id)
                await unit.audit.add(record)
            raise BadCredentialsError("The present password is not this one.")
        await self._guard.after_login(account.username, origin.source)
        await self.set(account, new, origin, actor=user_id)

    async def set(self, account: Account, new: str, origin: Origin, *, actor: str) -> None:
        """Set a password as the operator."""
        check_password(new, username=account.username)
        password_hash = await self._hasher.hash(new)
        now = self._clock()
        async with self._open_unit() as unit:
            await unit.accounts.set_password(account.id, password_hash)
            await _end_everything(unit, account.id, self._clock)
            await unit.audit.add(audit_record(now, "password_changed", origin, actor=actor, subject=account.id))


class ChangeStatus:
    """Disables, enables and deletes accounts."""

    def __init__(self, open_unit: OpenUnit, clock: Clock) -> None:
        self._open_unit = open_unit
        self._clock = clock

    async def disable(self, account: Account, origin: Origin, *, actor: str) -> None:
        """Disable an account; its tokens are refused everywhere within a minute."""
        now = self._clock()
        async with self._open_unit() as unit:
            await unit.accounts.set_status(account.id, AccountStatus.DISABLED, now)
            await _end_everything(unit, account.id, self._clock)
            await unit.audit.add(audit_record(now, "account_disabled", origin, actor=actor, subject=account.id))

    async def enable(self, account: Account, origin: Origin, *, actor: str) -> None:
        """Let a disabled account be used again."""
        if account.status is AccountStatus.DELETED:
            raise UnknownAccountError("A deleted account cannot be enabled.")
        now = self._clock()
        async with self._open_unit() as unit:
            await unit.accounts.set_status(account.id, AccountStatus.ACTIVE, now)
            await unit.audit.add(audit_record(now, "account_enabled", origin, actor=actor, subject=account.id))

    async def delete(self, account: Account, origin: Origin, *, actor: str) -> None:
        """Delete an account: name, address, password, settings and keys go; its id is never used again."""
        now = self._clock()
        async with self._open_unit() as unit:
            await _end_everything(unit, account.id, self._clock)
            await unit.accounts.erase(account.id, now)
            await unit.audit.add(audit_record(now, "account_deleted", origin, actor=actor, subject=account.id))


async def active_account(unit: Unit, user_id: str) -> Account:
    """Return an account that can be used, or raise UnknownAccountError."""
    account = await unit.accounts.by_id(user_id)
    if account is None or not account.active:
        raise UnknownAccountError("There is no such account.")
    return account


async def _end_everything(unit: Unit, user_id: str, clock: Clock) -> None:
    now = clock()
    await unit.sessions.end_all(user_id, now)
    await unit.personal_tokens.revoke_all(user_id, now)
