"""What administrators do about mail: send a test, look at the outbox, invite people."""

from __future__ import annotations

import uuid

from auth_service.domain.accounts import Origin
from auth_service.domain.letters import test_letter
from auth_service.domain.mail import LetterKind, LinkPurpose, MailedLink, OutboxState, is_address
from auth_service.errors import BadAddressError, MailNotConfiguredError, UnknownInvitationError
from auth_service.ports import Clock, Mailer, OpenUnit, audit_record
from auth_service.workflows.post_letters import PostLetters


class OperateMail:
    """Tests mail and shows how it is getting on.

    Parameters
    ----------
    mailer : None where this server sends no mail
    platform : public address of the platform
    """

    def __init__(self, open_unit: OpenUnit, mailer: Mailer | None, clock: Clock, *, platform: str) -> None:
        self._open_unit = open_unit
        self._mailer = mailer
        self._clock = clock
        self._platform = platform

    async def test(self, address: str, origin: Origin, *, actor: str) -> None:
        """Send a letter at once, without the outbox, so that what the mail server says is seen.

        Raises
        ------
        MailNotConfiguredError, BadAddressError, MailRefusedError, MailUnreachableError
        """
        if self._mailer is None:
            raise MailNotConfiguredError("This server sends no mail: set AUTH_MAIL__KIND.")
        if not is_address(address):
            raise BadAddressError("This is not one plain mail address.")
        async with self._open_unit() as unit:
            await unit.audit.add(audit_record(self._clock(), "mail_tested", origin, actor=actor))
        await self._mailer.send(test_letter(uuid.uuid4().hex, address, platform=self._platform))

    async def state(self) -> OutboxState:
        """Return what waits and what could not be delivered."""
        async with self._open_unit() as unit:
            return await unit.outbox.state()


class Invite:
    """Invites people to open an account; the newest invitation of an address counts."""

    def __init__(self, open_unit: OpenUnit, letters: PostLetters, clock: Clock) -> None:
        self._open_unit = open_unit
        self._letters = letters
        self._clock = clock

    async def __call__(self, address: str, origin: Origin, *, actor: str) -> None:
        """Mail an invitation.

        Raises
        ------
        MailNotConfiguredError, BadAddressError
        """
        self._letters.require_mail()
        if not is_address(address):
            raise BadAddressError("This is not one plain mail address.")
        async with self._open_unit() as unit:
            await self._letters.put(unit, LetterKind.INVITE, recipient=address)
            await unit.audit.add(audit_record(self._clock(), "invited", origin, actor=actor))

    async def open(self) -> list[MailedLink]:
        """Return the invitations that were mailed and can be used, newest first."""
        async with self._open_unit() as unit:
            return await unit.links.all_of(LinkPurpose.INVITE, self._clock())

    async def withdraw(self, address: str, origin: Origin, *, actor: str) -> None:
        """Make an invitation useless."""
        async with self._open_unit() as unit:
            cancelled = await unit.outbox.cancel(LetterKind.INVITE, recipient=address)
            if not (await unit.links.remove(LinkPurpose.INVITE, address.lower()) or cancelled):
                raise UnknownInvitationError("There is no open invitation for this address.")
            await unit.audit.add(audit_record(self._clock(), "invitation_withdrawn", origin, actor=actor))
