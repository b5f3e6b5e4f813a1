"""Weighted least-squares fit of the tangent plane as a polynomial of the pixel, in a well-conditioned basis.

The fit is made in products of Legendre polynomials of normalised pixels, by QR: at degree 7 the condition number stays
below ten where raw pixel monomials reach 1e16. Since a full polynomial stays one under a linear change of variables,
the fit in pixels and the fit in (xi, eta) of the TPV convention are the same; `to_tpv` writes it exactly as TPV with
CRPIX at the tangent point, PVi_1 = 1 and every other term of degree zero and one equal to zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from astrometry_service.algorithms.wcs.polynomials import (
    degree_of,
    legendre_design,
    legendre_gradients,
    legendre_to_monomials,
    n_terms,
    substitute_affine,
)
from astrometry_service.algorithms.wcs.tpv import TpvTransform

__all__ = ["PixelFrame", "PlaneFit", "PlanePolynomial", "fit_plane"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PixelFrame:
    """Normalised pixels: u = (x - x0) / scale and v likewise, within [-1, 1] on the frame.

    Attributes
    ----------
    x0, y0 : pixel, 0-based
    scale : pixel
    """

    x0: float
    y0: float
    scale: float

    @classmethod
    def of(cls, nx: int, ny: int) -> PixelFrame:
        """The frame of an image of nx by ny pixels: the longer side spans [-1, 1]."""
        return cls((nx - 1) / 2.0, (ny - 1) / 2.0, max(nx, ny) / 2.0)

    def normalise(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Normalised pixels of pixel positions."""
        return (np.asarray(x, float) - self.x0) / self.scale, (np.asarray(y, float) - self.y0) / self.scale

    def design(self, x: Floats, y: Floats, degree: int) -> Floats:
        """Legendre design matrix (n, n_terms) at pixel positions."""
        return legendre_design(*self.normalise(np.ravel(x), np.ravel(y)), degree)


