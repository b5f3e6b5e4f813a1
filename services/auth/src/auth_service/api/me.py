"""The caller's own account, settings, keys of third parties and personal tokens."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from astro_shared.contracts.auth import (
    AccountResponse,
    AddressChangeRequest,
    KeyName,
    PasswordChangeRequest,
    PersonalTokenCreated,
    PersonalTokenList,
    PersonalTokenRequest,
    Scope,
    ThirdPartyKeyList,
    ThirdPartyKeyRequest,
    ThirdPartyKeyView,
    UserSettingsDocument,
)
from astro_shared.web import (
    Principal,
    check_if_match,
    etag_of,
    is_not_modified,
    problem_responses,
    require_user,
)
from auth_service.api.dependencies import OriginDep, ServicesDep
from auth_service.api.schemas import account_response, key_view, personal_token_created, personal_token_view
from auth_service.ports import StoredSettings

router = APIRouter(prefix="/api/v1/me", tags=["me"])

AccountReader = Annotated[Principal, Depends(require_user(Scope.ACCOUNT_READ))]
AccountWriter = Annotated[Principal, Depends(require_user(Scope.ACCOUNT_WRITE))]
SettingsReader = Annotated[Principal, Depends(require_user(Scope.SETTINGS_READ))]
SettingsWriter = Annotated[Principal, Depends(require_user(Scope.SETTINGS_WRITE))]
KeyWriter = Annotated[Principal, Depends(require_user(Scope.KEYS_WRITE))]
TokenWriter = Annotated[Principal, Depends(require_user(Scope.TOKENS_WRITE))]

ETAG_HEADER: dict[str, Any] = {"ETag": {"description": "State of the document", "schema": {"type": "string"}}}


@router.get("", summary="Who am I")
async def account(principal: AccountReader, services: ServicesDep) -> AccountResponse:
    """Return the caller's account."""
    return account_response(await services.read_account(principal.user_id))


@router.post("/password", status_code=204, summary="Change the password")
async def change_password(
    body: PasswordChangeRequest, principal: AccountWriter, services: ServicesDep, origin: OriginDep
) -> None:
    """Change the password and end every session and personal token, this one's too."""
    current, new = body.current_password.get_secret_value(), body.new_password.get_secret_value()
    await services.change_password(principal.user_id, current, new, origin)


@router.post("/email", status_code=202, summary="Change the address")
async def change_address(
    body: AddressChangeRequest, principal: AccountWriter, services: ServicesDep, origin: OriginDep
) -> None:
    """Mail a link to the new address; it takes the old one's place when the link is followed."""
    await services.change_address(principal.user_id, body.email, body.current_password.get_secret_value(), origin)


@router.get(
    "/settings",
    summary="Read saved processing settings",
    responses={200: {"headers": ETAG_HEADER}, 304: {"description": "Not changed"}},
    response_model=UserSettingsDocument,
)
async def read_settings(
    principal: SettingsReader, services: ServicesDep, request: Request, response: Response
) -> UserSettingsDocument | Response:
    """Return what differs from the defaults, by section."""
    stored = await services.keep_settings.read(principal.user_id)
    etag = _settings_tag(stored)
    if is_not_modified(request, etag):
        return Response(status_code=304, headers={"ETag": etag})
    response.headers["ETag"] = etag
    response.headers["Cache-Control"] = "private, no-cache"
    return UserSettingsDocument(sections=stored.sections)


@router.put(
    "/settings",
    summary="Save processing settings",
    responses={200: {"headers": ETAG_HEADER}, **problem_responses(412, 428)},
)
async def save_settings(
    body: UserSettingsDocument,
    principal: SettingsWriter,
    services: ServicesDep,
    origin: OriginDep,
    request: Request,
    response: Response,
) -> UserSettingsDocument:
    """Replace the saved overrides; `If-Match` names the state that was read."""
    present = await services.keep_settings.read(principal.user_id)
    check_if_match(request, _settings_tag(present))
    stored = await services.keep_settings.save(principal.user_id, body.sections, version=present.version, origin=origin)
    response.headers["ETag"] = _settings_tag(stored)
    return UserSettingsDocument(sections=stored.sections)


@router.get("/keys", summary="List keys of third parties")
async def list_keys(principal: SettingsReader, services: ServicesDep) -> ThirdPartyKeyList:
    """Say which keys are stored and how they end; the keys themselves are never shown."""
    return ThirdPartyKeyList(items=[key_view(key) for key in await services.keep_keys.list(principal.user_id)])


@router.put("/keys/{name}", summary="Store a key of a third party", responses=problem_responses(409))
async def store_key(
    name: KeyName, body: ThirdPartyKeyRequest, principal: KeyWriter, services: ServicesDep, origin: OriginDep
) -> ThirdPartyKeyView:
    """Store or replace a key, sealed."""
    return key_view(await services.keep_keys.store(principal.user_id, name, body.value.get_secret_value(), origin))


@router.delete("/keys/{name}", status_code=204, summary="Delete a key of a third party")
async def delete_key(name: KeyName, principal: KeyWriter, services: ServicesDep, origin: OriginDep) -> None:
    """Delete a key."""
    await services.keep_keys.delete(principal.user_id, name, origin)


@router.get("/tokens", summary="List personal access tokens")
async def list_tokens(principal: AccountReader, services: ServicesDep) -> PersonalTokenList:
    """List the tokens that can be used, newest first, at most 50."""
    tokens = await services.personal_tokens.list(principal.user_id)
    return PersonalTokenList(items=[personal_token_view(token) for token in tokens])


@router.post("/tokens", status_code=201, summary="Make a personal access token", responses=problem_responses(409))
async def create_token(
    body: PersonalTokenRequest, principal: TokenWriter, services: ServicesDep, origin: OriginDep, response: Response
) -> PersonalTokenCreated:
    """Make a token for scripts; its text is shown this once."""
    response.headers["Cache-Control"] = "no-store"
    token, text = await services.personal_tokens.create(
        principal.user_id,
        name=body.name,
        scopes=None if body.scope is None else [scope.value for scope in body.scope],
        held=principal.scopes,
        lifetime=timedelta(days=body.expires_in_days),
        origin=origin,
    )
    return personal_token_created(token, text)


@router.delete("/tokens/{token_id}", status_code=204, summary="Revoke a personal access token")
async def revoke_token(token_id: str, principal: TokenWriter, services: ServicesDep, origin: OriginDep) -> None:
    """Revoke a token; access tokens made from it are refused everywhere within a minute."""
    await services.personal_tokens.revoke(principal.user_id, token_id, origin)


def _settings_tag(stored: StoredSettings) -> str:
    # The version alone would give two users, or a deleted and a new document, the same tag.
    return etag_of({"version": stored.version, "sections": stored.sections})
