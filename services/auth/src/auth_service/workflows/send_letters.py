"""Empty the outbox: write the letters that are due, and hand them to the mail server."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from auth_service.domain import letters
from auth_service.domain.accounts import Account, Origin, normalise_username
from auth_service.domain.mail import (
    LINK_LIFETIME,
    Letter,
    LetterKind,
    LinkPurpose,
    MailedLink,
    QueuedLetter,
    pause_before_try,
)
from auth_service.domain.secret_texts import SECRET_BYTES, digest, link_text
from auth_service.errors import MailRefusedError, MailUnreachableError
from auth_service.ports import Clock, Mailer, OpenUnit, Unit, audit_record

LEASE = timedelta(minutes=5)
MAX_ACCOUNTS_OF_ONE_ADDRESS = 5
_NOBODY = Origin()
_log = structlog.get_logger("auth_service")


@dataclass(frozen=True)
class Places:
    """Where links lead.

    Parameters
    ----------
    platform : public address of the platform
    pages : address of the pages about accounts
    """

    platform: str
    pages: str

    def link(self, purpose: LinkPurpose, token: str) -> str:
        """Return the address of a link; behind ``#`` the token is in no log and in no Referer."""
        page = {LinkPurpose.RECOVER: "new-password", LinkPurpose.CONFIRM: "confirm", LinkPurpose.INVITE: "register"}
        return f"{self.pages}/{page[purpose]}#token={token}"

    def command(self, name: str) -> str:
        """Return what does the same on a command line."""
        return f"alidade {name} --server {self.platform}"


class SendLetters:
    """Sends what is due, one letter at a time.

    Notes
    -----
    A letter is claimed for five minutes, so that a process that dies with it does not keep it. What is claimed may
    be sent twice (the server took it and the connection broke before it said so); each sending makes a new link
    and ends the one before. A failure that may pass is tried again after 30 s, then ever more slowly, until the
    letter is too old to be of use; then, and where the server refuses for good, the log says ``mail_not_delivered``
    as an error and the letter stays in the outbox for the operator to see.
    """

    def __init__(self, open_unit: OpenUnit, mailer: Mailer, clock: Clock, *, places: Places) -> None:
        self._open_unit = open_unit
        self._mailer = mailer
        self._clock = clock
        self._places = places

    async def all_due(self) -> int:
        """Send all that is due now; return how many letters were looked at."""
        begun_at = self._clock()
        count = 0
        while await self._next(begun_at):
            count += 1
        return count

    async def _next(self, due_by: datetime) -> bool:
        async with self._open_unit() as unit:
            queued = await unit.outbox.claim(due_by, lease=LEASE)
        if queued is None:
            return False
        now = self._clock()
        if now >= queued.expires_at:
            await self._give_up(queued, queued.last_error or "It waited too long.")
            return True
        async with self._open_unit() as unit:
            written = await self._write(unit, queued, now)
        try:
            for letter in written:
                await self._mailer.send(letter)
        except (MailRefusedError, MailUnreachableError) as error:
            if error.details.get("permanent"):
                await self._give_up(queued, str(error))
            else:
                await self._put_off(queued, str(error))
            return True
        async with self._open_unit() as unit:
            await unit.outbox.done(queued.id)
            if written:
                record = audit_record(
                    self._clock(), "mail_sent", _NOBODY, actor="mail", subject=queued.user_id, kind=queued.kind.value
                )
                await unit.audit.add(record)
        return True

    async def _put_off(self, queued: QueuedLetter, reason: str) -> None:
        _log.warning("mail_put_off", kind=queued.kind.value, letter=queued.id, tries=queued.tries, reason=reason)
        async with self._open_unit() as unit:
            await unit.outbox.put_off(queued.id, self._clock() + pause_before_try(queued.tries), reason)

    async def _give_up(self, queued: QueuedLetter, reason: str) -> None:
        _log.error("mail_not_delivered", kind=queued.kind.value, letter=queued.id, tries=queued.tries, reason=reason)
        now = self._clock()
        async with self._open_unit() as unit:
            await unit.outbox.give_up(queued.id, now, reason)
            record = audit_record(
                now,
                "mail_sent",
                _NOBODY,
                outcome="failed",
                actor="mail",
                subject=queued.user_id,
                kind=queued.kind.value,
            )
            await unit.audit.add(record)

    async def _write(self, unit: Unit, queued: QueuedLetter, now: datetime) -> list[Letter]:
        """Write what a queued letter says; nothing where nobody is meant (any more)."""
        if queued.kind is LetterKind.RECOVER:
            return await self._recovery(unit, queued, now)
        recipient = queued.recipient or ""
        platform = self._places.platform
        if queued.kind is LetterKind.INVITE:
            if not await unit.outbox.holds(queued.id):
                return []
            link = await self._new_link(unit, LinkPurpose.INVITE, recipient.lower(), recipient, now)
            command = self._places.command("register --invitation TOKEN")
            return [letters.invitation_letter(queued.id, recipient, link, platform=platform, command=command)]
        account = await unit.accounts.by_id(queued.user_id or "")
        # account and letter are locked now: whoever ends the links of the account does so before or after this one
        if account is None or not account.active or not await unit.outbox.holds(queued.id):
            return []
        if queued.kind is LetterKind.CONFIRM:
            link = await self._new_link(unit, LinkPurpose.CONFIRM, account.id, recipient, now)
            letter = letters.confirmation_letter(
                queued.id,
                recipient,
                account.username,
                link,
                platform=platform,
                command=self._places.command("confirm-address"),
            )
            return [letter]
        notice = {
            LetterKind.PASSWORD_CHANGED: letters.password_notice,
            LetterKind.ADDRESS_CHANGED: letters.address_notice,
        }[queued.kind]
        source = queued.facts["source"]
        return [notice(queued.id, recipient, account.username, at=queued.created_at, source=source, platform=platform)]

    async def _recovery(self, unit: Unit, queued: QueuedLetter, now: datetime) -> list[Letter]:
        """One letter for each address as it is stored: what was typed is never written to."""
        meant: dict[str, list[Account]] = {}
        for account in await _accounts_meant(unit, queued.account or ""):
            if account.active and account.email is not None:
                meant.setdefault(account.email, []).append(account)
        written = []
        for number, (address, accounts) in enumerate(meant.items()):
            links = [
                (account.username, await self._new_link(unit, LinkPurpose.RECOVER, account.id, address, now))
                for account in accounts
            ]
            letter = letters.recovery_letter(
                f"{queued.id}-{number}",
                address,
                links,
                platform=self._places.platform,
                command=self._places.command("new-password"),
            )
            written.append(letter)
            for account in accounts:
                await unit.audit.add(audit_record(now, "recovery_link_made", _NOBODY, actor="mail", subject=account.id))
        return written

    async def _new_link(self, unit: Unit, purpose: LinkPurpose, subject: str, address: str, now: datetime) -> str:
        token = link_text(secrets.token_bytes(SECRET_BYTES))
        link = MailedLink(purpose, subject, address, digest(token), now, now + LINK_LIFETIME[purpose])
        await unit.links.put(link)
        return self._places.link(purpose, token)


async def _accounts_meant(unit: Unit, typed: str) -> list[Account]:
    if "@" in typed:
        return await unit.accounts.by_address(typed, MAX_ACCOUNTS_OF_ONE_ADDRESS)
    account = await unit.accounts.by_username(normalise_username(typed))
    return [] if account is None else [account]
