"""Open an account."""

from __future__ import annotations

import uuid

from auth_service.domain.accounts import RESERVED_USERNAMES, Account, AccountStatus, Origin, normalise_username
from auth_service.domain.passwords import check_password
from auth_service.errors import BadUsernameError, RegistrationClosedError, UsernameTakenError
from auth_service.ports import Clock, OpenUnit, PasswordHasher, audit_record
from auth_service.workflows.guard_attempts import GuardAttempts


class RegisterAccount:
    """Opens accounts, if the operator lets people do so themselves."""

    def __init__(
        self, open_unit: OpenUnit, hasher: PasswordHasher, guard: GuardAttempts, clock: Clock, *, open_to_all: bool
    ) -> None:
        self._open_unit = open_unit
        self._hasher = hasher
        self._guard = guard
        self._clock = clock
        self._open_to_all = open_to_all

    async def __call__(self, username: str, password: str, email: str | None, origin: Origin) -> Account:
        """Open an account for whoever asks.

        Raises
        ------
        RegistrationClosedError, BadUsernameError, WeakPasswordError, UsernameTakenError, TooManyAttemptsError
        """
        if not self._open_to_all:
            raise RegistrationClosedError("Accounts are opened by the operator here.")
        name = normalise_username(username)
        if name in RESERVED_USERNAMES:
            raise BadUsernameError(f"The user name {name} is reserved.")
        await self._guard.before_registration(origin.source)
        return await self.create(name, password, email, origin)

    async def create(
        self, username: str, password: str, email: str | None, origin: Origin, *, role: str = "user"
    ) -> Account:
        """Open an account as the operator."""
        check_password(password, username=username)
        password_hash = await self._hasher.hash(password)
        now = self._clock()
        account = Account(
            id=uuid.uuid4().hex,
            username=username,
            email=email,
            role=role,
            status=AccountStatus.ACTIVE,
            password_hash=password_hash,
            created_at=now,
        )
        async with self._open_unit() as unit:
            if not await unit.accounts.add(account):
                raise UsernameTakenError(f"The user name {username} is in use.")
            await unit.audit.add(audit_record(now, "account_opened", origin, actor=account.id, role=role))
        return account
