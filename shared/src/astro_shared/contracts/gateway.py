"""The public face: uploads, reductions and their results; and the request of the gateway's own job ``collect``."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from astro_shared.contracts.objects import ObjectRef


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class StageName(StrEnum):
    """The stages of a reduction, in order."""

    MEASURE = "measure"
    SOLVE = "solve"
    CALIBRATE = "calibrate"
    IDENTIFY = "identify"
    COLLECT = "collect"


class StageState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    ABORTED = "aborted"


class ReductionPhase(StrEnum):
    """UWS names; a final phase changes only where catalogues that failed are asked again."""

    QUEUED = "QUEUED"
    EXECUTING = "EXECUTING"
    COMPLETED = "COMPLETED"
    ERROR = "ERROR"
    ABORTED = "ABORTED"


ReductionStatus = Literal["calibrated", "uncalibrated", "failed"]


class UploadCreate(_Model):
    filename: str = Field(min_length=1, max_length=255, examples=["ngc7000_r_0001.fits.fz"])
    size: int = Field(ge=1, description="Bytes.")
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="Checked when the upload is completed.")
    purpose: Literal["frame", "reference"] = "frame"


class UploadForm(_Model):
    url: str = Field(description="Where to POST multipart/form-data.")
    fields: dict[str, str] = Field(description="Fields to send first, in any order; the file comes last, as `file`.")


class UploadView(_Model):
    id: str
    filename: str
    size: int
    purpose: str
    complete: bool
    sha256: str | None = None
    method: Literal["PUT"] | None = None
    url: str | None = Field(
        None,
        description="Where to PUT exactly the bytes announced, with their Content-Length; valid until url_expires_at.",
    )
    form: UploadForm | None = Field(
        None, description="The same for browsers, as a form; where the platform keeps its objects in S3."
    )
    url_expires_at: datetime | None = None
    created_at: datetime


class ReductionCreate(_Model):
    upload_id: str = Field(description="A completed upload with purpose frame.")
    bias_upload_id: str | None = Field(
        None, description="Master bias, ADU: a completed upload, or finished master work."
    )
    dark_upload_id: str | None = Field(
        None, description="Master dark, ADU: a completed upload, or finished master work."
    )
    flat_upload_id: str | None = Field(None, description="Master flat: a completed upload, or finished master work.")
    settings: dict[str, Any] = Field(default_factory=dict, description="Partial overrides, section by section.")
    preset: str | None = Field(None, description="Name of a preset, applied between saved settings and the request.")


class StageView(_Model):
    name: StageName
    state: StageState
    fraction: float = Field(0.0, ge=0, le=1)
    step: str = ""
    message: str = ""
    seconds: float | None = None
    cpu_seconds: float | None = None
    peak_mb: float | None = None
    reason: str | None = Field(None, description="Why it failed or was skipped.")
    code: str | None = None


class ReductionView(_Model):
    id: str
    owner: str
    frame_name: str
    phase: ReductionPhase
    status: ReductionStatus | None = None
    reason: str | None = None
    settings_hash: str
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    stages: tuple[StageView, ...]
    summary: dict[str, Any] | None = Field(None, description="summary.json of a finished reduction.")
    results: tuple[str, ...] = Field((), description="Names of the files under /results.")


class ResultFile(_Model):
    name: str
    size: int
    media_type: str
    sha256: str
    url: str


class CollectStage(_Model):
    """What the collect job needs to know of a stage before it."""

    name: StageName
    state: StageState
    reason: str | None = None
    code: str | None = None
    seconds: float | None = None
    cpu_seconds: float | None = None
    peak_mb: float | None = None
    result: dict[str, Any] | None = None
    files: dict[str, ObjectRef] = Field(default_factory=dict)


class CollectRequest(_Model):
    reduction_id: str
    frame_name: str
    settings: dict[str, Any]
    settings_hash: str
    stages: tuple[CollectStage, ...]


class CollectResult(_Model):
    status: ReductionStatus
    reason: str | None = None
    summary: dict[str, Any]
