"""Options of PSF photometry, and what it needs from outside."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from photometry_service.algorithms.detection.first_look import FIRST_FWHM_PX
from photometry_service.algorithms.detection.repeated_places import RepeatOptions
from photometry_service.algorithms.detection.residuals import ResidualDetectionOptions
from photometry_service.algorithms.psf.build import PsfBuildOptions
from photometry_service.algorithms.psf.fit import FitOptions
from photometry_service.algorithms.psf.split import SplitOptions
from photometry_service.algorithms.psf.stars import StarSelection
from photometry_service.algorithms.psf.wings import WingOptions

__all__ = ["MeasureOptions", "ResidualBackground"]

FloatImage = NDArray[np.float32]


class ResidualBackground(Protocol):
    """Measures a background again: (residual, mask) -> (level, rms), each (ny, nx), all in the unit of the frame."""

    def __call__(self, residual: FloatImage, mask: NDArray[np.bool_], /) -> tuple[FloatImage, FloatImage]: ...


@dataclass(frozen=True)
class MeasureOptions:
    """Parameters of the chain.

    Attributes
    ----------
    threshold, residual_threshold : S/N of a detection, in the first pass and on the residual image
    residual_rounds : rounds of detection on the residual image, each followed by a fit of all stars
    crowded_area_fwhm2 : area per star, in FWHM^2, below which the background is measured again on the residual
    final_margin : sources whose fitted S/N is this much below the threshold are dropped
    flat_error : relative error of the flat field, added to the errors of fluxes (not to the weights)
    fwhm_guess_px : width of the first kernel, when there is no PSF yet
    cosmic_rays_masked : False drops sources whose chi2 says that they are not stars, instead of flagging them
    """

    threshold: float = 4.8
    residual_threshold: float = 4.8
    residual_rounds: int = 2
    crowded_area_fwhm2: float = 100.0
    final_margin: float = 1.0
    flat_error: float = 0.0
    fwhm_guess_px: float = FIRST_FWHM_PX
    cosmic_rays_masked: bool = True
    selection: StarSelection = field(default_factory=StarSelection)
    build: PsfBuildOptions = field(default_factory=PsfBuildOptions)
    fit: FitOptions = field(default_factory=FitOptions)
    wings: WingOptions = field(default_factory=WingOptions)
    split: SplitOptions = field(default_factory=SplitOptions)
    repeats: RepeatOptions = field(default_factory=RepeatOptions)
    residual: ResidualDetectionOptions = field(default_factory=ResidualDetectionOptions)
