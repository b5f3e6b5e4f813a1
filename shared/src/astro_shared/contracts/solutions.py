"""Where a frame is on the sky, without photometry: from a list of stars, a table, or the frame itself."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from astro_shared.contracts.astrometry import StarColumns
from astro_shared.contracts.objects import ObjectRef
from astro_shared.contracts.settings import (
    AstrometrySettings,
    InputSettings,
    ProductSettings,
    ReferenceSettings,
    SolveSettings,
)

__all__ = ["SolutionCreate", "SolutionRequest"]

Side = Annotated[int, Field(ge=1, le=1_000_000)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Sized(_Model):
    """A list needs the size of its image; a frame has one."""

    stars: StarColumns | None = Field(None, description="The list itself.")
    width_px: Side | None = Field(None, description="Of the image that a list is from.")
    height_px: Side | None = None
    epoch_jyear: Annotated[float, Field(ge=1800, le=2200)] | None = Field(
        None, description="Of the exposure, for a list: proper motions are applied to it."
    )


class SolutionCreate(_Sized):
    """Exactly one of ``stars``, ``list_upload_id`` and ``frame_upload_id``."""

    name: str = Field("list", min_length=1, max_length=255, description="For people and logs.")
    list_upload_id: str | None = Field(None, description="A CSV or FITS table with x, y, flux (purpose `reference`).")
    frame_upload_id: str | None = Field(None, description="A frame (purpose `frame`); its stars are found by SEP.")
    settings: dict[str, Any] = Field(default_factory=dict, description="Overrides: solve, astrometry, reference, ...")

    @model_validator(mode="after")
    def _one_input(self) -> SolutionCreate:
        given = [self.stars, self.list_upload_id, self.frame_upload_id]
        if sum(item is not None for item in given) != 1:
            raise ValueError("give exactly one of stars, list_upload_id and frame_upload_id")
        if self.frame_upload_id is None and (self.width_px is None or self.height_px is None):
            raise ValueError("a list needs width_px and height_px of its image")
        return self


class SolutionRequest(_Sized):
    """The job ``solution`` of the astrometry service."""

    name: str
    sources: ObjectRef | None = None
    frame: ObjectRef | None = None
    input: InputSettings = InputSettings()
    solve: SolveSettings = SolveSettings()
    astrometry: AstrometrySettings = AstrometrySettings()
    reference: ReferenceSettings = ReferenceSettings()
    products: ProductSettings = ProductSettings()
