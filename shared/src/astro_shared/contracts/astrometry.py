"""Requests and results of the astrometry service's job ``solve``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from astro_shared.contracts.objects import ObjectRef
from astro_shared.contracts.photometry import FrameSummary
from astro_shared.contracts.settings import AstrometrySettings, ProductSettings, ReferenceSettings, SolveSettings
from astro_shared.contracts.warned import Warned

WcsState = Literal["missing", "malformed", "unverified", "valid", "calibrated"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


MAX_STARS = 50_000


class StarColumns(_Model):
    """A plain list of detected stars, column by column."""

    x: tuple[float, ...] = Field(min_length=1, max_length=MAX_STARS, description="Pixels, zero-based.")
    y: tuple[float, ...] = Field(min_length=1, max_length=MAX_STARS, description="Pixels, zero-based.")
    flux: tuple[float, ...] = Field(min_length=1, max_length=MAX_STARS, description="Any linear unit.")

    @model_validator(mode="after")
    def _same_length(self) -> StarColumns:
        if not len(self.x) == len(self.y) == len(self.flux):
            raise ValueError(f"{len(self.x)} x, {len(self.y)} y and {len(self.flux)} fluxes")
        return self


class SolveRequest(_Model):
    """A source table (``sources``), a plain list or a frame, its header and hints in; a WCS with errors out."""

    sources: ObjectRef | None = None
    stars: StarColumns | None = None
    frame: ObjectRef | None = None
    header: ObjectRef | None = Field(None, description="The frame's header as text cards.")
    summary: FrameSummary
    fwhm_px: float | None = None
    solve: SolveSettings = SolveSettings()
    astrometry: AstrometrySettings = AstrometrySettings()
    reference: ReferenceSettings = ReferenceSettings()
    products: ProductSettings = ProductSettings()

    @model_validator(mode="after")
    def _something_to_solve(self) -> SolveRequest:
        if self.sources is None and self.stars is None and self.frame is None:
            raise ValueError("give a source table, a list of stars or a frame")
        return self


class SolveAttempt(_Model):
    """One engine's try: what a person needs to know when nothing was found."""

    engine: str
    seconds: float
    outcome: Literal["solved", "no_solution", "refused", "unavailable", "time_limit", "error"]
    detail: str = ""
    log_odds: float | None = None


class DistortionPriorUse(_Model):
    """What became of the distortion of earlier frames; with ``version`` the reduction can be repeated."""

    used: bool
    version: int | None = Field(None, description="The newest frame in it; give it as astrometry.prior_version.")
    frames: int = 0
    reason: str = Field("", description="Why it was not used.")


