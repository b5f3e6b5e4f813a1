"""What the routes need: the factory of the application and the caller."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from astro_shared.contracts.auth import Scope
from astro_shared.web import Principal, require, require_service, require_user
from gateway_service.factory import GatewayFactory


def factory(request: Request) -> GatewayFactory:
    """The objects of this application, made at its start."""
    made: GatewayFactory = request.app.state.factory
    return made


Factory = Annotated[GatewayFactory, Depends(factory)]
FrameReader = Annotated[Principal, Depends(require(Scope.FRAMES_READ))]
FrameWriter = Annotated[Principal, Depends(require_user(Scope.FRAMES_WRITE))]
ReductionReader = Annotated[Principal, Depends(require(Scope.REDUCTIONS_READ))]
ReductionWriter = Annotated[Principal, Depends(require_user(Scope.REDUCTIONS_WRITE))]
CatalogReader = Annotated[Principal, Depends(require(Scope.CATALOGS_READ))]
Caller = Annotated[Principal, Depends(require_service(Scope.JOBS_CALLBACK))]
