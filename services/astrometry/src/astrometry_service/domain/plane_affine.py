"""A linear map from pixels to the tangent plane: what a star matcher finds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from astro_shared.science.tangent_plane import deproject, project

__all__ = ["PlaneAffine"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PlaneAffine:
    """Pixel to standard coordinates about a tangent point: (xi, eta) = matrix @ (x, y, 1).

    Attributes
    ----------
    matrix : (2, 3), deg / pixel and deg
    ra0_deg, dec0_deg : deg, ICRS
        The tangent point.
    """

    matrix: Floats
    ra0_deg: float
    dec0_deg: float

    @property
    def linear(self) -> Floats:
        """The matrix (2, 2) of deg per pixel."""
        return self.matrix[:, :2]

    @property
    def parity(self) -> int:
        """-1 for the sky as seen (east left when north is up), +1 for a mirrored frame: the sign of det CD."""
        return 1 if np.linalg.det(self.linear) > 0 else -1

    @property
    def scale_arcsec(self) -> float:
        """Mean pixel scale, arcsec / pixel."""
        return float(np.sqrt(abs(np.linalg.det(self.linear))) * 3600.0)

    def pixel_to_plane(self, x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
        """Standard coordinates in degrees of pixel positions."""
        px, py = np.asarray(x, float), np.asarray(y, float)
        m = self.matrix
        return m[0, 0] * px + m[0, 1] * py + m[0, 2], m[1, 0] * px + m[1, 1] * py + m[1, 2]

    def plane_to_pixel(self, xi_deg: ArrayLike, eta_deg: ArrayLike) -> tuple[Floats, Floats]:
        """Pixel positions of standard coordinates in degrees."""
        inverse = np.linalg.inv(self.linear)
        dx = np.asarray(xi_deg, float) - self.matrix[0, 2]
        dy = np.asarray(eta_deg, float) - self.matrix[1, 2]
        return inverse[0, 0] * dx + inverse[0, 1] * dy, inverse[1, 0] * dx + inverse[1, 1] * dy

    def pixel_to_sky(self, x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
        """Right ascension and declination in degrees (ICRS) of pixel positions."""
        return deproject(*self.pixel_to_plane(x, y), ra0_deg=self.ra0_deg, dec0_deg=self.dec0_deg)

    def sky_to_pixel(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> tuple[Floats, Floats]:
        """Pixel positions of sky positions; NaN on the far half of the sky."""
        return self.plane_to_pixel(*project(ra_deg, dec_deg, ra0_deg=self.ra0_deg, dec0_deg=self.dec0_deg))
