"""What only services call: service tokens, revocations, a user's settings, sealed keys; and the public keys."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from astro_shared.contracts.auth import (
    JsonWebKey,
    JsonWebKeySet,
    KeyName,
    RevocationFeed,
    Scope,
    SealedKey,
    ServiceTokenRequest,
    ServiceTokenResponse,
    UserSettingsDocument,
)
from astro_shared.errors import ForbiddenError
from astro_shared.web import Principal, require_service
from auth_service.api.dependencies import OriginDep, ServicesDep, no_store
from auth_service.api.schemas import revocation_feed, sealed_key, service_token

router = APIRouter()


@router.get("/.well-known/jwks.json", tags=["keys"], summary="Public keys of access tokens")
async def jwks(services: ServicesDep, response: Response) -> JsonWebKeySet:
    """Return the keys with which access tokens are checked."""
    response.headers["Cache-Control"] = "public, max-age=15"
    return JsonWebKeySet(keys=[JsonWebKey.model_validate(key) for key in await services.signing_keys.published()])


@router.post("/v1/tokens/service", tags=["internal"], summary="Service token", dependencies=[Depends(no_store)])
async def issue(body: ServiceTokenRequest, services: ServicesDep, origin: OriginDep) -> ServiceTokenResponse:
    """Swap client credentials for a token, for the service itself or on behalf of a user."""
    issued = await services.service_token(
        body.client_id,
        body.client_secret.get_secret_value(),
        [scope.value for scope in body.scope],
        body.on_behalf_of,
        origin,
    )
    return service_token(issued)


@router.get("/v1/revocations", tags=["internal"], summary="What was revoked")
async def revocations(services: ServicesDep, response: Response) -> RevocationFeed:
    """Return ended sessions and disabled users whose tokens may not have expired yet."""
    response.headers["Cache-Control"] = "no-store"
    return revocation_feed(await services.revocations())


@router.get("/v1/users/{user}/settings", tags=["internal"], summary="A user's saved settings")
async def user_settings(
    user: str,
    principal: Annotated[Principal, Depends(require_service(Scope.USER_SETTINGS_READ))],
    services: ServicesDep,
) -> UserSettingsDocument:
    """Return a user's overrides to the service that works for that user."""
    _check_acts_for(principal, user)
    stored = await services.keep_settings.read(user)
    return UserSettingsDocument(sections=stored.sections)


@router.get("/v1/users/{user}/keys/{name}", tags=["internal"], summary="A sealed key of a third party")
async def user_key(
    user: str,
    name: KeyName,
    principal: Annotated[Principal, Depends(require_service(Scope.KEYS_UNSEAL))],
    services: ServicesDep,
    origin: OriginDep,
) -> SealedKey:
    """Return a key as ciphertext to the service that works for its owner; each use is audited."""
    _check_acts_for(principal, user)
    return sealed_key(await services.keep_keys.hand_out(user, name, origin, service=principal.subject))


def _check_acts_for(principal: Principal, user: str) -> None:
    if principal.on_behalf_of != user:
        raise ForbiddenError("The token does not speak for this user.")
