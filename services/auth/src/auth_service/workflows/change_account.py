"""Change a password; disable, enable or delete an account. Each ends every session and token at once."""

from __future__ import annotations

from auth_service.domain.accounts import Account, AccountStatus, Origin, normalise_username
from auth_service.domain.mail import LetterKind
from auth_service.domain.passwords import check_password
from auth_service.errors import UnknownAccountError
from auth_service.ports import Clock, OpenUnit, PasswordHasher, audit_record
from auth_service.workflows.accounts import active_account, end_everything
from auth_service.workflows.check_password import CheckPassword
from auth_service.workflows.post_letters import PostLetters


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

    def __init__(
        self,
        open_unit: OpenUnit,
        hasher: PasswordHasher,
        check_present: CheckPassword,
        letters: PostLetters,
        clock: Clock,
    ) -> None:
        self._open_unit = open_unit
        self._hasher = hasher
        self._check_present = check_present
        self._letters = letters
        self._clock = clock

    async def __call__(self, user_id: str, current: str, new: str, origin: Origin) -> None:
        """Change a password for its owner, and end all sessions and personal tokens.

        Raises
        ------
        BadCredentialsError, WeakPasswordError, TooManyAttemptsError
        """
        account = await self._check_present(user_id, current, origin, event="password_changed")
        await self.set(account, new, origin, actor=user_id)

    async def set(self, account: Account, new: str, origin: Origin, *, actor: str) -> None:
        """Set a password as the operator; the owner is told."""
        check_password(new, username=account.username)
        password_hash = await self._hasher.hash(new)
        now = self._clock()
        async with self._open_unit() as unit:
            await unit.accounts.set_password(account.id, password_hash)
            await end_everything(unit, account.id, now)
            await unit.audit.add(audit_record(now, "password_changed", origin, actor=actor, subject=account.id))
            await self._letters.notice(unit, LetterKind.PASSWORD_CHANGED, account, origin)


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
            await end_everything(unit, account.id, now)
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
            await end_everything(unit, account.id, now)
            await unit.accounts.erase(account.id, now)
            await unit.audit.add(audit_record(now, "account_deleted", origin, actor=actor, subject=account.id))
