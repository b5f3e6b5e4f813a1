"""Regions of the sky."""

from __future__ import annotations

import math
from dataclasses import dataclass

from catalogs_service.errors import RegionError


@dataclass(frozen=True, slots=True)
class Cone:
    """A circle on the sky: centre (deg, ICRS) and radius (deg, up to 180)."""

    ra_deg: float
    dec_deg: float
    radius_deg: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.ra_deg, self.dec_deg, self.radius_deg))):
            raise RegionError("The centre and the radius of a cone must be finite numbers.")
        if not 0 <= self.ra_deg < 360 or not -90 <= self.dec_deg <= 90:
            raise RegionError(f"RA {self.ra_deg:g}, Dec {self.dec_deg:g} is not a position on the sky.")
        if not 0 < self.radius_deg <= 180:
            raise RegionError(f"A radius of {self.radius_deg:g} degrees is not between 0 and 180.")

    def padded(self, margin_deg: float) -> Cone:
        """The same centre, a larger radius."""
        return Cone(self.ra_deg, self.dec_deg, min(self.radius_deg + margin_deg, 180.0))


@dataclass(frozen=True, slots=True)
class Polygon:
    """A convex polygon of great-circle sides, smaller than a hemisphere; vertices (deg, ICRS) in either sense."""

    vertices: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if len(self.vertices) < 3:
            raise RegionError(f"A polygon needs 3 vertices, got {len(self.vertices)}.")
        for ra, dec in self.vertices:
            if not (math.isfinite(ra) and math.isfinite(dec)) or not 0 <= ra < 360 or not -90 <= dec <= 90:
                raise RegionError(f"Vertex RA {ra:g}, Dec {dec:g} is not on the sky.")


Region = Cone | Polygon
