"""Cosmic rays of a frame: searched, and left in where they can not be told from its stars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astro_shared.contracts.settings import CosmicRaySettings
from astro_shared.frame_warnings import WarningCode
from photometry_service.algorithms.cosmic_rays import CosmicRayOptions, CosmicRays, remove_cosmic_rays
from photometry_service.algorithms.fwhm import bright_peaks
from photometry_service.domain.frame import Frame, NoiseModel

MIN_FWHM_PX = 1.2
"""Narrower stars look like hits; wider ones keep their cores (none of 3,900 flagged at 1.2 to 2.5 px, full medians)."""

MOST_BAD_PIXELS = 0.002
MOST_PEAKS_TAKEN, FEW_PEAKS = 0.5, 30
"""A search that takes more than this share of the bright peaks and leaves fewer than this number has taken stars."""


@dataclass(frozen=True, eq=False)
class CleanFrame:
    """A frame and its hits. Its pixels without them are made when asked for: a large frame is not held twice.

    Attributes
    ----------
    frame : as it was taken, with what the search warns of
    rays : None where none were searched or they were left in
    only_stars : what is left is taken for stars; else sources of a bad profile are dropped
    """

    frame: Frame
    rays: CosmicRays | None
    only_stars: bool

    def pixels(self) -> NDArray[np.float32]:
        """(ny, nx), electron, background included; hits replaced by their neighbours."""
        return self.frame.data if self.rays is None else self.rays.clean(self.frame.data)


def clean_frame(frame: Frame, settings: CosmicRaySettings) -> CleanFrame:
    """Search a frame as the settings want it; ``auto`` leaves the hits in where they would take stars along."""
    if settings.enabled == "off":
        return CleanFrame(frame, None, only_stars=False)
    options = CosmicRayOptions(
        engine=settings.engine,
        medians=settings.medians,
        sigclip=settings.sigclip,
        sigfrac=settings.sigfrac,
        objlim=settings.objlim,
        niter=settings.niter,
        cleantype=settings.cleantype,
        fsmode=settings.fsmode,
        psfmodel=settings.psfmodel,
        psffwhm=settings.psffwhm_px,
        psfsize=settings.psfsize_px,
    )
    rays = remove_cosmic_rays(frame, options)
    if settings.enabled == "auto" and takes_stars(frame, rays):
        left = frame.with_warning(
            WarningCode.COSMIC_RAYS_LEFT(
                "cosmic rays were left in: nearly everything bright is as narrow as they are, so these are the stars "
                "(cosmic_rays.enabled = on takes them out)"
            )
        )
        return CleanFrame(left, None, only_stars=True)
    # the width is that of the cleaned frame: hits are narrower than stars
    if settings.enabled == "auto" and rays.fwhm_guess_px < MIN_FWHM_PX:
        left = frame.with_warning(
            WarningCode.COSMIC_RAYS_LEFT(
                f"cosmic rays were left in: stars of about {rays.fwhm_guess_px:.1f} px look like them "
                "(cosmic_rays.enabled = on takes them out)"
            )
        )
        return CleanFrame(left, None, only_stars=False)
    # hits are not searched for beside bad pixels: where these are many, some are left and only their profile tells
    searched = int(np.count_nonzero(frame.mask)) <= MOST_BAD_PIXELS * frame.mask.size
    return CleanFrame(frame.with_warning(*rays.warnings), rays, only_stars=searched)


def takes_stars(frame: Frame, rays: CosmicRays) -> bool:
    """Whether a search has eaten the stars of a badly undersampled frame: hardly a bright peak is left.

    Only where gain and read noise are not known: with them the noise model tells hits from stars.
    """
    if frame.noise_model is not NoiseModel.ASSUMED or rays.count == 0:
        return False
    y, x = bright_peaks(frame.data, frame.mask)
    taken = int(np.count_nonzero(rays.mask[y, x]))
    return taken > MOST_PEAKS_TAKEN * y.size and y.size - taken < FEW_PEAKS
