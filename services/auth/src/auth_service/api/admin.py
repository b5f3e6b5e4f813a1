"""Mail and invitations, for administrators."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from astro_shared.contracts.auth import (
    Email,
    InvitationList,
    InvitationRequest,
    MailState,
    MailTestRequest,
    Scope,
)
from astro_shared.web import Principal, problem_responses, require_user
from auth_service.api.dependencies import OriginDep, ServicesDep
from auth_service.api.schemas import invitation_view, mail_state

router = APIRouter(prefix="/api/v1/admin", tags=["administration"])

Administrator = Annotated[Principal, Depends(require_user(Scope.ADMIN))]


@router.get("/mail", summary="How mail is getting on")
async def mail(_principal: Administrator, services: ServicesDep) -> MailState:
    """Say how many letters wait, what keeps them, and which could not be delivered."""
    return mail_state(await services.operate_mail.state())


@router.post("/mail:test", status_code=204, summary="Send a test letter", responses=problem_responses(502))
async def send_test(body: MailTestRequest, principal: Administrator, services: ServicesDep, origin: OriginDep) -> None:
    """Send a letter at once and answer what the mail server said."""
    await services.operate_mail.test(body.to, origin, actor=principal.user_id)


@router.get("/invitations", summary="Open invitations")
async def invitations(_principal: Administrator, services: ServicesDep) -> InvitationList:
    """List the invitations that were mailed and can be used, newest first."""
    return InvitationList(items=[invitation_view(link) for link in await services.invite.open()])


@router.post("/invitations", status_code=202, summary="Invite somebody to open an account")
async def invite(body: InvitationRequest, principal: Administrator, services: ServicesDep, origin: OriginDep) -> None:
    """Mail a link with which one account may be opened within seven days; an earlier one to the address ends."""
    await services.invite(body.email, origin, actor=principal.user_id)


@router.delete("/invitations/{email:path}", status_code=204, summary="Withdraw an invitation")
async def withdraw(email: Email, principal: Administrator, services: ServicesDep, origin: OriginDep) -> None:
    """Make an invitation useless."""
    await services.invite.withdraw(email, origin, actor=principal.user_id)
