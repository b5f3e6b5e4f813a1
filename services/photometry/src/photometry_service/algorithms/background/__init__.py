"""The sky of a frame: level and noise on a mesh, and their maps.

In: pixels and a mask of what is not sky. Out: a `Background`, level and noise of the sky at every pixel, and the pixels
that lie on sources. A sky that changes within a mesh is followed in passes (`steep_sky`).
"""

from photometry_service.algorithms.background.estimate import estimate_background
from photometry_service.algorithms.background.map import Background
from photometry_service.algorithms.background.passes import BackgroundOptions
from photometry_service.algorithms.background.sky_floor import SkyFloor

__all__ = [
    "Background",
    "BackgroundOptions",
    "SkyFloor",
    "estimate_background",
]