@dataclass(frozen=True)
class PlanePolynomial:
    """Standard coordinates as a polynomial of the pixel.

    Attributes
    ----------
    frame : the normalisation of pixels
    coefficients : (2, n_terms), deg, of products of Legendre polynomials
    ra0_deg, dec0_deg : deg, the tangent point
    """

    frame: PixelFrame
    coefficients: Floats
    ra0_deg: float
    dec0_deg: float

    @property
    def degree(self) -> int:
        """Total degree."""
        return degree_of(self.coefficients.shape[1])

    def __call__(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Standard coordinates in degrees of pixel positions (n,)."""
        out = self.frame.design(x, y, self.degree) @ self.coefficients.T
        return out[:, 0], out[:, 1]

    def jacobian(self, x: Floats, y: Floats) -> Floats:
        """d(xi, eta) / d(x, y), shape (n, 2, 2), deg / pixel."""
        du, dv = legendre_gradients(*self.frame.normalise(np.ravel(x), np.ravel(y)), self.degree)
        both = np.stack([du @ self.coefficients.T, dv @ self.coefficients.T], axis=-1)
        return np.asarray(both / self.frame.scale, dtype=np.float64)

    def to_tpv(self) -> TpvTransform:
        """The same map as TPV, with the reference pixel where the map meets the tangent point."""
        pixel = self._tangent_pixel()
        cd = self.jacobian(pixel[:1], pixel[1:])[0]
        degree, scale = self.degree, self.frame.scale
        monomials = self.coefficients @ legendre_to_monomials(degree).T
        # (u, v) = pixel in the frame + CD^-1 (xi, eta) / scale. Unit of (xi, eta): the half side, which keeps
        # the numbers near one.
        unit = float(np.sqrt(abs(np.linalg.det(cd)))) * scale
        offset = np.array(self.frame.normalise(pixel[:1], pixel[1:])).ravel()
        pv = substitute_affine(monomials, offset, np.linalg.inv(cd) * (unit / scale))
        powers = np.concatenate([np.full(d + 1, float(d)) for d in range(degree + 1)])
        pv = pv / unit**powers
        pv[:, 0] = 0.0
        pv[0, 1:3], pv[1, 1:3] = (1.0, 0.0), (0.0, 1.0)
        return TpvTransform((self.ra0_deg, self.dec0_deg), pixel, cd, pv)

    def _tangent_pixel(self) -> Floats:
        """Pixel of the tangent point, by Newton's method from the frame's centre."""
        pixel = np.array([self.frame.x0, self.frame.y0])
        for _ in range(50):
            value = np.array(self(pixel[:1], pixel[1:])).ravel()
            step = np.linalg.solve(self.jacobian(pixel[:1], pixel[1:])[0], value)
            pixel = pixel - step
            if np.hypot(*step) < 1e-11 * self.frame.scale:
                break
        return pixel


@dataclass(frozen=True)
class PlaneFit:
    """A fitted polynomial with what its uncertainty needs.

    Attributes
    ----------
    polynomial : the map
    covariance : (n_terms, n_terms), mas^2
        Covariance of the coefficients of one axis, for weights in mas^-2; both axes share it.
    extra : (2, m), deg per unit of the column
        Coefficients of the additional columns (colour), one row per axis.
    """

    polynomial: PlanePolynomial
    covariance: Floats
    extra: Floats

    def variance_mas2(self, design: Floats) -> Floats:
        """Variance per axis (n,), mas^2, of the fitted map where ``design`` (n, n_terms) was evaluated."""
        return np.einsum("ij,jk,ik->i", design, self.covariance, design, optimize=True)


def fit_plane(
    frame: PixelFrame,
    design: Floats,
    target_deg: Floats,
    variance_mas2: Floats,
    *,
    ra0_deg: float,
    dec0_deg: float,
    extra: Floats | None = None,
    prior: tuple[Floats, Floats] | None = None,
) -> PlaneFit:
    """Fit the map from pixels to the tangent plane.

    Parameters
    ----------
    frame : normalisation that ``design`` was made with
    design : (n, n_terms), from `PixelFrame.design`
    target_deg : (n, 2), deg, standard coordinates of the reference stars
    variance_mas2 : (n,), mas^2, variance per axis of each residual (with covariances: half their trace)
    ra0_deg, dec0_deg : tangent point
    extra : (n, m), further columns that are fitted along and are not part of the map
    prior : rows (k, n_terms), mas^-1, and values (k, 2), of a Gaussian prior on the coefficients in mas, already
        divided by its standard deviations

    Returns
    -------
    PlaneFit

    Raises
    ------
    numpy.linalg.LinAlgError
        Fewer independent stars than coefficients.
    """
    weight = 1.0 / np.sqrt(variance_mas2)
    columns = design if extra is None else np.hstack([design, extra])
    rows = columns * weight[:, None]
    values = target_deg * (3.6e6 * weight)[:, None]
    if prior is not None:
        padding = np.zeros((prior[0].shape[0], columns.shape[1] - design.shape[1]))
        rows = np.vstack([rows, np.hstack([prior[0], padding])])
        values = np.vstack([values, prior[1]])
    q, r = np.linalg.qr(rows)
    diagonal = np.abs(np.diag(r))
    if rows.shape[0] < columns.shape[1] or diagonal.min() <= 1e-10 * diagonal.max():
        raise np.linalg.LinAlgError(f"{design.shape[0]} stars do not determine {columns.shape[1]} terms")
    solution = solve_triangular(r, q.T @ values) / 3.6e6
    inverse = solve_triangular(r, np.eye(r.shape[0]))
    covariance = inverse @ inverse.T
    terms = design.shape[1]
    polynomial = PlanePolynomial(frame, np.ascontiguousarray(solution[:terms].T), ra0_deg, dec0_deg)
    return PlaneFit(polynomial, covariance[:terms, :terms], solution[terms:].T)


def minimum_stars(degree: int, per_term: int = 5) -> int:
    """Stars that a fit of this degree needs."""
    return per_term * n_terms(degree)
