"""The field of a list of positions, as it is asked about."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from catalogs_service.algorithms.sphere import enclosing_cone
from catalogs_service.domain.regions import Cone

# Match radii, and the way of a star of 10 arcsec a year since 2000.
MARGIN_DEG = 0.1
_STEPS_PER_RADIUS = 8.0


def field_of(ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]) -> Cone:
    """A cone around positions (n,) deg, n >= 1, with a margin for match radii and motions."""
    ra, dec, radius = enclosing_cone(ra_deg, dec_deg)
    return Cone(ra, dec, min(radius + MARGIN_DEG, 180.0))


def snapped(cone: Cone) -> Cone:
    """A cone of a coarse grid that holds the given one: frames of one field then ask the same question.

    The grid step is between a sixteenth and an eighth of the radius; the radius grows by less than a quarter.
    """
    step = 2.0 ** np.floor(np.log2(cone.radius_deg / _STEPS_PER_RADIUS))
    dec = float(np.clip(np.round(cone.dec_deg / step) * step, -90, 90))
    ra_step = step / max(float(np.cos(np.radians(dec))), step / 180.0)
    n = max(int(np.floor(360.0 / ra_step)), 1)
    ra = float(np.round(cone.ra_deg / 360.0 * n) % n) * 360.0 / n
    # half a step each way, and the cells of right ascension are a little wider than a step
    radius = np.ceil((cone.radius_deg + 0.9 * step) / step) * step
    return Cone(ra, dec, float(min(radius, 180.0)))
