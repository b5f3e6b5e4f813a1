"""Pixels hit by cosmic rays, by L.A.Cosmic.

In: a frame in electrons. Out: a mask of hit pixels, and the frame with them replaced.
"""

from photometry_service.algorithms.cosmic_rays.search import CosmicRayOptions, CosmicRays, remove_cosmic_rays

__all__ = [
    "CosmicRayOptions",
    "CosmicRays",
    "remove_cosmic_rays",
]
