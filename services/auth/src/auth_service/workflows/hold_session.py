"""Begin, continue and end sessions."""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from auth_service.domain.accounts import Account, Origin, normalise_username
from auth_service.domain.secret_texts import SECRET_BYTES, digest, is_refresh_text, refresh_text, same_digest
from auth_service.domain.sessions import IssuedSession, RefreshToken, Session
from auth_service.errors import (
    AddressNotConfirmedError,
    BadCredentialsError,
    RefreshReplayedError,
    SessionEndedError,
)
from auth_service.ports import Clock, OpenUnit, PasswordHasher, TokenSigner, Unit, audit_record
from auth_service.workflows.guard_attempts import GuardAttempts

SESSION_LIFETIME = timedelta(days=30)
RETRY_GRACE = timedelta(seconds=10)


class LogIn:
    """Checks a password and begins a session.

    Parameters
    ----------
    scopes : of an access token, by the account's role
    """

    def __init__(
        self,
        open_unit: OpenUnit,
        hasher: PasswordHasher,
        guard: GuardAttempts,
        signer: TokenSigner,
        clock: Clock,
        *,
        scopes: Mapping[str, frozenset[str]],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._open_unit = open_unit
        self._hasher = hasher
        self._guard = guard
        self._signer = signer
        self._clock = clock
        self._scopes = scopes
        self._sleep = sleep

    async def __call__(self, username: str, password: str, origin: Origin) -> IssuedSession:
        """Begin a session.

        An unknown name costs what a wrong password costs: one look at the accounts, one hash, one line of audit.

        Raises
        ------
        BadCredentialsError, AddressNotConfirmedError, TooManyAttemptsError, BusyError
        """
        name = normalise_username(username)
        delay_s = await self._guard.before_login(name, origin.source)
        async with self._open_unit() as unit:
            account = await unit.accounts.by_username(name)
        usable = account if account is not None and account.active else None
        good, new_hash = await self._hasher.verify(password, usable.password_hash if usable else None)
        if usable is None or not good:
            await self._note_failure(account, origin)
            await self._sleep(delay_s)
            raise BadCredentialsError("User name and password do not belong together.")
        if usable.awaits_confirmation:
            raise AddressNotConfirmedError(
                "The address of this account is not confirmed yet: follow the link that was mailed, or ask for a new "
                "password, which confirms it too."
            )
        issued = await self._begin(usable, new_hash, origin)
        await self._guard.after_login(name, origin.source)
        return issued

    async def _note_failure(self, account: Account | None, origin: Origin) -> None:
        subject = account.id if account else None
        async with self._open_unit() as unit:
            await unit.audit.add(audit_record(self._clock(), "login", origin, outcome="refused", subject=subject))

    async def _begin(self, account: Account, new_hash: str | None, origin: Origin) -> IssuedSession:
        now = self._clock()
        text = refresh_text(secrets.token_bytes(SECRET_BYTES))
        session = Session(id=uuid.uuid4().hex, user_id=account.id, created_at=now, expires_at=now + SESSION_LIFETIME)
        async with self._open_unit() as unit:
            present = await unit.accounts.by_id(account.id)
            if present is None or present.password_hash != account.password_hash or not present.active:
                # Changed while the password was being hashed.
                raise BadCredentialsError("User name and password do not belong together.")
            if new_hash is not None:
                await unit.accounts.set_password(account.id, new_hash)
            await unit.sessions.begin(session, RefreshToken(digest(text), session.id, now))
            await unit.audit.add(audit_record(now, "login", origin, actor=account.id))
        return await issue(self._signer, session, text, self._scopes[account.role])


class RefreshSession:
    """Swaps a refresh token for a new pair.

    Notes
    -----
    Each refresh token works once. A second use ends the session, since one of two holders is not its owner. The
    one exception: the same client, proven by the same idempotency key, may ask again within ten seconds when the
    answer was lost, as long as the token that was lost has not been used; that token is then replaced.
    """

    def __init__(
        self, open_unit: OpenUnit, signer: TokenSigner, clock: Clock, *, scopes: Mapping[str, frozenset[str]]
    ) -> None:
        self._open_unit = open_unit
        self._signer = signer
        self._clock = clock
        self._scopes = scopes

    async def __call__(self, refresh_token: str, retry_key: str | None, origin: Origin) -> IssuedSession:
        """Continue a session.

        Parameters
        ----------
        refresh_token : as given out by login or by the last refresh
        retry_key : idempotency key of the request, if any

        Raises
        ------
        SessionEndedError, RefreshReplayedError
        """
        if not is_refresh_text(refresh_token):
            raise SessionEndedError("The session has ended; log in again.")
        now = self._clock()
        text = refresh_text(secrets.token_bytes(SECRET_BYTES))
        async with self._open_unit() as unit:
            found = await unit.sessions.locked_token(digest(refresh_token))
            account = await _holder(unit, found[1], now) if found is not None else None
            if found is None or account is None:
                raise SessionEndedError("The session has ended; log in again.")
            token, session = found
            successor = RefreshToken(digest(text), session.id, now)
            swapped = await self._swap(unit, token, successor, retry_key, now)
            if not swapped:
                await unit.sessions.end(session.id, now)
                record = audit_record(now, "refresh_replayed", origin, outcome="refused", subject=session.user_id)
                await unit.audit.add(record)
        if not swapped:
            raise RefreshReplayedError("This refresh token was used before, so its session was ended; log in again.")
        return await issue(self._signer, session, text, self._scopes[account.role])

    @staticmethod
    async def _swap(
        unit: Unit, token: RefreshToken, successor: RefreshToken, retry_key: str | None, now: datetime
    ) -> bool:
        retry_digest = digest(retry_key) if retry_key else None
        if token.spent_at is None:
            spent = replace(token, spent_at=now, successor=successor.digest, retry_digest=retry_digest)
            await unit.sessions.rotate(spent, successor)
            return True
        same_client = (
            retry_digest is not None
            and token.retry_digest is not None
            and same_digest(retry_digest, token.retry_digest)
            and now - token.spent_at <= RETRY_GRACE
        )
        if not same_client or token.successor is None:
            return False
        return await unit.sessions.replace(token.successor, successor, of=token)


class LogOut:
    """Ends a session."""

    def __init__(self, open_unit: OpenUnit, clock: Clock) -> None:
        self._open_unit = open_unit
        self._clock = clock

    async def __call__(self, refresh_token: str, origin: Origin) -> None:
        """End the session of a refresh token, spent or not; an unknown one is no error."""
        now = self._clock()
        async with self._open_unit() as unit:
            found = await unit.sessions.locked_token(digest(refresh_token))
            if found is not None:
                await unit.sessions.end(found[1].id, now)
                await unit.audit.add(audit_record(now, "logout", origin, actor=found[1].user_id))


async def issue(signer: TokenSigner, session: Session, text: str, scopes: frozenset[str]) -> IssuedSession:
    """Sign the access token that goes with a refresh token."""
    access_token = await signer.sign(subject=session.user_id, scopes=scopes, session=session.id)
    return IssuedSession(
        access_token=access_token,
        expires_in_s=signer.lifetime_s,
        scopes=scopes,
        refresh_token=text,
        refresh_expires_at=session.expires_at,
    )


async def _holder(unit: Unit, session: Session, now: datetime) -> Account | None:
    """The account of a session that goes on, or None."""
    if session.ended_at is not None or now >= session.expires_at:
        return None
    account = await unit.accounts.by_id(session.user_id)
    return account if account is not None and account.active else None
