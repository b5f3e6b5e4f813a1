"""A lost password, an address to be confirmed, and how accounts are opened here."""

from __future__ import annotations

from fastapi import APIRouter, Depends

from astro_shared.contracts.auth import (
    AccountOptions,
    AddressConfirmRequest,
    NewPasswordRequest,
    RecoverRequest,
    RecoverResponse,
)
from auth_service.api.dependencies import OriginDep, ServicesDep, no_store

router = APIRouter(prefix="/api/v1/auth", tags=["auth"], dependencies=[Depends(no_store)])


@router.get("/options", summary="How accounts are opened and recovered here")
async def options(services: ServicesDep) -> AccountOptions:
    """Tell a frontend which of its pages are of use."""
    settings = services.settings
    return AccountOptions(
        registration=settings.registration.value,
        confirm_address=settings.confirm_address,
        recovery=settings.mail.kind != "none",
    )


@router.post("/recover", status_code=202, summary="Ask for a new password")
async def recover(body: RecoverRequest, services: ServicesDep, origin: OriginDep) -> RecoverResponse:
    """Mail a link to the owner of an account.

    The answer and its time are the same whether there is such an account or not. The link works once, within
    15 minutes of being mailed, and only the newest one does.
    """
    await services.request_recovery(body.account, origin)
    return RecoverResponse()


@router.post("/new-password", status_code=204, summary="Set a new password with a mailed link")
async def new_password(body: NewPasswordRequest, services: ServicesDep, origin: OriginDep) -> None:
    """Replace the password, end every session and personal token, and mail a notice to the owner."""
    await services.reset_password(body.token.get_secret_value(), body.new_password.get_secret_value(), origin)


@router.post("/confirm-address", status_code=204, summary="Confirm an address with a mailed link")
async def confirm_address(body: AddressConfirmRequest, services: ServicesDep, origin: OriginDep) -> None:
    """Give the account the address that the link was mailed to."""
    await services.confirm_address(body.token.get_secret_value(), origin)
