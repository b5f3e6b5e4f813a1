"""Change the address of an account, and prove an address by a link that is mailed to it."""

from __future__ import annotations

from auth_service.domain.accounts import Origin
from auth_service.domain.mail import LetterKind, LinkPurpose, is_address
from auth_service.domain.secret_texts import digest, is_link_text
from auth_service.errors import BadAddressError
from auth_service.ports import Clock, OpenUnit, audit_record
from auth_service.workflows.check_password import CheckPassword
from auth_service.workflows.guard_attempts import GuardAttempts
from auth_service.workflows.post_letters import PostLetters
from auth_service.workflows.recover_account import invalid_link


class ChangeAddress:
    """Begins a change of address: the new one counts once its link was followed."""

    def __init__(self, open_unit: OpenUnit, check_password: CheckPassword, letters: PostLetters, clock: Clock) -> None:
        self._open_unit = open_unit
        self._check_password = check_password
        self._letters = letters
        self._clock = clock

    async def __call__(self, user_id: str, address: str, password: str, origin: Origin) -> None:
        """Mail a link to the new address.

        Raises
        ------
        MailNotConfiguredError, BadAddressError, BadCredentialsError, TooManyAttemptsError
        """
        self._letters.require_mail()
        if not is_address(address):
            raise BadAddressError("This is not one plain mail address.")
        account = await self._check_password(user_id, password, origin, event="address_change_requested")
        async with self._open_unit() as unit:
            await self._letters.put(unit, LetterKind.CONFIRM, recipient=address, user_id=account.id)
            await unit.audit.add(audit_record(self._clock(), "address_change_requested", origin, actor=user_id))


class ConfirmAddress:
    """Gives an account the address that its newest link was mailed to."""

    def __init__(self, open_unit: OpenUnit, guard: GuardAttempts, letters: PostLetters, clock: Clock) -> None:
        self._open_unit = open_unit
        self._guard = guard
        self._letters = letters
        self._clock = clock

    async def __call__(self, token: str, origin: Origin) -> None:
        """Take the link; the old address is told where another takes its place.

        Raises
        ------
        LinkInvalidError, TooManyAttemptsError
        """
        if not (is_link_text(token) and await self._take(token, origin)):
            await self._guard.after_failed_exchange(origin.source)
            raise invalid_link()

    async def _take(self, token: str, origin: Origin) -> bool:
        now = self._clock()
        async with self._open_unit() as unit:
            link = await unit.links.take(LinkPurpose.CONFIRM, digest(token), now)
            account = await unit.accounts.by_id(link.subject) if link is not None else None
            if link is None or account is None or not account.active:
                return False
            await unit.accounts.confirm_address(account.id, link.address, now)
            # a link for a new password that lies in the old mailbox is of no use any more
            changed = account.email is not None and account.email != link.address
            if changed:
                await unit.links.remove(LinkPurpose.RECOVER, account.id)
                await self._letters.notice(unit, LetterKind.ADDRESS_CHANGED, account, origin)
            await unit.audit.add(audit_record(now, "address_confirmed", origin, actor=account.id, changed=changed))
        return True
