"""Which frames hold a position."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["FrameFootprint", "FramesAt", "FrameView"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class FrameFootprint(_Model):
    """A solved frame on the sky, as the astrometry service keeps it."""

    job_id: str
    kind: str
    frame_name: str
    epoch_jyear: float | None = None
    scale_arcsec_px: float
    outline_deg: tuple[tuple[float, float], ...] = Field(
        description="Right ascension and declination around the frame."
    )
    created_at: datetime


class FrameView(_Model):
    """A solved frame that holds a position; exactly one of the two ids says what it came from."""

    frame_name: str
    reduction_id: str | None = None
    solution_id: str | None = None
    epoch_jyear: float | None = Field(None, description="Julian year of the exposure.")
    scale_arcsec_px: float
    outline_deg: tuple[tuple[float, float], ...] = Field(description="ICRS at the epoch of the exposure, degrees.")
    created_at: datetime


class FramesAt(_Model):
    """Frames that hold a position, newest first."""

    ra_deg: float
    dec_deg: float
    items: tuple[FrameView, ...]
