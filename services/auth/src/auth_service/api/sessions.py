"""Accounts and sessions: register, log in, refresh, log out, exchange a personal token."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from astro_shared.contracts.auth import (
    AccessTokenResponse,
    AccountResponse,
    LoginRequest,
    LogoutRequest,
    PersonalTokenExchangeRequest,
    RefreshRequest,
    RegisterRequest,
    SessionTokens,
)
from astro_shared.web import optional_idempotency_key, problem_responses
from auth_service.api.dependencies import (
    OriginDep,
    ServicesDep,
    clear_refresh_cookie,
    no_store,
    refresh_token_of,
    set_refresh_cookie,
)
from auth_service.api.schemas import access_token, account_response, session_tokens

router = APIRouter(prefix="/api/v1/auth", tags=["auth"], dependencies=[Depends(no_store)])


@router.post("/register", status_code=201, summary="Open an account", responses=problem_responses(409))
async def register(body: RegisterRequest, services: ServicesDep, origin: OriginDep) -> AccountResponse:
    """Open an account with a user name and a password."""
    invitation = body.invitation.get_secret_value() if body.invitation is not None else None
    account = await services.register(
        body.username, body.password.get_secret_value(), body.email, origin, invitation=invitation
    )
    return account_response(account)


@router.post("/login", summary="Log in")
async def login(body: LoginRequest, services: ServicesDep, origin: OriginDep, response: Response) -> SessionTokens:
    """Begin a session: an access token for 15 minutes and a refresh token for 30 days."""
    issued = await services.log_in(body.username, body.password.get_secret_value(), origin)
    if body.cookie:
        set_refresh_cookie(response, issued)
    return session_tokens(issued, in_cookie=body.cookie)


@router.post("/refresh", summary="Continue a session")
async def refresh(
    body: RefreshRequest,
    services: ServicesDep,
    origin: OriginDep,
    request: Request,
    response: Response,
    retry_key: Annotated[str | None, Depends(optional_idempotency_key)],
) -> SessionTokens:
    """Swap the refresh token for a new pair.

    A refresh token works once; using it again ends the session. Whoever may lose the answer sends an
    `Idempotency-Key`: the same request may then be sent again within ten seconds.
    """
    token, in_cookie = refresh_token_of(request, body.refresh_token)
    issued = await services.refresh(token, retry_key, origin)
    if in_cookie:
        set_refresh_cookie(response, issued)
    return session_tokens(issued, in_cookie=in_cookie)


@router.post("/logout", status_code=204, summary="Log out")
async def logout(
    body: LogoutRequest, services: ServicesDep, origin: OriginDep, request: Request, response: Response
) -> None:
    """End the session; its access tokens are refused everywhere within a minute."""
    token, in_cookie = refresh_token_of(request, body.refresh_token)
    await services.log_out(token, origin)
    if in_cookie:
        clear_refresh_cookie(response)


@router.post("/personal-token", summary="Swap a personal access token for an access token")
async def exchange(body: PersonalTokenExchangeRequest, services: ServicesDep, origin: OriginDep) -> AccessTokenResponse:
    """Give scripts an access token for 15 minutes, with the scopes of their personal token."""
    return access_token(await services.exchange(body.personal_token.get_secret_value(), origin))
