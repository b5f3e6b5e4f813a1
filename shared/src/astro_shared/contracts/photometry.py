"""Requests and results of the photometry service's jobs: ``measure``, ``calibrate``, ``forced``, ``master``, ``extinction``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from astro_shared.contracts.objects import ObjectRef
from astro_shared.contracts.settings import (
    ApertureSettings,
    BackgroundSettings,
    CosmicRaySettings,
    DetectionSettings,
    InputSettings,
    ProductSettings,
    PsfPhotometrySettings,
    PsfSettings,
    ZeroPointSettings,
)
from astro_shared.contracts.warned import Warned


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MeasureRequest(_Model):
    """Pixels in, source table out."""

    frame: ObjectRef
    frame_name: str = Field(max_length=255, description="The client's file name; never a path.")
    bias: ObjectRef | None = Field(None, description="Master bias, ADU.")
    dark: ObjectRef | None = Field(None, description="Master dark, ADU; holds its bias unless a bias is given too.")
    flat: ObjectRef | None = Field(None, description="Master flat; normalised to its median.")
    input: InputSettings = InputSettings()
    cosmic_rays: CosmicRaySettings = CosmicRaySettings()
    background: BackgroundSettings = BackgroundSettings()
    detection: DetectionSettings = DetectionSettings()
    psf: PsfSettings = PsfSettings()
    psf_photometry: PsfPhotometrySettings = PsfPhotometrySettings()
    aperture: ApertureSettings = ApertureSettings()
    products: ProductSettings = ProductSettings()


class PointingHint(_Model):
    """One way to read the pointing of a header: right ascension in degrees or in hours, or exchanged with declination."""

    ra_deg: float
    dec_deg: float
    keyword: str = Field(description="Of the right ascension.")
    reading: str = Field(
        description="degrees, hours or radians; `, exchanged` where the two stand in each other's place."
    )


class FrameSummary(_Model, Warned):
    """What is known of the frame after ``measure``. Values that are not known are null, with a warning."""

    frame_name: str
    hdu: int
    width_px: int
    height_px: int
    date_mid: str | None = Field(None, description="UTC, ISO 8601 with Z.")
    mjd_mid: float | None = Field(None, description="Modified Julian date of mid-exposure, UTC.")
    epoch_jyear: float | None = Field(
        None,
        description="Null where nothing tells when the exposure was: whoever needs an epoch assumes one and says so.",
    )
    epoch_source: str | None = Field(None, description="Keyword that the date is from, or `request`.")
    epoch_err_yr: float | None = Field(None, description="One sigma of the epoch; null where no date is known.")
    exposure_s: float | None = None
    filter: str | None = None
    gain_e_per_adu: float
    read_noise_e: float
    saturation_e: float | None = None
    noise_model: Literal["header", "request", "assumed"]
    ra_pointing_deg: float | None = None
    dec_pointing_deg: float | None = None
    pointings: tuple[PointingHint, ...] = Field(
        (), description="Every way to read the pointing, the most plausible (the two fields above) first."
    )
    pixel_scale_arcsec: float | None = Field(None, description="From the header, not a solution.")
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    elevation_m: float | None = None
    airmass_header: float | None = None
    image_type: str | None = None


class CompletenessReport(_Model):
    """Share of injected stars that were found, in bins of equal width in the logarithm of the flux."""

    flux_e: tuple[float, ...] = Field(description="Geometric middle of the bin.")
    injected: tuple[int, ...]
    found: tuple[int, ...]
    fraction: tuple[float | None, ...]
    fraction_err: tuple[float, ...]
    flux_bias: tuple[float | None, ...] = Field(description="Median of measured over injected flux minus 1.")
    flux_50_e: float | None = Field(None, description="Flux at which half of the stars are found.")
    flux_90_e: float | None = Field(None, description="Flux at which nine in ten are found.")


class MeasureResult(_Model):
    """Figures of ``measure``; tables and maps are files."""

    frame: FrameSummary
    sources: int
    saturated: int
    fwhm_psf_px: float | None
    fwhm_marginal_px: float | None
    ellipticity: float | None = None
    psf_kind: str
    psf_stars: int
    psf_misfit: float | None = Field(
        None, description="Share of the light of bright stars that the PSF leaves beyond noise; 0 where it holds."
    )
    background_e: float
    background_rms_e: float
    rms_ratio: float | None = None
    cosmic_ray_pixels: int | None = None
    no_sky: str | None = Field(None, description="What the frame is, where it is no plain picture of the sky; why.")
    chi2_median: float | None = Field(None, description="Reduced chi-square of clean stars above S/N 10.")
    core_residual_over_noise: float | None = Field(
        None, description="Residual rms over noise in cores of bright stars."
    )
    position_error_over_bound: float | None = Field(
        None, description="Quoted error of bright clean stars over the Cramer-Rao bound of the PSF, median of x and y."
    )
    completeness: CompletenessReport | None = Field(None, description="Where products.completeness asked for it.")
    curve_of_growth: tuple[tuple[float, float], ...] = Field(
        (), description="Radius [px], aperture over profile flux: median of bright clean stars."
    )
    flux_kind: Literal["psf", "aperture"]
    aperture_correction_mag: float | None = None
    aperture_correction_err_mag: float | None = None
    aperture_number: int = Field(1, description="Which of the four apertures is calibrated.")
    noise_flux_e: float | None = Field(None, description="Error of zero flux of a point source, median of the frame.")
    seconds: dict[str, float] = Field(default_factory=dict, description="Wall seconds per step.")
    cpu_seconds: dict[str, float] = Field(default_factory=dict, description="Processor seconds per step.")


class CalibrateRequest(_Model):
    """Source table, sky positions and reference stars in, magnitudes out."""

    sources: ObjectRef
    positions: ObjectRef
    reference: ObjectRef
    measure: MeasureResult
    ra_center_deg: float
    dec_center_deg: float
    scale_arcsec_px: float
    depth: ObjectRef | None = Field(None, description="depth_5sigma.fits of `measure`: gives the map of limits.")
    zero_point: ZeroPointSettings = ZeroPointSettings()
    input: InputSettings = InputSettings()
    products: ProductSettings = ProductSettings()


class ZeroPointTerms(_Model):
    """Zero point at every place of a frame: 1, color - color_zero (if there is a colour term), u, v, u^2, u v, v^2, ...

    u = 2 (x + 0.5) / width - 1 and v = 2 (y + 0.5) / height - 1 run from -1 to 1 over the frame.
    """

    coefficients: tuple[float, ...] = Field(min_length=1, description="mag; the first is the zero point at the centre.")
    covariance: tuple[tuple[float, ...], ...] = Field(description="mag^2, of the coefficients.")
    has_color: bool = False
    spatial_order: Annotated[int, Field(ge=0, le=2)] = 0
    color_zero: float = 0.0
    color_scatter: float = Field(
        0.0, description="mag; by how much the colour of a star is not known, where it is not."
    )
    sigma_int: float = Field(0.0, description="mag; scatter of stars beyond their errors.")

    @model_validator(mode="after")
    def _fits_together(self) -> ZeroPointTerms:
        n = 1 + self.has_color + (self.spatial_order * (self.spatial_order + 3)) // 2
        if len(self.coefficients) != n or [len(row) for row in self.covariance] != [n] * n:
            raise ValueError(f"a zero point of order {self.spatial_order} has {n} terms and a covariance of {n} x {n}")
        return self


class ZeroPointReport(_Model, Warned):
    """magnitude = mag_inst + value + color_term (color - color_zero) + spatial terms - extinction.

    The last where ``extinction`` is ``fixed``: extinction_mag of the settings times the airmass (of the star where it is
    ``differential``).
    """

    status: Literal["calibrated", "uncalibrated"]
    reason: str | None = None
    band: str | None = None
    system: str | None = None
    color: str | None = Field(None, description="Which colour, or null when there is no colour term.")
    value: float | None = None
    error: float | None = Field(
        None, description="Of calibrated magnitudes: calibrators and sources share the profile."
    )
    error_total: float | None = Field(
        None,
        description="With the error of the profile's flux scale, known as well as the aperture correction: for comparing "
        "zero points of frames and of telescopes.",
    )
    color_term: float | None = None
    color_term_err: float | None = None
    color_zero: float | None = None
    spatial_order: int | None = None
    terms: ZeroPointTerms | None = Field(None, description="All of it, with its errors, at any place of the frame.")
    n_used: int = 0
    n_considered: int = 0
    rms: float | None = None
    mad: float | None = Field(None, description="1.4826 times the median absolute residual of the stars used.")
    sigma_int: float | None = None
    chi2_red: float | None = None
    extinction: str | None = Field(
        None, description="absorbed in the zero point, or fixed: the zero point is outside the atmosphere."
    )
    differential_extinction: bool = Field(
        False, description="Each source was given the extinction of its own airmass: a wide or a low field."
    )
    airmass: float | None = None
    airmass_reason: str | None = None
    limiting_mag_5sigma: float | None = None
    completeness_50_mag: float | None = Field(None, description="Magnitude at which half of the stars are found.")
    completeness_90_mag: float | None = None


class CalibrateResult(_Model):
    zero_point: ZeroPointReport
    calibrated_sources: int
    seconds: dict[str, float] = Field(default_factory=dict)


MAX_POSITIONS = 10_000


class ForcedPosition(_Model):
    """Where to measure: pixels (zero-based), or the sky (ICRS at the epoch of the exposure) with a WCS."""

    name: str = Field("", max_length=80)
    x: float | None = None
    y: float | None = None
    ra_deg: Annotated[float, Field(ge=0, lt=360)] | None = None
    dec_deg: Annotated[float, Field(ge=-90, le=90)] | None = None
    color: float | None = Field(None, description="mag, as `color` of the zero point says; null where it is not known.")

    @model_validator(mode="after")
    def _is_one_place(self) -> ForcedPosition:
        missing = ((self.x, self.y).count(None), (self.ra_deg, self.dec_deg).count(None))
        if missing not in ((0, 2), (2, 0)):
            raise ValueError("a position is either x and y, or ra_deg and dec_deg")
        return self


class ForcedRequest(_Model):
    """Positions in, signed fluxes out, whether something was detected there or not."""

    frame: ObjectRef
    frame_name: str = Field(max_length=255)
    bias: ObjectRef | None = None
    dark: ObjectRef | None = None
    flat: ObjectRef | None = None
    psf: ObjectRef = Field(description="psf.fits of `measure`.")
    sources: ObjectRef | None = Field(None, description="sources.fits of `measure`: neighbours are fitted along.")
    wcs: ObjectRef | None = Field(None, description="wcs.fits of `solve`; needed for positions on the sky.")
    positions: tuple[ForcedPosition, ...] = Field(min_length=1, max_length=MAX_POSITIONS)
    zero_point: ZeroPointTerms | None = Field(None, description="Magnitude of one electron per second.")
    extinction_mag: float = Field(
        0.0, description="At the centre, what the zero point does not hold of the atmosphere."
    )
    airmass: float | None = Field(None, description="Of the centre.")
    extinction_per_airmass_mag: float = Field(
        0.0, description="By how much the extinction of a place differs for its own airmass; 0 = not at all."
    )
    airmass_formula: Literal["pickering", "kasten_young", "hardie"] = "pickering"
    input: InputSettings = InputSettings()
    cosmic_rays: CosmicRaySettings = CosmicRaySettings()
    background: BackgroundSettings = BackgroundSettings()
    psf_photometry: PsfPhotometrySettings = PsfPhotometrySettings()


class ForcedFlux(_Model):
    """Null where the frame has no usable pixel. Fluxes are signed; a negative flux has no magnitude."""

    name: str
    x: float | None
    y: float | None
    ra_deg: float | None = Field(None, description="ICRS: as asked for, or of the pixel where a WCS was given.")
    dec_deg: float | None = None
    date_mid: str | None = Field(None, description="Mid-exposure, UTC.")
    mjd_mid: float | None = Field(None, description="Mid-exposure, UTC.")
    bjd_tdb_mid: float | None = Field(
        None, description="Mid-exposure at this place, barycentric (from the Earth's centre)."
    )
    exposure_s: float | None = None
    band: str | None = Field(None, description="The filter of the frame.")
    flux_e: float | None
    flux_err_e: float | None
    snr: float | None
    upper_limit_e: float | None = Field(None, description="Three sigma above max(flux, 0), where S/N is below 3.")
    mag: float | None = None
    mag_err_stat: float | None = Field(None, description="From the counts; null where S/N is below 3.")
    mag_err_total: float | None = Field(None, description="With the errors of the zero point at this place.")
    upper_limit_mag: float | None = None
    flags: int


class ForcedTable(_Model):
    """``forced.json``: one row per position, in the order in which they were given; ``forced.csv`` has the same rows."""

    frame_name: str
    fluxes: tuple[ForcedFlux, ...]


class ForcedResult(_Model):
    """Figures of ``forced``; the fluxes are in ``forced.json`` and ``forced.csv``."""

    frame: FrameSummary
    positions: int
    measured: int = Field(description="Positions with a usable pixel.")
    detected: int = Field(description="Positions with a signal to noise of 3 or more.")
    zero_point_mag: float | None = Field(None, description="At the centre of the frame, for the reference colour.")
    zero_point_err_mag: float | None = None


MasterName = Literal["bias", "dark", "flat"]
MAX_RAW_FRAMES = 200


class MasterRequest(_Model):
    """Raw calibration frames in, one master with its variance out."""

    kind: MasterName
    frames: tuple[ObjectRef, ...] = Field(min_length=2, max_length=MAX_RAW_FRAMES)
    frame_names: tuple[str, ...]
    bias: ObjectRef | None = Field(None, description="Master bias, taken off darks and flats.")
    dark: ObjectRef | None = Field(None, description="Master dark, taken off flats.")
    clip_sigma: Annotated[float, Field(gt=0)] = 3.0
    input: InputSettings = InputSettings()


class MasterResult(_Model, Warned):
    """Figures of ``master.fits``."""

    kind: MasterName
    n_frames: int
    width_px: int
    height_px: int
    exposure_s: float | None = Field(None, description="Of a dark.")
    median: float = Field(description="ADU; 1 for a flat.")
    error: float = Field(description="Root mean square error of a pixel, one sigma, same unit.")
    masked_pixels: int
    bias_subtracted: bool


class SeriesFrame(_Model):
    """One frame of a series: a finished calibration."""

    name: str
    calibrators: ObjectRef = Field(description="calibrators.fits of `calibrate`.")
    frame: FrameSummary
    zero_point: ZeroPointReport


MIN_SERIES, MAX_SERIES = 5, 500


class ExtinctionRequest(_Model):
    """Calibrated frames of one band in, extinction out."""

    frames: tuple[SeriesFrame, ...] = Field(min_length=MIN_SERIES, max_length=MAX_SERIES)
    airmass_formula: Literal["pickering", "kasten_young", "hardie"] = "pickering"


class FrameZeroPoint(_Model):
    """One frame of the series in the fit."""

    name: str
    airmass: float | None
    stars: int = Field(description="Measurements used.")
    used: bool
    reason: str | None = Field(None, description="Why the frame had no part.")
    zero_point_mag: float | None = Field(
        None, description="At this frame's airmass, for stars of the reference colour."
    )
    offset_mag: float | None = Field(None, description="From the line zero_point_mag - k airmass.")
    offset_err_mag: float | None = None


class ExtinctionResult(_Model):
    """magnitude = mag_inst + zero_point - k X + (color_term - k2 X) (color - color_zero)."""

    band: str
    color: str | None = None
    color_zero: float | None = None
    k_mag: float = Field(description="Per airmass, for stars of the reference colour.")
    k_err_mag: float
    k2: float | None = Field(
        None, description="k'': per airmass and magnitude of colour; null where colours are too few."
    )
    k2_err: float | None = None
    zero_point_mag: float = Field(description="Above the atmosphere.")
    zero_point_err_mag: float
    color_term: float | None = None
    color_term_err: float | None = None
    sigma_frame_mag: float = Field(description="Scatter of the frames about the line: transparency.")
    sigma_star_mag: float = Field(description="Scatter of the stars: errors of their reference magnitudes.")
    sigma_extra_mag: float = Field(description="Scatter of single measurements beyond their errors.")
    frames: tuple[FrameZeroPoint, ...]
    stars: int
    measurements: int
