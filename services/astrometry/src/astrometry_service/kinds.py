"""The jobs of the astrometry service."""

from __future__ import annotations

from collections.abc import Mapping

from astro_shared.contracts.astrometry import SolveRequest
from astro_shared.jobs.kinds import Answer, JobKind


def kinds(answers: Mapping[str, Answer] | None = None) -> tuple[JobKind, ...]:
    """What the service does; ``answers`` are the worker's, for questions of the child."""
    return (
        JobKind(
            name="solve",
            request_model=SolveRequest,
            task="astrometry_service.tasks:solve",
            answers=answers or {},
            wall_limit_s=1200.0,
        ),
    )
