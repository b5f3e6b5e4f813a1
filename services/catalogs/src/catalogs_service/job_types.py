"""The jobs of the catalogs service."""

from __future__ import annotations

from collections.abc import Mapping

from astro_shared.contracts.catalogs import (
    CrossmatchRequest,
    IdentifyRequest,
    ImportReferenceRequest,
    MatchSurveysRequest,
    MirrorGaiaRequest,
)
from astro_shared.jobs.job_types import Answer, JobType


def job_types(answers: Mapping[str, Answer] | None = None, *, surveys_memory_mb: int = 0) -> tuple[JobType, ...]:
    """What the service offers; ``answers`` are the worker's replies to its children, the rest limits that are settings."""
    return (
        JobType(
            name="import_reference",
            request_model=ImportReferenceRequest,
            task="catalogs_service.tasks:import_reference",
            answers=answers or {},
            # 480 bytes a row for Gaia's usual seventeen columns, ten million rows
            memory_limit_mb=6144,
        ),
        JobType(
            name="identify",
            request_model=IdentifyRequest,
            task="catalogs_service.tasks:identify",
            answers=answers or {},
            wall_limit_s=900.0,
        ),
        JobType(
            name="crossmatch",
            request_model=CrossmatchRequest,
            task="catalogs_service.tasks:crossmatch",
            answers=answers or {},
            memory_limit_mb=8192,
        ),
        JobType(
            name="match_surveys",
            request_model=MatchSurveysRequest,
            task="catalogs_service.tasks:match_surveys",
            answers=answers or {},
            wall_limit_s=12 * 3600.0,
            # the cluster keeps its own limit; the job's process and the cluster's scheduler come on top
            memory_limit_mb=surveys_memory_mb + 4096,
            file_limit_mb=1 << 20,
        ),
        JobType(
            name="mirror_gaia",
            request_model=MirrorGaiaRequest,
            task="catalogs_service.tasks:mirror_gaia",
            answers=answers or {},
            # the archive sets the pace
            wall_limit_s=6 * 3600.0,
            memory_limit_mb=8192,
        ),
    )
