"""Ask for the present password again before what matters is changed."""

from __future__ import annotations

from auth_service.domain.accounts import Account, Origin
from auth_service.errors import BadCredentialsError
from auth_service.ports import Clock, OpenUnit, PasswordHasher, audit_record
from auth_service.workflows.accounts import active_account
from auth_service.workflows.guard_attempts import GuardAttempts


class CheckPassword:
    """Makes sure that whoever holds a session knows the password too."""

    def __init__(self, open_unit: OpenUnit, hasher: PasswordHasher, guard: GuardAttempts, clock: Clock) -> None:
        self._open_unit = open_unit
        self._hasher = hasher
        self._guard = guard
        self._clock = clock

    async def __call__(self, user_id: str, password: str, origin: Origin, *, event: str) -> Account:
        """Return the account of a user who gave the right password.

        Parameters
        ----------
        event : what it is for, in the audit log, where it is refused

        Raises
        ------
        BadCredentialsError, TooManyAttemptsError, UnknownAccountError
        """
        async with self._open_unit() as unit:
            account = await active_account(unit, user_id)
        await self._guard.before_login(account.username, origin.source)
        good, _ = await self._hasher.verify(password, account.password_hash)
        if not good:
            async with self._open_unit() as unit:
                await unit.audit.add(audit_record(self._clock(), event, origin, outcome="refused", actor=user_id))
            raise BadCredentialsError("The present password is not this one.")
        await self._guard.after_login(account.username, origin.source)
        return account
