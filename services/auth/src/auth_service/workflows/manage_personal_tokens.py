"""Personal access tokens for scripts: make, list, revoke, swap for an access token."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta

from auth_service.domain.accounts import Origin
from auth_service.domain.secret_texts import SECRET_BYTES, digest, personal_text, personal_token_id, same_digest
from auth_service.domain.sessions import IssuedAccess, PersonalToken, personal_session
from auth_service.errors import (
    BadPersonalTokenError,
    ScopeNotAllowedError,
    TooManyTokensError,
    UnknownPersonalTokenError,
)
from auth_service.ports import Clock, OpenUnit, TokenSigner, audit_record
from auth_service.workflows.accounts import active_account
from auth_service.workflows.guard_attempts import GuardAttempts

MAX_TOKENS = 50


class ManagePersonalTokens:
    """Makes, lists and revokes personal access tokens.

    Parameters
    ----------
    grantable : scopes that such a token may have
    """

    def __init__(self, open_unit: OpenUnit, clock: Clock, *, grantable: frozenset[str]) -> None:
        self._open_unit = open_unit
        self._clock = clock
        self._grantable = grantable

    async def create(
        self,
        user_id: str,
        *,
        name: str,
        scopes: Collection[str] | None,
        held: frozenset[str],
        lifetime: timedelta,
        origin: Origin,
        replace_named: bool = False,
    ) -> tuple[PersonalToken, str]:
        """Make a token; return it and its text, which is known this once.

        Parameters
        ----------
        scopes : wanted; None takes all that the caller has and such a token may have
        held : scopes of the caller
        replace_named : revoke the caller's others of the same name

        Raises
        ------
        ScopeNotAllowedError, TooManyTokensError, UnknownAccountError
        """
        allowed = self._grantable & held
        wanted = allowed if scopes is None else frozenset(scopes)
        if not wanted or wanted - allowed:
            beyond = ", ".join(sorted(wanted - allowed)) or "anything"
            raise ScopeNotAllowedError(f"A personal token of yours cannot be given {beyond}.")
        now = self._clock()
        token_id = secrets.token_hex(8)
        text = personal_text(token_id, secrets.token_bytes(SECRET_BYTES))
        token = PersonalToken(
            id=token_id,
            user_id=user_id,
            name=name,
            digest=digest(text),
            scopes=wanted,
            created_at=now,
            expires_at=now + lifetime,
        )
        async with self._open_unit() as unit:
            await active_account(unit, user_id)
            live = await unit.personal_tokens.live_of(user_id, now)
            replaced = [other for other in live if replace_named and other.name == name]
            if len(live) - len(replaced) >= MAX_TOKENS:
                raise TooManyTokensError(f"There are {len(live)} personal tokens already; revoke one first.")
            for other in replaced:
                await unit.personal_tokens.revoke(other.id, now)
            await unit.personal_tokens.add(token)
            await unit.audit.add(audit_record(now, "personal_token_created", origin, actor=user_id, token_id=token_id))
        return token, text

    async def list(self, user_id: str) -> list[PersonalToken]:
        """Return the user's usable tokens, newest first."""
        async with self._open_unit() as unit:
            return await unit.personal_tokens.live_of(user_id, self._clock())

    async def revoke(self, user_id: str, token_id: str, origin: Origin) -> None:
        """Revoke one; access tokens made from it are refused everywhere within a minute."""
        now = self._clock()
        async with self._open_unit() as unit:
            token = await unit.personal_tokens.by_id(token_id)
            if token is None or token.user_id != user_id or not token.usable_at(now):
                raise UnknownPersonalTokenError("There is no such personal token.")
            await unit.personal_tokens.revoke(token_id, now)
            await unit.audit.add(audit_record(now, "personal_token_revoked", origin, actor=user_id, token_id=token_id))


class ExchangePersonalToken:
    """Swaps personal access tokens for access tokens."""

    def __init__(self, open_unit: OpenUnit, guard: GuardAttempts, signer: TokenSigner, clock: Clock) -> None:
        self._open_unit = open_unit
        self._guard = guard
        self._signer = signer
        self._clock = clock

    async def __call__(self, text: str, origin: Origin) -> IssuedAccess:
        """Return an access token with the scopes of the personal one.

        Raises
        ------
        BadPersonalTokenError, TooManyAttemptsError
        """
        token = await self._checked(text, origin)
        if token is None:
            await self._guard.after_failed_exchange(origin.source)
            raise BadPersonalTokenError("The personal access token is not valid (any more).")
        access_token = await self._signer.sign(
            subject=token.user_id, scopes=token.scopes, session=personal_session(token.id)
        )
        return IssuedAccess(access_token, self._signer.lifetime_s, token.scopes)

    async def _checked(self, text: str, origin: Origin) -> PersonalToken | None:
        now = self._clock()
        token_id = personal_token_id(text)
        async with self._open_unit() as unit:
            token = await unit.personal_tokens.by_id(token_id) if token_id else None
            account = await unit.accounts.by_id(token.user_id) if token else None
            good = (
                token is not None
                and same_digest(token.digest, digest(text))
                and token.usable_at(now)
                and account is not None
                and account.active
            )
            if token is None or not good:
                subject = token.user_id if token else None
                record = audit_record(
                    now, "personal_token_used", origin, outcome="refused", subject=subject, token_id=token_id
                )
                await unit.audit.add(record)
                return None
            await unit.personal_tokens.mark_used(token.id, now)
            return replace(token, last_used_at=now)
