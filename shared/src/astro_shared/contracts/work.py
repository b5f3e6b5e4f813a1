"""Work besides reductions that a person starts at the gateway: forced photometry, masters, solutions, matches and more."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from astro_shared.contracts.gateway import ResultFile
from astro_shared.contracts.jobs import JobFailure, JobPhase, JobProgress
from astro_shared.contracts.photometry import (
    MAX_POSITIONS,
    MAX_RAW_FRAMES,
    MAX_SERIES,
    MIN_SERIES,
    ForcedPosition,
    MasterName,
)
from astro_shared.contracts.settings import InputSettings


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class WorkView(_Model):
    """A piece of work and how far it is. It survives the restart of any process; look again until the phase is final."""

    id: str
    kind: str = Field(
        description="forced, master, extinction, solution, crossmatch, match_surveys or import_reference."
    )
    phase: JobPhase
    progress: JobProgress = JobProgress()
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    result: dict[str, Any] | None = Field(None, description="Figures; tables, images and plots are files.")
    files: tuple[ResultFile, ...] = Field((), description="What was made, each with the address that gives it.")
    error: JobFailure | None = Field(None, description="Why it ended in ERROR: a stable code and one sentence.")


class ForcedCreate(_Model):
    """Where to measure on the frame of a finished reduction."""

    positions: tuple[ForcedPosition, ...] = Field(
        min_length=1,
        max_length=MAX_POSITIONS,
        description="Pixels (x, y; zero-based) or sky (ra_deg, dec_deg; ICRS at the epoch of the exposure).",
        examples=[[{"name": "SN 2026a", "ra_deg": 150.1163, "dec_deg": 2.2058}, {"x": 812.4, "y": 77.0}]],
    )


class MasterCreate(_Model):
    """Raw calibration frames that become one master."""

    kind: MasterName
    upload_ids: tuple[str, ...] = Field(
        min_length=2, max_length=MAX_RAW_FRAMES, description="Completed uploads of raw frames, in any order."
    )
    bias_id: str | None = Field(
        None, description="Master bias for darks and flats: an upload, or finished master work."
    )
    dark_id: str | None = Field(None, description="Master dark for flats: an upload, or finished master work.")
    clip_sigma: float = Field(3.0, gt=0, description="Values further from the median of their pixel are left out.")
    input: InputSettings = Field(
        InputSettings(), description="As of the reductions that will use it: hdu, overscan, exposure."
    )


class ExtinctionCreate(_Model):
    """A series of calibrated frames of one band."""

    reduction_ids: tuple[str, ...] = Field(
        min_length=MIN_SERIES,
        max_length=MAX_SERIES,
        description="Calibrated reductions; together 0.3 in airmass or more.",
    )
    airmass_formula: Literal["pickering", "kasten_young", "hardie"] = "pickering"

    @model_validator(mode="after")
    def _names_each_once(self) -> ExtinctionCreate:
        if len(set(self.reduction_ids)) < len(self.reduction_ids):
            raise ValueError("reduction_ids names a reduction twice")
        return self
