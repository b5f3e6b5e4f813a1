"""Processing settings: one section per step, the only place of defaults, ranges, units and descriptions.

Everything here is plain data. The gateway resolves defaults < saved by the user < preset < request once and hands each
service its full sections; ``ProcessingSettings.model_json_schema()`` feeds forms. Partial overrides (what a user saves,
what a request carries) are nested dicts, merged and checked by ``resolve``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class InputSettings(_Section):
    """What to read, and values that replace or complete the header's."""

    hdu: int | Literal["first", "all"] = Field(
        "first", description="Image HDU: its index, the first, or all amplifiers."
    )
    mask_hdu: Annotated[int, Field(ge=0, le=999)] | Annotated[str, Field(max_length=68)] | None = Field(
        "auto",
        description="Data-quality plane of the same file: its index or name; pixels not zero are masked. auto: planes of "
        "quality, errors and weights are found by their names; null: none is used.",
    )
    mask_bits: int = Field(-1, description="Which bits of the data-quality plane mask a pixel; -1 is all.")
    overscan: bool = Field(
        False, description="Subtract BIASSEC and trim to TRIMSEC or DATASEC; always done for hdu = all."
    )
    gain_e_per_adu: Positive | None = Field(None, description="Overrides the header. Electrons per ADU.")
    read_noise_e: Annotated[float, Field(ge=0)] | None = Field(None, description="Overrides the header. Electrons.")
    saturation_adu: Positive | None = Field(None, description="Overrides the header. ADU.")
    exposure_s: Positive | None = Field(None, description="Overrides the header. Seconds.")
    date_mid: str | None = Field(None, description="Mid-exposure, UTC, ISO 8601; overrides the header.")
    filter: str | None = Field(None, description="Filter name; overrides the header.")
    latitude_deg: Annotated[float, Field(ge=-90, le=90)] | None = Field(None, description="Site, north positive.")
    longitude_deg: Annotated[float, Field(ge=-360, le=360)] | None = Field(None, description="Site, east positive.")
    elevation_m: Annotated[float, Field(ge=-500, le=9000)] | None = Field(None, description="Site, metres.")
    observatory_code: str | None = Field(None, max_length=4, description="MPC observatory code; 500 = geocentre.")


class CosmicRaySettings(_Section):
    """L.A.Cosmic (van Dokkum 2001)."""

    enabled: Literal["auto", "on", "off"] = Field(
        "auto", description="auto: left in where stars are narrower than 1.2 px, or nearly all of them would be taken."
    )
    engine: Literal["sparse", "astroscrappy"] = Field(
        "sparse", description="Same decisions; astroscrappy is the reference."
    )
    medians: Literal["full", "separable"] = Field(
        "full", description="separable is faster and flags undersampled stars."
    )
    sigclip: Positive = Field(4.5, description="Laplacian S/N limit.")
    sigfrac: Annotated[float, Field(gt=0, le=1)] = Field(0.3, description="Share of sigclip for neighbouring pixels.")
    objlim: Positive = Field(5.0, description="Contrast against the fine structure of stars.")
    niter: Annotated[int, Field(ge=1, le=10)] = Field(4, description="Most iterations.")
    cleantype: Literal["meanmask", "medmask", "idw", "median"] = Field(
        "meanmask",
        description="What a hit is replaced by: mean, median or inverse-distance mean of the good pixels of the 5x5; "
        "median: of all of them, sparse engine only.",
    )
    fsmode: Literal["median", "convolve"] = Field(
        "median", description="Fine structure of stars: by medians, or by a matched filter of the three settings below."
    )
    psfmodel: Literal["gauss", "gaussx", "gaussy", "moffat"] = Field("gauss", description="Kernel of the filter.")
    psffwhm_px: Positive = Field(2.5, description="FWHM of the kernel.")
    psfsize_px: Annotated[int, Field(ge=3, le=25)] = Field(7, description="Odd side of the kernel.")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.psfsize_px % 2 == 0:
            raise ValueError(f"psfsize_px must be odd, not {self.psfsize_px}")
        if self.engine == "astroscrappy" and self.cleantype == "median":
            raise ValueError("cleantype median needs engine sparse: astroscrappy takes it from unwritten memory")
        return self


