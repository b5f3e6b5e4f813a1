"""Every threshold of the refinement chain in one place."""

from __future__ import annotations

from dataclasses import dataclass, field

from astrometry_service.algorithms.error_model.likelihood import ErrorModelOptions
from astrometry_service.algorithms.reference_positions import ReferenceCuts
from astrometry_service.algorithms.refinement.degree_selection import DegreeOptions
from astrometry_service.algorithms.refinement.depth_match import DepthMatchOptions
from astrometry_service.algorithms.refinement.distortion_prior import DistortionPrior
from astrometry_service.algorithms.refinement.regions import RegionOptions

__all__ = ["RefineOptions"]


@dataclass(frozen=True)
class RefineOptions:
    """Options of the refinement; the defaults are those of the reference calibration where it names them.

    Attributes
    ----------
    cuts : which reference stars may carry the fit
    regions : the 24 regions
    depth : the depth match
    degree : choice of the degree
    error_model : alpha and sigma_sys
    clipping_threshold : CLIPPING_THRESHOLD, in units of the scatter
    clipping_rounds : rounds of rms clipping at most
    error_threshold : ERROR_THRESHOLD, 3.72: one true pair in a thousand lies outside (two dimensions)
    error_rounds : rounds of clipping and refitting at most
    fixed_degree : take this degree instead of choosing; None chooses
    first_degree : highest degree of the first fit
    first_fit_max_rms_px : pixel, the first fit is refused above it
    match_rounds : depth matches at most; ends when no more pairs turn up
    min_regions : fewer coherent regions than this: the start is used
    min_pairs : fewer pairs than this: the start is kept
    min_snr : sources of lower signal to noise do not carry the fit (those of unknown one do)
    fwhm_px : pixel, of the stars
    blend_fwhm, blend_mag : a reference star with a neighbour within so many FWHM, not fainter by more, is a blend
    catalogue_errors : give the reference positions their errors; False takes them as exact
    parallax : apply it
    colour_terms : fit differential chromatic refraction where it pays
    colour_min_pairs, colour_bic_gain : ... which needs this many pairs and this gain in BIC
    min_hull_fraction : where the stars' hull covers less of the frame, the degree is lowered by one
    max_outlier_share : more clipped pairs than this and the solution is not called calibrated
    max_sigma_sys_px : pixel, ... and more systematic scatter than this
    min_cell_share : ... and less than this share of the bright sources of some part of the frame matched
    prior : distortion of earlier frames of the same camera and filter
    debug : keep regions, clipping rounds and depth-match lists as products
    """

    cuts: ReferenceCuts = field(default_factory=ReferenceCuts)
    regions: RegionOptions = field(default_factory=RegionOptions)
    depth: DepthMatchOptions = field(default_factory=DepthMatchOptions)
    degree: DegreeOptions = field(default_factory=DegreeOptions)
    error_model: ErrorModelOptions = field(default_factory=ErrorModelOptions)
    clipping_threshold: float = 3.0
    clipping_rounds: int = 5
    error_threshold: float = 3.72
    error_rounds: int = 8
    fixed_degree: int | None = None
    first_degree: int = 3
    first_fit_max_rms_px: float = 2.0
    match_rounds: int = 6
    min_regions: int = 3
    min_pairs: int = 6
    min_snr: float = 5.0
    fwhm_px: float = 3.0
    blend_fwhm: float = 1.5
    blend_mag: float = 3.0
    catalogue_errors: bool = True
    parallax: bool = True
    colour_terms: bool = True
    colour_min_pairs: int = 100
    colour_bic_gain: float = 6.0
    min_hull_fraction: float = 0.85
    max_outlier_share: float = 0.3
    max_sigma_sys_px: float = 0.3
    min_cell_share: float = 0.3
    prior: DistortionPrior | None = None
    debug: bool = False
