"""The jobs of the astrometry service."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel

from astro_shared.contracts.astrometry import SolveRequest
from astro_shared.contracts.solutions import SolutionRequest
from astro_shared.jobs.job_types import Answer, JobType


def job_types(answers: Mapping[str, Answer] | None = None) -> tuple[JobType, ...]:
    """What the service does; ``answers`` are the worker's, for questions of the child."""
    requests: dict[str, type[BaseModel]] = {"solve": SolveRequest, "solution": SolutionRequest}
    return tuple(
        JobType(
            name=name,
            request_model=model,
            task=f"astrometry_service.tasks:{name}",
            answers=answers or {},
            wall_limit_s=1200.0,
        )
        for name, model in requests.items()
    )
