"""The jobs of the photometry service."""

from __future__ import annotations

from astro_shared.contracts.photometry import (
    CalibrateRequest,
    ExtinctionRequest,
    ForcedRequest,
    MasterRequest,
    MeasureRequest,
)
from astro_shared.jobs.job_types import JobType

JOB_TYPES = (
    JobType(name="measure", request_model=MeasureRequest, task="photometry_service.tasks:measure"),
    JobType(
        name="calibrate", request_model=CalibrateRequest, task="photometry_service.tasks:calibrate", wall_limit_s=600.0
    ),
    JobType(name="forced", request_model=ForcedRequest, task="photometry_service.tasks:forced", wall_limit_s=600.0),
    JobType(
        name="extinction",
        request_model=ExtinctionRequest,
        task="photometry_service.tasks:extinction",
        wall_limit_s=600.0,
    ),
    JobType(name="master", request_model=MasterRequest, task="photometry_service.tasks:master"),
)
