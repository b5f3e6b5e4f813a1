"""What earlier frames of a camera say about its distortion: a Gaussian prior on the terms of degree two and more.

The distortion belongs to the detector, so it is held in pixels of the detector: with the linear part L of the fit taken
out, delta = L^-1 c are displacements in pixels that do not depend on where the camera points or how it is turned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astrometry_service.algorithms.wcs.plane_fit import PlaneFit
from astrometry_service.algorithms.wcs.polynomials import degree_of, n_terms
from astrometry_service.domain.distortion import DistortionSample

__all__ = ["DistortionPrior", "DistortionSample", "combine_samples", "measure_distortion", "prior_rows"]

Floats = NDArray[np.float64]

# Least standard deviation of a term, pixels: flexure and focus move every camera by this much.
LEAST_SIGMA_PX = 1e-4


@dataclass(frozen=True)
class DistortionPrior:
    """Mean distortion of a camera and filter with the scatter from frame to frame.

    Attributes
    ----------
    nx, ny : pixel; the prior holds for frames of this size only
    mean_px : (2, k), pixel
    covariance_px2 : (k, k), pixel^2, of one axis
    frames : number of frames it was made of
    """

    nx: int
    ny: int
    mean_px: Floats
    covariance_px2: Floats
    frames: int

    @property
    def degree(self) -> int:
        """Degree of the distortion."""
        return degree_of(self.mean_px.shape[1] + 3)

    def fits(self, nx: int, ny: int) -> bool:
        """Whether a frame has the size that the prior was made for."""
        return (nx, ny) == (self.nx, self.ny)


def measure_distortion(fit: PlaneFit, nx: int, ny: int) -> DistortionSample:
    """The distortion of a fitted frame, in pixels of its detector."""
    coefficients, scale = fit.polynomial.coefficients, fit.polynomial.frame.scale
    linear = coefficients[:, 1:3]
    per_unit_mas = np.sqrt(abs(np.linalg.det(linear))) * 3.6e6
    return DistortionSample(
        nx, ny, np.asarray(scale * np.linalg.solve(linear, coefficients[:, 3:]), np.float64),
        fit.covariance[3:, 3:] * (scale / per_unit_mas) ** 2,
    )  # fmt: skip


def combine_samples(samples: Sequence[DistortionSample], *, min_frames: int = 3) -> DistortionPrior | None:
    """Mean and scatter of the distortion over frames of one camera and filter.

    Parameters
    ----------
    samples : of frames of one size; lower degrees count as zero above their own
    min_frames : None is returned below this number

    Returns
    -------
    DistortionPrior or None
        The covariance is the scatter from frame to frame (its diagonal: there are fewer frames than pairs of terms)
        plus the mean formal covariance divided by the number of frames.
    """
    samples = [s for s in samples if (s.nx, s.ny) == (samples[-1].nx, samples[-1].ny)] if samples else []
    if len(samples) < min_frames:
        return None
    degree = int(np.median([degree_of(s.terms_px.shape[1] + 3) for s in samples]))
    k = n_terms(degree) - 3
    if k <= 0:
        return None
    terms = np.stack([_padded(s.terms_px, k) for s in samples])
    errors = np.stack([_padded_square(s.covariance_px2, k) for s in samples])
    precision = 1.0 / (np.diagonal(errors, axis1=1, axis2=2) + LEAST_SIGMA_PX**2)
    weight = precision / precision.sum(axis=0)
    mean = np.einsum("fk,fak->ak", weight, terms)
    formal = errors.mean(axis=0)
    scatter = np.einsum("fk,fak->k", weight, (terms - mean) ** 2) / 2.0 * len(samples) / (len(samples) - 1)
    intrinsic = np.maximum(scatter - np.diag(formal), LEAST_SIGMA_PX**2)
    covariance = np.diag(intrinsic) * (1.0 + 1.0 / len(samples)) + formal / len(samples)
    return DistortionPrior(samples[-1].nx, samples[-1].ny, mean, covariance, len(samples))


def prior_rows(prior: DistortionPrior, linear_deg: Floats, scale_px: float, terms: int) -> tuple[Floats, Floats]:
    """Rows and values for `plane_fit.fit_plane`.

    Parameters
    ----------
    prior : in pixels
    linear_deg : (2, 2), deg per unit of normalised pixel, linear part of a preliminary fit
    scale_px : pixel per unit of normalised pixel
    terms : number of terms of the fit, at least those of the prior
    """
    k = prior.mean_px.shape[1]
    per_px_mas = np.sqrt(abs(np.linalg.det(linear_deg))) * 3.6e6 / scale_px
    root = np.linalg.inv(np.linalg.cholesky(prior.covariance_px2 * per_px_mas**2))
    mean_mas = (linear_deg @ prior.mean_px).T * (3.6e6 / scale_px)
    rows = np.zeros((terms - 3, terms))
    rows[:k, 3 : 3 + k] = root
    # Terms that the prior does not know are expected to be as small as its smallest scatter allows: free within a pixel.
    rows[k:, 3 + k :] = np.eye(terms - 3 - k) / per_px_mas
    values = np.zeros((terms - 3, 2))
    values[:k] = root @ mean_mas
    return rows, values


def _padded(terms: Floats, k: int) -> Floats:
    out = np.zeros((2, k))
    out[:, : min(k, terms.shape[1])] = terms[:, :k]
    return out


def _padded_square(matrix: Floats, k: int) -> Floats:
    """The matrix cut or filled to k x k; missing terms get the variance of one tenth of a pixel."""
    out = np.eye(k) * 0.1**2
    m = min(k, matrix.shape[0])
    out[:m, :m] = matrix[:m, :m]
    return out
