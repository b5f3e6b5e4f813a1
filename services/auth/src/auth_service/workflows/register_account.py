"""Open an account."""

from __future__ import annotations

import uuid
from dataclasses import replace

from auth_service.domain.accounts import (
    RESERVED_USERNAMES,
    Account,
    AccountStatus,
    Origin,
    Registration,
    is_username,
    normalise_username,
)
from auth_service.domain.mail import LetterKind, LinkPurpose, MailedLink, is_address
from auth_service.domain.passwords import check_password
from auth_service.domain.secret_texts import digest, is_link_text
from auth_service.errors import (
    BadAddressError,
    BadUsernameError,
    InvitationNeededError,
    RegistrationClosedError,
    UsernameTakenError,
)
from auth_service.ports import Clock, OpenUnit, PasswordHasher, audit_record
from auth_service.workflows.guard_attempts import GuardAttempts
from auth_service.workflows.post_letters import PostLetters
from auth_service.workflows.recover_account import invalid_link


class RegisterAccount:
    """Opens accounts, if the operator lets people do so themselves.

    Parameters
    ----------
    registration : who may
    confirm_address : whether an account needs an address and waits for its confirmation
    """

    def __init__(
        self,
        open_unit: OpenUnit,
        hasher: PasswordHasher,
        guard: GuardAttempts,
        letters: PostLetters,
        clock: Clock,
        *,
        registration: Registration,
        confirm_address: bool,
    ) -> None:
        self._open_unit = open_unit
        self._hasher = hasher
        self._guard = guard
        self._letters = letters
        self._clock = clock
        self._registration = registration
        self._confirm_address = confirm_address

    async def __call__(
        self, username: str, password: str, email: str | None, origin: Origin, *, invitation: str | None = None
    ) -> Account:
        """Open an account for whoever asks.

        Parameters
        ----------
        invitation : token of the link that was mailed; its address is the account's, and confirmed

        Raises
        ------
        RegistrationClosedError, InvitationNeededError, LinkInvalidError, BadUsernameError, BadAddressError,
        WeakPasswordError, UsernameTakenError, TooManyAttemptsError
        """
        if self._registration is Registration.CLOSED:
            raise RegistrationClosedError("Accounts are opened by the operator here.")
        if self._registration is Registration.INVITATION and invitation is None:
            raise InvitationNeededError("Accounts are opened by invitation here; ask the operator for one.")
        name = normalise_username(username)
        if name in RESERVED_USERNAMES:
            raise BadUsernameError(f"The user name {name} is reserved.")
        await self._guard.before_registration(origin.source)
        if invitation is not None:
            await self._check_invitation(invitation, origin)
        elif self._confirm_address and email is None:
            raise BadAddressError("An account needs a mail address here, to confirm it.")
        return await self._open(
            name, password, email, origin, invitation=invitation, awaits=self._confirm_address and invitation is None
        )

    async def create(
        self, username: str, password: str, email: str | None, origin: Origin, *, role: str = "user"
    ) -> Account:
        """Open an account as the operator."""
        return await self._open(username, password, email, origin, role=role)

    async def _check_invitation(self, token: str, origin: Origin) -> None:
        link: MailedLink | None = None
        if is_link_text(token):
            async with self._open_unit() as unit:
                link = await unit.links.get(LinkPurpose.INVITE, digest(token), self._clock())
        if link is None:
            await self._guard.after_failed_exchange(origin.source)
            raise invalid_link()

    async def _open(
        self,
        username: str,
        password: str,
        email: str | None,
        origin: Origin,
        *,
        role: str = "user",
        invitation: str | None = None,
        awaits: bool = False,
    ) -> Account:
        if not is_username(username):
            raise BadUsernameError("A user name has 2 to 63 lower case letters, digits, dots, dashes and underscores.")
        if email is not None and not is_address(email):
            raise BadAddressError("This is not one plain mail address.")
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
            awaits_confirmation=awaits,
        )
        async with self._open_unit() as unit:
            if invitation is not None:
                link = await unit.links.take(LinkPurpose.INVITE, digest(invitation), now)
                if link is None:
                    raise invalid_link()
                account = replace(account, email=link.address, email_confirmed_at=now)
            if not await unit.accounts.add(account):
                raise UsernameTakenError(f"The user name {username} is in use.")
            await unit.audit.add(audit_record(now, "account_opened", origin, actor=account.id, role=role))
            if awaits:
                await self._letters.put(unit, LetterKind.CONFIRM, recipient=email, user_id=account.id)
        return account
