"""The data beside each plot: ``plots/<name>.json``, from which a frontend can draw it anew.

Positions are zero-based pixels of the frame. Images are block means with row 0 at the bottom; ``block_px`` is the side of a
block, so that value ``[j][i]`` is centred on x = (i + 0.5) block_px - 0.5. Null is a value that is not known.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from astro_shared.contracts.photometry import ExtinctionResult, ZeroPointReport

Number = float | None
Numbers = tuple[float | None, ...]
Values = tuple[tuple[float | None, ...], ...]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Blocks(_Model):
    values: Values
    block_px: int
    unit: str


class ImagePlot(_Blocks):
    """``image``: the frame and its sources, at most the 3000 brightest."""

    zscale: tuple[float, float] = Field(description="Values shown black and white.")
    x: Numbers
    y: Numbers
    flags: tuple[int, ...] = Field(description="Bits of docs/conventions.md, flags.")


class MapPlot(_Blocks):
    """``background`` and ``background_rms``."""

    median: float


class ResidualPlot(_Blocks):
    """``residual``: the frame minus background and sources."""

    rms_e: float = Field(description="Noise of one pixel of the frame; of a block, divide by block_px.")
    clipped_at_sigma: float


class FwhmPlot(_Model):
    """``fwhm``: widths of single stars, and the two that summarise them."""

    fwhm_px: Numbers
    fwhm_marginal_px: Number
    fwhm_psf_px: Number


class PsfPlot(_Model):
    """``psf``: the model at the centre of the frame, one value per pixel."""

    stamp: Values = Field(description="Share of the flux in each pixel.")
    residual: Values = Field(description="Median over bright stars of data minus model, as a share of the peak.")
    fwhm_px: Number
    stars: int
    kind: str


class CurveOfGrowthPlot(_Model):
    """``curve_of_growth``: share of the profile flux within a radius."""

    radius_px: Numbers = Field(description="Apertures.")
    ratio: Numbers = Field(description="Aperture over profile flux, median of bright stars.")
    model_radius_px: Numbers
    model_ratio: Numbers
    fwhm_px: float


class Bins(_Model):
    """Medians in bins of equal count, with their errors."""

    centre: Numbers
    median: Numbers
    error: Numbers


class ZeroPointPlot(_Model):
    """``zero_point``: calibrators, used or not."""

    mag_ref: Numbers
    color_ref: Numbers
    residual_mag: Numbers = Field(
        description="Reference minus calibrated magnitude: the star's zero point minus the fit."
    )
    mag_inst_err: Numbers
    used: tuple[bool, ...]
    x: Numbers
    y: Numbers
    bins: dict[str, Bins] = Field(description="By mag_ref and, where colours are known, color_ref.")
    report: ZeroPointReport


class ZeroPointMapPlot(_Model):
    """``zero_point_map``: the zero point over the frame minus ``zero_point_mag``, for the reference colour."""

    values: Values
    block_px: tuple[float, float] = Field(description="Height and width of a cell.")
    unit: str
    zero_point_mag: Number
    spatial_order: int | None
    x: Numbers
    y: Numbers
    star: Numbers = Field(description="The same of each calibrator used.")


PLOT_DATA: Mapping[str, type[BaseModel]] = {
    "image": ImagePlot,
    "background": MapPlot,
    "background_rms": MapPlot,
    "residual": ResidualPlot,
    "fwhm": FwhmPlot,
    "psf": PsfPlot,
    "curve_of_growth": CurveOfGrowthPlot,
    "zero_point": ZeroPointPlot,
    "zero_point_map": ZeroPointMapPlot,
    "extinction": ExtinctionResult,
}
"""Model of the data of each plot of the photometry service, by its name."""
