"""What the error model is made of: residuals, the two parameters, and the covariances that they give."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from astrometry_service.algorithms.error_model.covariances import Sym2

__all__ = ["ErrorModel", "ErrorModelOptions", "Residuals", "leverage", "total_covariance"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ErrorModelOptions:
    """Every number of the error model.

    Attributes
    ----------
    fix_alpha : take the pixel covariances at their word
    min_side_fraction, min_side_stars : alpha is free only where at least this share (and number) of the stars has
        centroid noise above sigma_sys; without them it cannot be told from sigma_sys
    max_alpha_error : relative error of alpha above which it is fixed
    limit_sigmas : where sigma_sys^2, whose error is Gaussian down to zero, is below this many of its errors, an upper
        limit is given
    max_steps, tolerance : of the scoring
    coarse_tolerance : ... of models on the way, which only set weights
    """

    fix_alpha: bool = False
    min_side_fraction: float = 0.05
    min_side_stars: int = 10
    max_alpha_error: float = 0.5
    limit_sigmas: float = 2.0
    max_steps: int = 40
    tolerance: float = 1e-5
    coarse_tolerance: float = 1e-3

    def coarse(self) -> ErrorModelOptions:
        """The same for a model that is only on the way to another."""
        return replace(self, tolerance=max(self.tolerance, self.coarse_tolerance))


@dataclass(frozen=True)
class Residuals:
    """Residuals of pairs with what their covariance is made of.

    Attributes
    ----------
    rx, ry : (n,), mas, catalogue minus fit in the tangent plane
    pixel : covariances of the centroids carried to the plane, mas^2
    catalogue : covariances of the reference positions, mas^2
    """

    rx: Floats
    ry: Floats
    pixel: Sym2
    catalogue: Sym2

    def __len__(self) -> int:
        return int(self.rx.size)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Residuals:
        """The residuals of some pairs."""
        return Residuals(self.rx[rows], self.ry[rows], self.pixel[rows], self.catalogue[rows])


@dataclass(frozen=True)
class ErrorModel:
    """What the residuals say about the errors.

    Attributes
    ----------
    alpha, alpha_err : factor on the centroid errors; error NaN when fixed
    alpha_upper : 95 per cent limit of alpha where it rests at its bound and is not measured, else NaN
    sigma_sys_mas, sigma_sys_err_mas : mas per axis, added in quadrature; error NaN where sigma_sys is zero
    upper_limit_mas : 95 per cent limit of sigma_sys where it is not significant, else NaN
    catalogue_factor : on the errors of the reference list; below one where the residuals are smaller than they allow
    correlation : of alpha^2 and sigma_sys^2
    alpha_fixed : alpha was not fitted
    note : why alpha was fixed, or empty
    log_likelihood : of the pairs that were fitted
    pairs : how many
    """

    alpha: float = 1.0
    alpha_err: float = float("nan")
    alpha_upper: float = float("nan")
    sigma_sys_mas: float = 0.0
    sigma_sys_err_mas: float = float("nan")
    upper_limit_mas: float = float("nan")
    catalogue_factor: float = 1.0
    correlation: float = float("nan")
    alpha_fixed: bool = False
    note: str = ""
    log_likelihood: float = float("nan")
    pairs: int = 0

    @property
    def alpha_at_most(self) -> float:
        """alpha, or its limit where it is known from above only: for errors that are handed on."""
        return self.alpha_upper if np.isfinite(self.alpha_upper) else self.alpha


def total_covariance(residuals: Residuals, model: ErrorModel) -> Sym2:
    """C of every pair under a model, mas^2."""
    catalogue = residuals.catalogue
    if model.catalogue_factor != 1.0:
        catalogue = catalogue.scaled(model.catalogue_factor**2)
    return catalogue.plus(residuals.pixel, model.alpha**2).with_diagonal(model.sigma_sys_mas**2)


def leverage(design: Floats, variance: Floats) -> Floats:
    """Share h_i of each star's own weight in the fit at its place: w_i b_i^T (X^T W X)^-1 b_i; sums to n_terms."""
    q = np.linalg.qr(design / np.sqrt(variance)[:, None])[0]
    return np.asarray(np.einsum("ij,ij->i", q, q), dtype=np.float64)
