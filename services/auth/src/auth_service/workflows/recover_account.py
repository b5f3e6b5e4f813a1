"""Get a lost password replaced through the address of the account."""

from __future__ import annotations

from auth_service.domain.accounts import Account, Origin
from auth_service.domain.mail import LetterKind, LinkPurpose, MailedLink
from auth_service.domain.passwords import check_password
from auth_service.domain.secret_texts import digest, is_link_text
from auth_service.errors import LinkInvalidError
from auth_service.ports import Clock, OpenUnit, PasswordHasher, Unit, audit_record
from auth_service.workflows.accounts import end_everything
from auth_service.workflows.guard_attempts import GuardAttempts
from auth_service.workflows.post_letters import PostLetters


class RequestRecovery:
    """Takes requests for a new password.

    Notes
    -----
    The request does the same work whether the account exists or not: it is counted, written into the outbox and
    into the audit log. Who is meant is looked up when the outbox is emptied, on a beat of its own, so neither the
    answer nor its time tells anything.
    """

    def __init__(self, open_unit: OpenUnit, guard: GuardAttempts, letters: PostLetters, clock: Clock) -> None:
        self._open_unit = open_unit
        self._guard = guard
        self._letters = letters
        self._clock = clock

    async def __call__(self, account: str, origin: Origin) -> None:
        """Let a letter be written to the owner of ``account`` (a user name or an address), if there is one.

        Raises
        ------
        MailNotConfiguredError, TooManyAttemptsError
        """
        self._letters.require_mail()
        typed = account.strip()
        wanted = await self._guard.before_recovery(typed.casefold(), origin.source)
        async with self._open_unit() as unit:
            if wanted:
                await self._letters.put(unit, LetterKind.RECOVER, account=typed)
            outcome = "ok" if wanted else "limited"
            await unit.audit.add(audit_record(self._clock(), "recovery_requested", origin, outcome=outcome))


class ResetPassword:
    """Sets a new password for whoever holds the newest link."""

    def __init__(
        self,
        open_unit: OpenUnit,
        hasher: PasswordHasher,
        guard: GuardAttempts,
        letters: PostLetters,
        clock: Clock,
    ) -> None:
        self._open_unit = open_unit
        self._hasher = hasher
        self._guard = guard
        self._letters = letters
        self._clock = clock

    async def __call__(self, token: str, new: str, origin: Origin) -> None:
        """Replace the password, end all sessions and personal tokens, and tell the owner.

        A password that is refused leaves the link as it is. Following the link proves the address as well.

        Raises
        ------
        LinkInvalidError, WeakPasswordError, TooManyAttemptsError, BusyError
        """
        account, _ = await self._holder(token, origin)
        check_password(new, username=account.username)
        password_hash = await self._hasher.hash(new)
        now = self._clock()
        async with self._open_unit() as unit:
            link = await unit.links.take(LinkPurpose.RECOVER, digest(token), now)
            present = await _owner(unit, link)
            if link is None or present is None:
                raise invalid_link()
            await unit.accounts.set_password(present.id, password_hash)
            await unit.accounts.confirm_address(present.id, link.address, now)
            await end_everything(unit, present.id, now)
            await unit.audit.add(audit_record(now, "password_recovered", origin, actor=present.id))
            await self._letters.notice(unit, LetterKind.PASSWORD_CHANGED, present, origin)

    async def _holder(self, token: str, origin: Origin) -> tuple[Account, MailedLink]:
        if is_link_text(token):
            async with self._open_unit() as unit:
                link = await unit.links.get(LinkPurpose.RECOVER, digest(token), self._clock())
                account = await _owner(unit, link)
            if account is not None and link is not None:
                return account, link
        async with self._open_unit() as unit:
            await unit.audit.add(audit_record(self._clock(), "password_recovered", origin, outcome="refused"))
        await self._guard.after_failed_exchange(origin.source)
        raise invalid_link()


def invalid_link() -> LinkInvalidError:
    """Say that a link is of no use (any more)."""
    return LinkInvalidError("This link was used, is too old, or was replaced by a newer one; ask for another.")


async def _owner(unit: Unit, link: MailedLink | None) -> Account | None:
    """The account of a link, while it can be used and still has the address that the link was sent to."""
    account = await unit.accounts.by_id(link.subject) if link is not None else None
    if account is None or link is None or not account.active or account.email != link.address:
        return None
    return account
