"""The one user of the embedded platform."""

from __future__ import annotations

import uuid
from datetime import timedelta

from auth_service.domain.accounts import LOCAL_USERNAME, Account, AccountStatus, Origin
from auth_service.domain.sessions import PersonalToken
from auth_service.ports import Clock, OpenUnit, audit_record
from auth_service.workflows.manage_personal_tokens import ManagePersonalTokens

TOKEN_NAME = "local platform"  # noqa: S105 - a label
LIFETIME = timedelta(days=3650)


class BootstrapLocal:
    """Makes sure that the user ``local`` is there, without a password, and gives it a personal token."""

    def __init__(
        self, open_unit: OpenUnit, tokens: ManagePersonalTokens, clock: Clock, *, scopes: frozenset[str]
    ) -> None:
        self._open_unit = open_unit
        self._tokens = tokens
        self._clock = clock
        self._scopes = scopes

    async def __call__(self, origin: Origin) -> tuple[Account, PersonalToken, str]:
        """Return the user, its new token and the token's text; earlier ones of this kind are revoked."""
        account = await self._account(origin)
        token, text = await self._tokens.create(
            account.id,
            name=TOKEN_NAME,
            scopes=None,
            held=self._scopes,
            lifetime=LIFETIME,
            origin=origin,
            replace_named=True,
        )
        return account, token, text

    async def _account(self, origin: Origin) -> Account:
        now = self._clock()
        new = Account(
            id=uuid.uuid4().hex,
            username=LOCAL_USERNAME,
            email=None,
            role="user",
            status=AccountStatus.ACTIVE,
            password_hash=None,
            created_at=now,
        )
        async with self._open_unit() as unit:
            if await unit.accounts.add(new):
                await unit.audit.add(audit_record(now, "account_opened", origin, actor=new.id, role="user"))
                return new
            present = await unit.accounts.by_username(LOCAL_USERNAME)
        if present is None:
            raise RuntimeError("the local user vanished while it was looked up")
        return present
