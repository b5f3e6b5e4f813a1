"""From the domain to the contracts."""

from __future__ import annotations

import base64
from typing import Literal, cast

from astro_shared.contracts.auth import (
    AccessTokenResponse,
    AccountResponse,
    FailedLetterView,
    InvitationView,
    MailState,
    PersonalTokenCreated,
    PersonalTokenView,
    RevocationFeed,
    Scope,
    SealedKey,
    ServiceTokenResponse,
    SessionTokens,
    ThirdPartyKeyView,
)
from auth_service.domain.accounts import Account
from auth_service.domain.mail import MailedLink, OutboxState
from auth_service.domain.sessions import IssuedAccess, IssuedSession, PersonalToken, Revocations
from auth_service.ports import StoredKey


def account_response(account: Account) -> AccountResponse:
    """Show an account to its owner."""
    return AccountResponse(
        id=account.id,
        username=account.username,
        email=account.email,
        email_confirmed=account.email_confirmed_at is not None,
        role=cast(Literal["user", "admin"], account.role),
        created_at=account.created_at,
    )


def session_tokens(issued: IssuedSession, *, in_cookie: bool) -> SessionTokens:
    """Show a login or a refresh."""
    return SessionTokens(
        access_token=issued.access_token,
        expires_in=issued.expires_in_s,
        scope=" ".join(sorted(issued.scopes)),
        refresh_token=None if in_cookie else issued.refresh_token,
    )


def access_token(issued: IssuedAccess) -> AccessTokenResponse:
    """Show an access token."""
    scope = " ".join(sorted(issued.scopes))
    return AccessTokenResponse(access_token=issued.access_token, expires_in=issued.expires_in_s, scope=scope)


def service_token(issued: IssuedAccess) -> ServiceTokenResponse:
    """Show a service token."""
    return ServiceTokenResponse.model_validate(access_token(issued).model_dump())


def personal_token_view(token: PersonalToken) -> PersonalTokenView:
    """Show a personal token without its text."""
    return PersonalTokenView(
        id=token.id,
        name=token.name,
        scope=[Scope(scope) for scope in sorted(token.scopes)],
        created_at=token.created_at,
        expires_at=token.expires_at,
        last_used_at=token.last_used_at,
    )


def personal_token_created(token: PersonalToken, text: str) -> PersonalTokenCreated:
    """Show a new personal token, with its text."""
    return PersonalTokenCreated(**personal_token_view(token).model_dump(), token=text)


def key_view(key: StoredKey) -> ThirdPartyKeyView:
    """Show that a key is there."""
    return ThirdPartyKeyView(name=key.name, set=True, last4=key.last4, updated_at=key.updated_at)


def sealed_key(key: StoredKey) -> SealedKey:
    """Hand out a sealed key."""
    return SealedKey(
        name=key.name,
        user=key.user_id,
        key_version=key.key_version,
        wrapped_key=base64.b64encode(key.wrapped_key).decode(),
        ciphertext=base64.b64encode(key.ciphertext).decode(),
    )


def revocation_feed(revocations: Revocations) -> RevocationFeed:
    """Show what was revoked."""
    return RevocationFeed(
        generated_at=revocations.at,
        sessions=sorted(revocations.sessions),
        subjects=sorted(revocations.subjects),
    )


def mail_state(state: OutboxState) -> MailState:
    """Show how mail is getting on."""
    return MailState(
        waiting=state.waiting,
        oldest_at=state.oldest_at,
        last_error=state.last_error,
        failed=[
            FailedLetterView(
                kind=letter.kind.value,
                recipient=letter.recipient,
                tries=letter.tries,
                created_at=letter.created_at,
                failed_at=letter.failed_at or letter.created_at,
                reason=letter.last_error or "",
            )
            for letter in state.failed
        ],
    )


def invitation_view(link: MailedLink) -> InvitationView:
    """Show an invitation without its token."""
    return InvitationView(email=link.address, sent_at=link.issued_at, expires_at=link.expires_at)
