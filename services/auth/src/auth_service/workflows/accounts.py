"""What several use cases do with an account inside their transaction."""

from __future__ import annotations

from datetime import datetime

from auth_service.domain.accounts import Account
from auth_service.domain.mail import LetterKind
from auth_service.errors import UnknownAccountError
from auth_service.ports import Unit


async def active_account(unit: Unit, user_id: str) -> Account:
    """Return an account that can be used, or raise UnknownAccountError."""
    account = await unit.accounts.by_id(user_id)
    if account is None or not account.active:
        raise UnknownAccountError("There is no such account.")
    return account


async def end_everything(unit: Unit, user_id: str, at: datetime) -> None:
    """End all sessions and personal tokens of a user, and all that was mailed or waits to be.

    A change of address that somebody else began must not outlive the password that it was begun with.
    """
    # locks the account before its letters, as writing a letter does
    await unit.accounts.by_id(user_id)
    await unit.sessions.end_all(user_id, at)
    await unit.personal_tokens.revoke_all(user_id, at)
    await unit.links.remove_all(user_id)
    await unit.outbox.cancel(LetterKind.CONFIRM, user_id=user_id)