class BackgroundSettings(_Section):
    """Two-dimensional background and its RMS."""

    box_px: Annotated[int, Field(ge=8, le=4096)] | None = Field(
        None, description="Mesh size; default 64, at least 10 FWHM."
    )
    filter_size: Annotated[int, Field(ge=1, le=15)] = Field(3, description="Median filter over meshes.")
    clip_sigma: Positive = Field(3.0, description="Clipping limit.")
    max_iterations: Annotated[int, Field(ge=1, le=50)] = Field(10, description="Most clipping rounds.")
    estimator: Literal["sextractor", "median"] = Field(
        "sextractor", description="2.5 median - 1.5 mean, or the median."
    )
    mask_sources: bool = Field(True, description="Mask detected sources in a second pass.")


class DetectionSettings(_Section):
    """How sources are found."""

    detector: Literal["matched", "dao"] = Field("matched", description="PSF-matched filter, or DAOStarFinder.")
    detect_snr: Annotated[float, Field(ge=2, le=1000)] = Field(4.8, description="Threshold of the matched filter, S/N.")
    residual_rounds: Annotated[int, Field(ge=0, le=5)] = Field(2, description="Searches on the star-subtracted frame.")
    residual_snr: Annotated[float, Field(ge=2, le=1000)] = Field(4.8, description="Threshold of the residual rounds.")
    dao_threshold_sigma: Positive = Field(4.0, description="DAOStarFinder threshold over the local RMS.")
    sharpness_range: tuple[float, float] = Field((0.2, 1.0), description="DAOStarFinder sharpness.")
    roundness_range: tuple[float, float] = Field((-1.0, 1.0), description="DAOStarFinder roundness.")
    dao_exclude_border: bool = Field(False, description="DAOStarFinder leaves out half a kernel along the edges.")
    dao_brightest: Annotated[int, Field(ge=1)] | None = Field(None, description="DAOStarFinder keeps so many.")
    dao_peak_max_e: Positive | None = Field(
        None, description="DAOStarFinder leaves out sources with a higher pixel over the sky, electron."
    )
    fwhm_guess_px: Positive | None = Field(None, description="First kernel; measured on the frame when not given.")
    max_sources: Annotated[int, Field(ge=1, le=2_000_000)] = Field(500_000, description="More than that is an error.")


class PsfSettings(_Section):
    """Point spread function."""

    kind: Literal["moffat_table", "moffat", "epsf_builder"] = Field("moffat_table", description="Form of the PSF.")
    order: Annotated[int, Field(ge=0, le=3)] = Field(
        3, description="Highest order of the variation over the field; cross-validation chooses up to it."
    )
    max_stars: Annotated[int, Field(ge=5, le=2000)] = Field(200, description="Brightest stars used.")
    min_snr: Positive = Field(50.0, description="Least S/N of a PSF star.")


class PsfPhotometrySettings(_Section):
    """Profile fits."""

    engine: Literal["batched", "photutils"] = Field("batched", description="photutils is the reference engine.")
    fit_radius_fwhm: Positive = Field(1.25, description="Fit radius in FWHM.")
    model_error: Annotated[float, Field(ge=0, le=0.1)] | None = Field(
        None, description="Floor for an imperfect PSF in the weights; default 0.003, 0.01 when the PSF model is poor."
    )
    flat_error: Annotated[float, Field(ge=0, le=0.1)] = Field(
        0.0, description="Relative flat-field error, added to the errors of fluxes."
    )
    sweeps: Annotated[int, Field(ge=1, le=20)] = Field(6, description="Most sweeps over all stars.")
    group_fwhm: Annotated[float, Field(ge=0, le=5)] = Field(
        1.0, description="Stars closer than this are fitted jointly."
    )


class ApertureSettings(_Section):
    """Aperture photometry."""

    radii_fwhm: tuple[Positive, Positive, Positive, Positive] = Field(
        (1.0, 1.5, 2.0, 3.0), description="Four radii in FWHM."
    )
    annulus_fwhm: tuple[Positive, Positive] | None = Field(
        (4.0, 6.0), description="Sky annulus; null uses the background map."
    )
    subtract_neighbours: bool = Field(True, description="Subtract the PSF models of the neighbours first.")


