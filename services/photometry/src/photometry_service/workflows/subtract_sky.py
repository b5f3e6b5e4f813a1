"""The sky of a frame, and what is left without it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from astro_shared.contracts.settings import BackgroundSettings
from photometry_service.algorithms.background import Background, BackgroundOptions, estimate_background
from photometry_service.algorithms.fwhm import guess_fwhm
from photometry_service.domain.frame import Frame
from photometry_service.workflows.clean_frame import CleanFrame

BOX_IN_FWHM = 10


@dataclass(frozen=True, eq=False)
class SkySubtracted:
    """What is measured.

    Attributes
    ----------
    clean : the frame and its cosmic rays
    background : level and noise of the sky
    data : (ny, nx), electron, without sky and cosmic rays
    saturated : (ny, nx), True = at the saturation or above it, sky included
    """

    clean: CleanFrame
    background: Background
    data: NDArray[np.float32]
    saturated: NDArray[np.bool_]

    @property
    def frame(self) -> Frame:
        """The frame as it was taken."""
        return self.clean.frame


def subtract_sky(clean: CleanFrame, settings: BackgroundSettings) -> SkySubtracted:
    """Level and noise in boxes of at least ten widths of the stars; the level is taken off."""
    frame, pixels = clean.frame, clean.pixels()
    options = BackgroundOptions(
        box_px=settings.box_px or BackgroundOptions().box_px,
        filter_size=settings.filter_size | 1,
        clip_sigma=settings.clip_sigma,
        max_iterations=settings.max_iterations,
        estimator=settings.estimator,
        mask_sources=settings.mask_sources,
    )
    background = estimate_background(pixels, frame.mask, options)
    if settings.box_px is None:
        rays = clean.rays
        fwhm = rays.fwhm_guess_px if rays else guess_fwhm(pixels, frame.mask, saturation=frame.saturation_e)
        if fwhm * BOX_IN_FWHM > 1.2 * options.box_px:
            background = estimate_background(pixels, frame.mask, replace(options, box_px=round(BOX_IN_FWHM * fwhm)))
    saturated = pixels >= np.float32(frame.saturation_e)
    return SkySubtracted(clean, background, background.subtract_from(pixels), saturated)