class AstrometryReport(_Model, Warned):
    """The solution in numbers; ``report`` holds every count and threshold of the chain."""

    state: WcsState
    solved: bool
    reason: str | None = Field(None, description="Why there is no (better) solution.")
    advice: tuple[str, ...] = Field((), description="What to try.")
    engine: str | None = None
    header_wcs: WcsState = "missing"
    header_wcs_reason: str | None = None
    header_kept: bool = Field(
        False,
        description="Not solved; positions are those of the header's WCS, unverified and without errors: too few reference "
        "stars are expected on the frame to judge it, or it was accepted by `solve.accept_header`.",
    )
    n_reference_expected: int | None = Field(
        None, description="Reference stars that an unconfirmed WCS of the header puts on the frame."
    )
    n_reference_seen: int | None = Field(None, description="Of these, how many have a source within 15 pixels.")
    attempts: tuple[SolveAttempt, ...] = ()
    ra_center_deg: float | None = None
    dec_center_deg: float | None = None
    scale_arcsec_px: float | None = None
    rotation_deg: float | None = Field(None, description="Position angle of +y (up in the array), east of north.")
    parity: int | None = Field(None, description="Sign of det(CD): -1 ordinary sky, +1 mirrored.")
    width_deg: float | None = None
    height_deg: float | None = None
    n_sources: int = 0
    n_reference: int = 0
    n_matched: int = 0
    n_used: int = 0
    rms_mas: float | None = None
    rms_bright_mas: float | None = Field(None, description="Rms per axis of the pairs with S/N above 100.")
    degree: int | None = None
    alpha: float | None = Field(None, description="Factor on the centroid errors; null where it is not determined.")
    alpha_err: float | None = Field(None, description="Null with alpha: it was held at this value, not fitted.")
    alpha_upper: float | None = Field(None, description="95 per cent limit where alpha rests at its bound.")
    sigma_sys_mas: float | None = Field(None, description="Systematic scatter per axis; null where none is seen.")
    sigma_sys_err_mas: float | None = None
    sigma_sys_upper_mas: float | None = Field(None, description="95 per cent limit where it is not significant.")
    chi2_dof: float | None = None
    solution_error_mas: float | None = Field(
        None, description="Rms per axis over the frame, from the covariance of the fit."
    )
    solution_error_corner_mas: float | None = None
    sip_max_deviation_px: float | None = Field(
        None, description="Largest difference of the SIP header, forward or inverse, to the solution."
    )
    log_odds: float | None = None
    epoch_jyear: float | None = None
    epoch_assumed: bool = Field(
        False,
        description="The frame tells no date: `epoch_jyear` is what proper motions say, or the epoch of the reference list.",
    )
    epoch_err_yr: float | None = Field(
        None, description="One sigma of `epoch_jyear`; errors of positions hold the mean proper motion over it."
    )
    reference_name: str | None = None
    reference_layer: str | None = Field(None, description="mirror, cache, archive, vizier or list.")
    prior: DistortionPriorUse | None = None
    footprint_deg: tuple[tuple[float, float], ...] = Field(
        (), description="Right ascension and declination around the frame, along the outer edges of its pixels."
    )
    report: dict[str, Any] = Field(default_factory=dict)
    seconds: dict[str, float] = Field(default_factory=dict)


class SolveResult(_Model):
    astrometry: AstrometryReport


class EngineView(_Model):
    """One solving engine: whether it can be used, why not, and what would make it usable."""

    name: str
    usable: bool
    reason: str
    how_to_install: str = ""
    details: dict[str, str] = Field(default_factory=dict)


class EnginesView(_Model):
    """Engines in the order in which they are tried, and the index files that they may use."""

    engines: tuple[EngineView, ...]
    index_folders: tuple[str, ...] = Field((), description="Folders that were looked through.")
    index_files: int = 0
    index_problems: tuple[str, ...] = ()


Position = tuple[float, float]
Covariance = tuple[float, float, float]
MAX_POSITIONS = 100_000


class TransformRequest(_Model):
    """Positions through the WCS of a header: pixels to the sky, or the sky to pixels."""

    header: str = Field(max_length=400_000, description="Cards of the header, 80 characters each or one a line.")
    width_px: int = Field(ge=1, le=1_000_000)
    height_px: int = Field(ge=1, le=1_000_000)
    pixels: tuple[Position, ...] | None = Field(None, max_length=MAX_POSITIONS, description="x, y; 0-based.")
    sky: tuple[Position, ...] | None = Field(None, max_length=MAX_POSITIONS, description="ra, dec; degrees, ICRS.")
    covariances: tuple[Covariance, ...] | None = Field(
        None, max_length=MAX_POSITIONS, description="xx, yy, xy: pixel^2 with pixels, mas^2 (east, north) with sky."
    )

    @model_validator(mode="after")
    def _one_list(self) -> TransformRequest:
        if (self.pixels is None) == (self.sky is None):
            raise ValueError("give either pixels or sky")
        rows = self.pixels if self.pixels is not None else self.sky
        if self.covariances is not None and len(self.covariances) != len(rows or ()):
            raise ValueError("covariances and positions are of different lengths")
        return self


class TransformResult(_Model):
    """``positions`` are null where there is no sky or no image; covariances are null where none were given."""

    positions: tuple[Position | None, ...]
    covariances: tuple[Covariance | None, ...] | None = None
    unit: Literal["deg", "px"]
    covariance_unit: Literal["mas2", "px2"]
    frame: Literal["ICRS"] = "ICRS"
    epoch_jyear: float | None = Field(
        None,
        description="Of the positions, proper motions applied, as JEPOCH of the header says; null where it does not.",
    )
