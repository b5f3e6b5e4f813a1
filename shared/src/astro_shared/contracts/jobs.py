"""Jobs of a service as the other services see them: internal HTTP, callbacks and events."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from astro_shared.contracts.objects import ObjectRef


class JobPhase(StrEnum):
    """Phases of IVOA UWS 1.1."""

    PENDING = "PENDING"
    QUEUED = "QUEUED"
    EXECUTING = "EXECUTING"
    COMPLETED = "COMPLETED"
    ERROR = "ERROR"
    ABORTED = "ABORTED"
    HELD = "HELD"
    SUSPENDED = "SUSPENDED"
    ARCHIVED = "ARCHIVED"
    UNKNOWN = "UNKNOWN"

    @property
    def is_final(self) -> bool:
        """Nothing but archiving follows."""
        return self in FINAL_PHASES


FINAL_PHASES = frozenset({JobPhase.COMPLETED, JobPhase.ERROR, JobPhase.ABORTED, JobPhase.ARCHIVED})

NEXT_PHASES: dict[JobPhase, frozenset[JobPhase]] = {
    JobPhase.PENDING: frozenset({JobPhase.QUEUED, JobPhase.ABORTED, JobPhase.ERROR}),
    JobPhase.HELD: frozenset({JobPhase.QUEUED, JobPhase.ABORTED, JobPhase.ERROR}),
    JobPhase.QUEUED: frozenset({JobPhase.EXECUTING, JobPhase.HELD, JobPhase.ABORTED, JobPhase.ERROR}),
    JobPhase.EXECUTING: frozenset({JobPhase.COMPLETED, JobPhase.ERROR, JobPhase.ABORTED, JobPhase.SUSPENDED}),
    JobPhase.SUSPENDED: frozenset({JobPhase.EXECUTING, JobPhase.ABORTED, JobPhase.ERROR}),
    JobPhase.COMPLETED: frozenset({JobPhase.ARCHIVED}),
    JobPhase.ERROR: frozenset({JobPhase.ARCHIVED}),
    JobPhase.ABORTED: frozenset({JobPhase.ARCHIVED}),
    JobPhase.ARCHIVED: frozenset(),
    JobPhase.UNKNOWN: frozenset(),
}
"""The UWS state graph. An attempt that was lost or handed back waits as SUSPENDED for the next one."""


class JobCreate(BaseModel):
    """Ask a service for a piece of work."""

    model_config = ConfigDict(extra="forbid")

    kind: str = Field(title="Kind", description="What to do; each service lists its own", examples=["measure"])
    idempotency_key: str = Field(
        title="Idempotency key",
        description="Same key and same request give the same job",
        min_length=8,
        max_length=128,
        pattern=r"^[\x21-\x7e]+$",
        examples=["9b2e-measure-1f4a"],
    )
    request: dict[str, Any] = Field(title="Request", description="Validated with the model of the kind")
    callback_url: str | None = Field(
        default=None,
        title="Callback",
        max_length=500,
        pattern=r"^https?://",
        description="Told once of the final phase, without promise: whoever waits also asks now and then",
    )


class JobProgress(BaseModel):
    """Where an execution stands."""

    fraction: float = Field(default=0.0, ge=0.0, le=1.0, title="Fraction done")
    step: str = Field(default="", title="Step", examples=["background"])
    message: str = Field(default="", title="Message for people")


class JobFailure(BaseModel):
    """Why a job ended in ERROR."""

    code: str = Field(title="Stable code", examples=["fits_unreadable"])
    message: str = Field(title="One sentence for people")
    stage: str = Field(default="", title="Step in which it happened", examples=["background"])
    retryable: bool = Field(default=False, title="The same request may work later")
    details: dict[str, Any] = Field(default_factory=dict, title="Facts behind the message")


class JobUsage(BaseModel):
    """What the winning (or last) attempt cost."""

    seconds: float = Field(title="Wall time, s", ge=0)
    cpu_seconds: float = Field(title="Processor time, s", ge=0)
    peak_mb: float = Field(title="Largest resident memory, MB", ge=0)


class JobView(BaseModel):
    """A job as its service tells it."""

    id: str
    service: str
    kind: str
    owner: str
    phase: JobPhase
    attempt: int = Field(
        title="Attempt", description="Number of the execution that runs or ran last; 0 before the first"
    )
    progress: JobProgress = Field(default_factory=JobProgress)
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    result: dict[str, Any] | None = None
    files: dict[str, ObjectRef] = Field(default_factory=dict)
    error: JobFailure | None = None
    usage: JobUsage | None = None

    @property
    def is_final(self) -> bool:
        """The phase will not change any more."""
        return self.phase.is_final


class JobEvent(BaseModel):
    """One line of the append-only history of a job; ``id`` resumes a broken stream."""

    id: int
    job_id: str
    at: datetime
    type: str = Field(title="Type", description="`phase` or `progress`")
    data: dict[str, Any] = Field(default_factory=dict)
