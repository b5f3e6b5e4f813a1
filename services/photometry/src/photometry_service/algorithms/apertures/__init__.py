"""Aperture photometry: circles with exact overlap of pixels, annuli with clipped medians.

In: a frame, positions, radii, and the models of neighbours. Out: fluxes with errors and flags for every radius.
"""

from photometry_service.algorithms.apertures.photometry import (
    ApertureOptions,
    AperturePhotometry,
    OwnModels,
    aperture_photometry,
    neighbour_share,
    pixel_state,
)

__all__ = [
    "ApertureOptions",
    "AperturePhotometry",
    "OwnModels",
    "aperture_photometry",
    "neighbour_share",
    "pixel_state",
]
