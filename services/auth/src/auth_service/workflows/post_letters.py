"""Put letters into the outbox, in the transaction of what they tell of: both happen or neither does."""

from __future__ import annotations

import uuid

from auth_service.domain.accounts import Account, Origin
from auth_service.domain.mail import LetterKind, QueuedLetter
from auth_service.errors import MailNotConfiguredError
from auth_service.ports import Clock, Unit


class PostLetters:
    """Writes letters into the outbox.

    Parameters
    ----------
    enabled : whether this server sends mail; without it nothing is written
    """

    def __init__(self, clock: Clock, *, enabled: bool) -> None:
        self._clock = clock
        self._enabled = enabled

    def require_mail(self) -> None:
        """Raise MailNotConfiguredError where this server sends no mail."""
        if not self._enabled:
            raise MailNotConfiguredError("This server sends no mail; ask its operator.")

    async def put(
        self,
        unit: Unit,
        kind: LetterKind,
        *,
        recipient: str | None = None,
        user_id: str | None = None,
        account: str | None = None,
        **facts: str,
    ) -> None:
        """Let a letter wait."""
        if not self._enabled:
            return
        now = self._clock()
        letter = QueuedLetter(uuid.uuid4().hex, kind, recipient, user_id, account, facts, created_at=now, due_at=now)
        await unit.outbox.put(letter)

    async def notice(self, unit: Unit, kind: LetterKind, account: Account, origin: Origin) -> None:
        """Tell the owner of an account what happened to it, at the address that the account has now."""
        if account.email is not None:
            source = origin.source or "an unknown address"
            await self.put(unit, kind, recipient=account.email, user_id=account.id, source=source)
