"""The jobs that the gateway does itself."""

from __future__ import annotations

from astro_shared.contracts.gateway import CollectRequest
from astro_shared.jobs.job_types import JobType

JOB_TYPES = (
    JobType(name="collect", request_model=CollectRequest, task="gateway_service.tasks:collect", wall_limit_s=900.0),
)