class ZeroPointSettings(_Section):
    """Photometric calibration against reference stars."""

    mode: Literal["robust", "classic"] = Field(
        "robust",
        description="classic: constant, sigma-clipped median, outside an atmosphere of extinction_mag per airmass.",
    )
    band: str | None = Field(
        None, description="Reference band, e.g. G, BP, RP or a list's own <band>_mag; default by filter."
    )
    color: str | None = Field(None, description="Colour as BAND-BAND; default BP-RP where the list has it.")
    color_term: Literal["auto", "off"] = Field("auto", description="auto: with 15 stars over 0.3 mag of colour.")
    spatial_order: Annotated[int, Field(ge=0, le=2)] | Literal["auto"] = Field(
        "auto", description="0, 1 or 2 in x and y."
    )
    clip_sigma: Positive = Field(3.0, description="Clipping limit.")
    min_snr: Positive = Field(20.0, description="Least S/N of a calibrator.")
    saturation_fraction: Annotated[float, Field(gt=0, le=1)] = Field(0.7, description="Highest peak over saturation.")
    max_ruwe: Positive = Field(1.4, description="Gaia RUWE limit, where the list has it.")
    color_range: tuple[float, float] = Field((-0.5, 3.0), description="BP-RP of calibrators.")
    extinction: Literal["absorbed", "fixed", "fit"] = Field(
        "absorbed", description="How the airmass term is treated; classic takes it as fixed."
    )
    extinction_mag: Annotated[float, Field(ge=0, le=5)] = Field(
        0.1, description="Magnitudes per airmass for fixed and classic."
    )
    airmass_formula: Literal["pickering", "kasten_young", "hardie"] = Field(
        "pickering", description="Airmass from altitude."
    )


class SolveSettings(_Section):
    """Where and how to look for the field."""

    ra_deg: Annotated[float, Field(ge=0, lt=360)] | None = Field(None, description="Hint: frame centre, ICRS.")
    dec_deg: Annotated[float, Field(ge=-90, le=90)] | None = Field(None, description="Hint: frame centre, ICRS.")
    radius_deg: Annotated[float, Field(gt=0, le=180)] | None = Field(None, description="Hint: error of the centre.")
    scale_low_arcsec: Positive | None = Field(None, description="Hint: smallest scale, arcsec per pixel.")
    scale_high_arcsec: Positive | None = Field(None, description="Hint: largest scale, arcsec per pixel.")
    use_header: bool = Field(True, description="Use WCS and pointing of the header.")
    accept_header: bool = Field(
        False,
        description="Where nothing else is found, give the positions of the header's WCS, marked unverified, even if stars "
        "speak against it. Where too few reference stars are expected to judge it, that is done anyway.",
    )
    pointing_error_deg: Positive = Field(0.5, description="Assumed error of the header's pointing.")
    blind: bool = Field(True, description="Search the whole sky when nothing nearer succeeds.")
    engines: tuple[Literal["astrometry", "solve-field", "nova", "siril"], ...] = Field(
        ("astrometry", "solve-field", "nova", "siril"),
        max_length=4,
        description="Solving engines in the order in which they are tried where our own matcher finds nothing.",
    )
    remote: bool = Field(False, description="Allow nova.astrometry.net: star lists leave the house.")
    limit_s: Annotated[float, Field(gt=0, le=1800)] = Field(
        40.0, description="Time limit of everything that is tried on this machine."
    )
    remote_limit_s: Annotated[float, Field(gt=0, le=900)] = Field(
        180.0, description="Time limit of nova.astrometry.net, after everything else."
    )
    index_folders: tuple[str, ...] = Field((), description="Not for requests: set by the operator.", exclude=True)

    @model_validator(mode="after")
    def _is_consistent(self) -> SolveSettings:
        if (self.ra_deg is None) != (self.dec_deg is None):
            raise ValueError("a pointing hint needs both ra_deg and dec_deg")
        if len(set(self.engines)) < len(self.engines):
            raise ValueError("solve.engines names an engine twice")
        low, high = self.scale_low_arcsec, self.scale_high_arcsec
        if low is not None and high is not None and low > high:
            raise ValueError(f"scale_low_arcsec ({low}) is above scale_high_arcsec ({high})")
        return self


