"""The sky of a frame, and what is left without it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from astro_shared.contracts.settings import BackgroundSettings
from astro_shared.frame_warnings import FrameWarning, WarningCode
from photometry_service.algorithms.background import Background, BackgroundOptions, SkyFloor, estimate_background
from photometry_service.algorithms.detector import visible_light, working_noise, working_pixels
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
    data : (ny, nx), electron, without sky and cosmic rays; working values where the sky was cut off below
    rms : (ny, nx), electron, one sigma of these without the sources; None where the background's map has it
    saturated : (ny, nx), True = at the saturation or above it, sky included
    """

    clean: CleanFrame
    background: Background
    data: NDArray[np.float32]
    saturated: NDArray[np.bool_]
    rms: NDArray[np.float32] | None = None

    def rms_map(self) -> NDArray[np.float32]:
        """(ny, nx), electron: one sigma per pixel, without the sources."""
        return self.background.rms_map() if self.rms is None else self.rms

    @property
    def noise(self) -> Background:
        """Level of the sky, and the noise of ``data`` around it."""
        return working_noise(self.background)

    def knowing(self, light: NDArray[np.float32]) -> SkySubtracted:
        """The same with the light of the sources known, (ny, nx), electron: only where the sky was cut off it matters."""
        if self.background.floor is None:
            return self
        data, rms = working_pixels(self.clean.pixels(), self.background, light)
        return replace(self, data=data, rms=rms)

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
    if background.floor is None:
        return SkySubtracted(clean, background, background.subtract_from(pixels), saturated)
    told = replace(clean, frame=frame.with_warning(_cut_off(background.floor, frame.gain_e_per_adu)))
    data, rms = working_pixels(pixels, background, visible_light(pixels, background))
    return SkySubtracted(told, background, data, saturated, rms)


def _cut_off(floor: SkyFloor, gain_e_per_adu: float) -> FrameWarning:
    """What was lost, and how to keep it."""
    return WarningCode.SKY_CUT_OFF(
        f"the sky was cut off at its lowest value: {100 * floor.share:.0f} % of its pixels stand at "
        f"{floor.value / gain_e_per_adu:.4g} ADU, as when a dark or bias is taken off in whole positive numbers. Level and "
        f"noise ({floor.sky:.3g} and {floor.sigma:.3g} e) are those that the pixels above it tell, and the errors of faint "
        "sources hold what was lost; a frame that keeps its negative values (floats, or a pedestal) gives better ones"
    )
