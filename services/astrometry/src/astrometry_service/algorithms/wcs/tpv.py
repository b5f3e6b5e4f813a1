"""The TPV distortion: evaluation, analytic Jacobian, inverse, and the numbering of its terms.

    (xi, eta) = CD (p - CRPIX),   xi' = sum PV1_k xi^i eta^j,   eta' = sum PV2_k eta^i xi^j

and the gnomonic projection of (xi', eta') about CRVAL. Pixels are 0-based, plane coordinates are degrees. The radial
terms of the convention (3, 11, 23, 39) are not smooth at the centre and are always zero here.

References
----------
FITS registry of conventions, "TPV World Coordinate System"; Calabretta & Greisen 2002, A&A 395, 1077.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from astro_shared.science.tangent_plane import deproject, project
from astrometry_service.algorithms.wcs.polynomials import (
    degree_of,
    exponents,
    monomial_design,
    monomial_gradients,
)

__all__ = ["TpvTransform", "pv_index"]

Floats = NDArray[np.float64]

# First PV index of each degree; the radial terms sit between them.
_FIRST_INDEX = (0, 1, 4, 7, 12, 17, 24, 31)
MAX_DEGREE = 7
_NEWTON_STEP_DEG = 1e-10
_NEWTON_PASSES = 20


def pv_index(axis: int, i: int, j: int) -> int:
    """Index m of PVaxis_m that multiplies xi^i eta^j; axis 2 has xi and eta exchanged."""
    return _FIRST_INDEX[i + j] + (j if axis == 1 else i)


@dataclass(frozen=True)
class TpvTransform:
    """Pixels to ICRS and back through a TPV distortion.

    Attributes
    ----------
    crval_deg : (ra, dec), deg
    crpix : (2,), pixel, **0-based**
    cd : (2, 2), deg / pixel
    pv : (2, n_terms), deg^(1 - i - j)
        Coefficients of xi^i eta^j of both axes, ordered as `polynomials.exponents`.
    """

    crval_deg: tuple[float, float]
    crpix: Floats
    cd: Floats
    pv: Floats

    @property
    def degree(self) -> int:
        """Total degree of the distortion polynomial; 1 is a plain tangent projection."""
        return degree_of(self.pv.shape[1])

    @classmethod
    def linear(cls, crval_deg: tuple[float, float], crpix: Floats, cd: Floats) -> TpvTransform:
        """A transform without distortion."""
        return cls(crval_deg, np.asarray(crpix, float), np.asarray(cd, float), np.array([[0.0, 1, 0], [0, 0, 1]]))

    def intermediate(self, x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
        """Linear intermediate coordinates in degrees."""
        dx, dy = np.asarray(x, float) - self.crpix[0], np.asarray(y, float) - self.crpix[1]
        return self.cd[0, 0] * dx + self.cd[0, 1] * dy, self.cd[1, 0] * dx + self.cd[1, 1] * dy

    def distort(self, xi_deg: Floats, eta_deg: Floats) -> tuple[Floats, Floats]:
        """Standard coordinates of linear intermediate coordinates, degrees."""
        shape = np.shape(xi_deg)
        out = monomial_design(np.ravel(xi_deg), np.ravel(eta_deg), self.degree) @ self.pv.T
        return out[:, 0].reshape(shape), out[:, 1].reshape(shape)

    def pixel_to_plane(self, x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
        """Standard coordinates (distorted) in degrees of pixel positions."""
        return self.distort(*self.intermediate(x, y))

    def pixel_to_sky(self, x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
        """Right ascension and declination in degrees (ICRS) of pixel positions."""
        ra0, dec0 = self.crval_deg
        return deproject(*self.pixel_to_plane(x, y), ra0_deg=ra0, dec0_deg=dec0)

    def plane_jacobian(self, x: ArrayLike, y: ArrayLike) -> Floats:
        """d(xi', eta') / d(x, y), shape (n, 2, 2), deg / pixel."""
        xi, eta = self.intermediate(np.ravel(x), np.ravel(y))
        return self._distortion_jacobian(xi, eta) @ self.cd

    def sky_to_pixel(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> tuple[Floats, Floats]:
        """Pixel positions of sky positions.

        Returns
        -------
        x, y : the shape of the input, pixel, 0-based
            NaN where the iteration does not converge or lands where the distortion folds over (the determinant of
            its Jacobian has another sign than at the centre), and on the far half of the sky.
        """
        ra0, dec0 = self.crval_deg
        return self.plane_to_pixel(*project(ra_deg, dec_deg, ra0_deg=ra0, dec0_deg=dec0))

    def plane_to_pixel(self, xi_deg: ArrayLike, eta_deg: ArrayLike) -> tuple[Floats, Floats]:
        """Pixel positions of standard coordinates in degrees; NaN as in `sky_to_pixel`."""
        shape = np.shape(xi_deg)
        xi, eta = self.undistort(np.ravel(np.asarray(xi_deg, float)), np.ravel(np.asarray(eta_deg, float)))
        inverse = np.linalg.inv(self.cd)
        x = self.crpix[0] + inverse[0, 0] * xi + inverse[0, 1] * eta
        y = self.crpix[1] + inverse[1, 0] * xi + inverse[1, 1] * eta
        return x.reshape(shape), y.reshape(shape)

    def undistort(self, xi_deg: Floats, eta_deg: Floats) -> tuple[Floats, Floats]:
        """Linear intermediate coordinates of standard coordinates by Newton's method; NaN where there are none."""
        linear = self.pv[:, 1:3]
        start = np.linalg.solve(linear, np.stack([xi_deg - self.pv[0, 0], eta_deg - self.pv[1, 0]]))
        u, v = start[0], start[1]
        if self.degree == 1:
            return u, v
        sign = np.sign(np.linalg.det(linear))
        done = np.zeros(u.shape, bool)
        todo = np.flatnonzero(np.isfinite(u))
        for _ in range(_NEWTON_PASSES):
            fx, fy = self.distort(u[todo], v[todo])
            jacobian = self._distortion_jacobian(u[todo], v[todo])
            det = jacobian[:, 0, 0] * jacobian[:, 1, 1] - jacobian[:, 0, 1] * jacobian[:, 1, 0]
            det = np.where(det * sign > 0, det, np.nan)
            ex, ey = fx - xi_deg[todo], fy - eta_deg[todo]
            du = (jacobian[:, 1, 1] * ex - jacobian[:, 0, 1] * ey) / det
            dv = (jacobian[:, 0, 0] * ey - jacobian[:, 1, 0] * ex) / det
            u[todo] -= du
            v[todo] -= dv
            small = np.hypot(du, dv) < _NEWTON_STEP_DEG
            done[todo[small]] = True
            todo = todo[~small & np.isfinite(du)]
            if todo.size == 0:
                break
        return np.where(done, u, np.nan), np.where(done, v, np.nan)

    def pv_cards(self) -> dict[str, float]:
        """PVi_m cards: the terms of degree zero and one always, of the others those that are not zero.

        By the convention an absent PVi_1 is one; wcslib takes it for zero, so it is written out.
        """
        cards: dict[str, float] = {}
        for axis in (1, 2):
            for term, (i, j) in enumerate(exponents(self.degree)):
                value = float(self.pv[axis - 1, term])
                if value != 0.0 or i + j < 2:
                    cards[f"PV{axis}_{pv_index(axis, i, j)}"] = value
        return dict(sorted(cards.items(), key=lambda item: (item[0][2], int(item[0][4:]))))

    def _distortion_jacobian(self, xi: Floats, eta: Floats) -> Floats:
        du, dv = monomial_gradients(xi, eta, self.degree)
        return np.stack([du @ self.pv.T, dv @ self.pv.T], axis=-1)
