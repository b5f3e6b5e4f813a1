"""The jobs of the photometry service."""

from __future__ import annotations

from astro_shared.contracts.photometry import (
    CalibrateRequest,
    ExtinctionRequest,
    ForcedRequest,
    MasterRequest,
    MeasureRequest,
)
from astro_shared.jobs.kinds import JobKind

KINDS = (
    JobKind(name="measure", request_model=MeasureRequest, task="photometry_service.tasks:measure"),
    JobKind(
        name="calibrate", request_model=CalibrateRequest, task="photometry_service.tasks:calibrate", wall_limit_s=600.0
    ),
    JobKind(name="forced", request_model=ForcedRequest, task="photometry_service.tasks:forced", wall_limit_s=600.0),
    JobKind(
        name="extinction",
        request_model=ExtinctionRequest,
        task="photometry_service.tasks:extinction",
        wall_limit_s=600.0,
    ),
    JobKind(name="master", request_model=MasterRequest, task="photometry_service.tasks:master"),
)