class AstrometrySettings(_Section):
    """Refinement: regions, TPV, depth match, error model."""

    detector: Literal["photometry", "sep"] = Field("photometry", description="Whose positions are used.")
    regions: tuple[Annotated[int, Field(ge=1, le=20)], Annotated[int, Field(ge=1, le=20)]] = Field(
        (6, 4), description="Regions along the longer and the shorter side."
    )
    region_seeds: Literal["auto", "astroalign", "nearest"] = Field(
        "auto",
        description="How each region is matched first: by the commonest offset of its pairs (nearest), by astroalign and else "
        "by nearest (astroalign), or by nearest and else by astroalign (auto).",
    )
    clipping_threshold: Positive = Field(
        3.0,
        description="CLIPPING_THRESHOLD of the rms rounds, in rms, and of a region's rms, in the median of all regions.",
    )
    error_threshold: Positive = Field(3.72, description="ERROR_THRESHOLD of normalised residuals (p = 0.001).")
    degree: Annotated[int, Field(ge=1, le=7)] | Literal["auto"] = Field("auto", description="TPV degree.")
    max_degree: Annotated[int, Field(ge=1, le=7)] = Field(7, description="Highest degree that auto may choose.")
    catalogue_errors: bool = Field(True, description="Use the errors of the reference positions.")
    min_snr: Positive = Field(5.0, description="Least S/N of a star in the fit.")
    use_prior: bool = Field(
        True,
        description="Help sparse frames with the distortion of one's earlier frames of the same camera and filter.",
    )
    prior_version: Annotated[int, Field(ge=1)] | None = Field(
        None, description="No newer frames than this version in it; repeats an earlier reduction."
    )
    debug: bool = Field(False, description="Keep region matches, clipping rounds and depth-match lists as products.")


class ReferenceSettings(_Section):
    """Reference stars."""

    name: str = Field("gaia", max_length=100, description="gaia, or the name of an imported list.")
    release: str = Field("dr3", max_length=20, description="Gaia release.")
    mag_limit: float | None = Field(None, description="Faintest reference star; default from the frame's depth.")
    max_rows: Annotated[int, Field(ge=10, le=2_000_000)] = Field(50_000, description="Brightest rows taken at most.")


CatalogueName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./+&-]{0,62}$")]
"""``simbad``, or the name of a VizieR table such as ``I/239/hip_main``."""

CATALOGUES = ("gaia", "simbad", "vsx", "milliquas", "skybot", "astro_colibri")


class IdentificationSettings(_Section):
    """Known objects."""

    catalogues: tuple[CatalogueName, ...] = Field(
        CATALOGUES,
        max_length=30,
        description="Which are asked, by name; any VizieR table too, by its own; empty for none.",
    )
    radius_sigma: Positive = Field(3.0, description="Match radius in combined errors.")
    radius_floor_arcsec: Positive = Field(1.0, description="Added to the match radius.")
    min_snr: Annotated[float, Field(ge=0)] = Field(5.0, description="Least S/N of a source that is looked up.")
    transient_window_days: Annotated[float, Field(gt=0, le=3650)] = Field(
        10.0, description="Astro-COLIBRI's events this long before and after the exposure; its sources have no time."
    )


class ProductSettings(_Section):
    """What is written besides the catalogue."""

    plots: bool = Field(True, description="Draw plots.")
    maps: bool = Field(True, description="Keep background, RMS and residual maps.")
    completeness: bool = Field(
        False, description="Put stars into the frame and measure it twice more: which share is found at which flux."
    )


class ProcessingSettings(_Section):
    """All sections of one reduction."""

    input: InputSettings = InputSettings()
    cosmic_rays: CosmicRaySettings = CosmicRaySettings()
    background: BackgroundSettings = BackgroundSettings()
    detection: DetectionSettings = DetectionSettings()
    psf: PsfSettings = PsfSettings()
    psf_photometry: PsfPhotometrySettings = PsfPhotometrySettings()
    aperture: ApertureSettings = ApertureSettings()
    zero_point: ZeroPointSettings = ZeroPointSettings()
    solve: SolveSettings = SolveSettings()
    astrometry: AstrometrySettings = AstrometrySettings()
    reference: ReferenceSettings = ReferenceSettings()
    identification: IdentificationSettings = IdentificationSettings()
    products: ProductSettings = ProductSettings()

    def settings_hash(self) -> str:
        """SHA-256 of the canonical JSON: equal settings, equal hash."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Nested overrides, later layers win key by key."""
    merged: dict[str, Any] = {}
    for layer in layers:
        for section, values in layer.items():
            if isinstance(values, Mapping) and isinstance(merged.get(section), Mapping):
                merged[section] = {**merged[section], **values}
            else:
                merged[section] = values
    return merged


def resolve(*layers: Mapping[str, Any]) -> ProcessingSettings:
    """Full settings from partial layers.

    Raises
    ------
    pydantic.ValidationError
        A section or key is unknown, or a value is outside its range.
    """
    return ProcessingSettings.model_validate(merge(*layers))
