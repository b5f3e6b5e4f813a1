"""A second simulator of skies: stars drawn by galsim, the map of the sky by astropy.wcs, nothing of the project's own.

`draw_kind` gives a frame of a kind (`KINDS`) from a seed, `random_frame` one of which everything is random. Both know
the truth (`Truth`) and a list of reference stars. Positions are zero-based, integer at the centre of the pixel.
"""

from independent_sky.frame import Frame, Galaxies, Stars, Truth
from independent_sky.kinds import KINDS, draw_kind
from independent_sky.random_frames import random_frame

__all__ = ["KINDS", "Frame", "Galaxies", "Stars", "Truth", "draw_kind", "random_frame"]
