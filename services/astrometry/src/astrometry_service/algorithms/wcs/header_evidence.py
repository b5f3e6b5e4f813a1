"""Do the stars speak against the WCS of a header, or are there too few to say anything?

A reference list that is too shallow for a small field puts a handful of stars on it, or none: that nothing was confirmed
says nothing then. Stars that must be there and are not are evidence.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial import cKDTree

from astrometry_service.domain.header_evidence import HeaderEvidence
from astrometry_service.domain.solution import SkyTransform
from astrometry_service.domain.star_lists import SkyStars, StarList

__all__ = ["header_evidence"]

# Share of the expected stars that are detected where the header is right: the rest are saturated, blended or too faint.
DETECTED_SHARE = 0.5
REACH_PX = 15.0
MIN_EXPECTED = 10


def header_evidence(
    stars: StarList, reference: SkyStars, transform: SkyTransform, shape: tuple[int, int]
) -> HeaderEvidence:
    """Count the reference stars that a WCS puts on a frame and those that are there.

    Parameters
    ----------
    stars : detected stars
    reference : around the frame, at the epoch of the exposure, brightest first
    transform : the WCS
    shape : (ny, nx), px

    Notes
    -----
    Binomial: an expected star is seen with probability p by chance (a detected star within reach), with (1 + p) / 2 under the
    right header.
    """
    ny, nx = shape
    x, y = transform.sky_to_pixel(reference.ra_deg, reference.dec_deg)
    inside = np.flatnonzero((x > -0.5) & (x < nx - 0.5) & (y > -0.5) & (y < ny - 0.5))
    inside = inside[: max(2 * len(stars), MIN_EXPECTED)]
    seen = 0
    if len(stars) and inside.size:
        away, _ = cKDTree(np.column_stack([stars.x, stars.y])).query(np.column_stack([x[inside], y[inside]]))
        seen = int((away < REACH_PX).sum())
    chance = 1.0 - math.exp(-len(stars) * math.pi * REACH_PX**2 / (nx * ny))
    chance = min(max(chance, 1e-3), 1.0 - 1e-6)
    right = chance + DETECTED_SHARE * (1.0 - chance)
    odds = seen * math.log(right / chance) + (inside.size - seen) * math.log((1.0 - right) / (1.0 - chance))
    return HeaderEvidence(int(inside.size), seen, odds)
