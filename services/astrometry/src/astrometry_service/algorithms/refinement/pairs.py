"""The two lists on one plane, and the pairs between them with all that the fits need."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from astro_shared.science.tangent_plane import project, sky_jacobian
from astrometry_service.algorithms.error_model.covariances import Sym2, carry, from_matrices
from astrometry_service.algorithms.error_model.likelihood import ErrorModel, Residuals, total_covariance
from astrometry_service.algorithms.refinement.affine_fit import median_scatter
from astrometry_service.algorithms.wcs.plane_fit import PixelFrame, PlaneFit, fit_plane
from astrometry_service.algorithms.wcs.polynomials import n_terms
from astrometry_service.domain.reference import ReferencePositions, ReferenceStars
from astrometry_service.domain.sources import FrameGeometry, SourceList

__all__ = ["PairSet", "PlaneTargets", "SortedSources", "blended", "fit_pairs", "pair_residuals", "robust_fit"]

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class SortedSources:
    """Sources of a frame, brightest first, with the design matrix of the highest degree.

    Attributes
    ----------
    row : (n,), rows of the list that it was made from
    x, y, mag, snr : (n,); instrumental magnitude -2.5 log10 flux
    covariance : (n, 2, 2), pixel^2
    usable : (n,)
    frame : normalisation of pixels
    design : (n, n_terms(7))
    """

    row: Indices
    x: Floats
    y: Floats
    mag: Floats
    snr: Floats
    covariance: Floats
    usable: Mask
    frame: PixelFrame
    design: Floats

    @classmethod
    def of(cls, sources: SourceList, geometry: FrameGeometry, highest: int, *, min_snr: float = 0.0) -> SortedSources:
        """Sort by flux; sources that nothing can be matched to are left out, those below ``min_snr`` are not usable."""
        real = np.flatnonzero(sources.matchable)
        row = real[np.argsort(-sources.flux[real], kind="stable")]
        frame = PixelFrame.of(geometry.nx, geometry.ny)
        x, y = sources.x[row], sources.y[row]
        return cls(
            row, x, y, -2.5 * np.log10(sources.flux[row]), sources.snr[row], sources.covariance[row],
            sources.usable[row] & ~(sources.snr[row] < min_snr), frame, frame.design(x, y, highest),
        )  # fmt: skip


@dataclass(frozen=True)
class PlaneTargets:
    """Reference stars about the frame on the tangent plane, brightest first.

    Attributes
    ----------
    row : (m,), rows of the reference list
    plane : (m, 2), deg
    covariance : mas^2, in the plane
    mag, colour : (m,), mag
    good : (m,), may carry the fit: within the cuts and not blended
    ra0_deg, dec0_deg : deg, tangent point
    """

    row: Indices
    plane: Floats
    covariance: Sym2
    mag: Floats
    colour: Floats
    good: Mask
    ra0_deg: float
    dec0_deg: float

    @classmethod
    def of(
        cls,
        stars: ReferenceStars,
        places: ReferencePositions,
        rows: Indices,
        *,
        ra0_deg: float,
        dec0_deg: float,
        errors: bool,
    ) -> PlaneTargets:
        """Project the chosen rows, sorted by magnitude (unknown ones last)."""
        rows = rows[np.argsort(np.where(np.isfinite(stars.mag[rows]), stars.mag[rows], np.inf), kind="stable")]
        xi, eta = project(places.ra[rows], places.dec[rows], ra0_deg=ra0_deg, dec0_deg=dec0_deg)
        to_plane = np.asarray(np.linalg.inv(sky_jacobian(xi, eta, ra0_deg=ra0_deg, dec0_deg=dec0_deg)), np.float64)
        covariance = from_matrices(carry(to_plane, places.covariance_mas2[rows]))
        return cls(
            rows, np.stack([xi, eta], axis=1), covariance if errors else covariance.scaled(0.0), stars.mag[rows],
            stars.colour[rows], places.good[rows], ra0_deg, dec0_deg,
        )  # fmt: skip


@dataclass(frozen=True)
class PairSet:
    """Pairs of `SortedSources` and `PlaneTargets`.

    Attributes
    ----------
    source, target : (k,), rows of the sorted lists
    x, y : (k,), pixel
    plane : (k, 2), deg, of the reference stars
    design : (k, n_terms), of the highest degree
    pixel : (k, 2, 2), pixel^2
    catalogue : mas^2
    colour : (k,), mag less the median, zero where unknown
    fitted : (k,), may carry the fit
    match_area : (k,), mas^2, area in which a chance pair could have been made
    """

    source: Indices
    target: Indices
    x: Floats
    y: Floats
    plane: Floats
    design: Floats
    pixel: Floats
    catalogue: Sym2
    colour: Floats
    fitted: Mask
    match_area: Floats
    frame: PixelFrame
    ra0_deg: float
    dec0_deg: float

    def __len__(self) -> int:
        return int(self.source.size)

    @classmethod
    def of(
        cls,
        sources: SortedSources,
        targets: PlaneTargets,
        source: Indices,
        target: Indices,
        *,
        match_area: Floats | None = None,
    ) -> PairSet:
        """Pairs by their rows."""
        colour = targets.colour[target]
        known = np.isfinite(colour)
        middle = float(np.median(colour[known])) if known.any() else 0.0
        return cls(
            source, target, sources.x[source], sources.y[source], targets.plane[target], sources.design[source],
            sources.covariance[source], targets.covariance[target], np.where(known, colour - middle, 0.0),
            sources.usable[source] & targets.good[target],
            np.full(source.size, np.inf) if match_area is None else match_area,
            sources.frame, targets.ra0_deg, targets.dec0_deg,
        )  # fmt: skip


def fit_pairs(
    pairs: PairSet,
    kept: Mask,
    degree: int,
    variance_mas2: Floats,
    *,
    colour: bool = False,
    prior: tuple[Floats, Floats] | None = None,
) -> PlaneFit:
    """Weighted fit of the kept pairs; ``variance_mas2`` (k,) is per axis, of all pairs."""
    rows = np.flatnonzero(kept)
    return fit_plane(
        pairs.frame, pairs.design[rows, : n_terms(degree)], pairs.plane[rows], variance_mas2[rows],
        ra0_deg=pairs.ra0_deg, dec0_deg=pairs.dec0_deg,
        extra=pairs.colour[rows, None] if colour else None, prior=prior,
    )  # fmt: skip


def pair_residuals(pairs: PairSet, fit: PlaneFit) -> Residuals:
    """Residuals of all pairs (catalogue minus fit, mas) with their covariances in the plane."""
    coefficients = fit.polynomial.coefficients
    predicted = pairs.design[:, : coefficients.shape[1]] @ coefficients.T
    if fit.extra.size:
        predicted = predicted + pairs.colour[:, None] * fit.extra[:, 0]
    residual = (pairs.plane - predicted) * 3.6e6
    jacobian = fit.polynomial.jacobian(pairs.x, pairs.y) * 3.6e6
    return Residuals(residual[:, 0], residual[:, 1], from_matrices(carry(jacobian, pairs.pixel)), pairs.catalogue)


def pair_variance(residuals: Residuals, model: ErrorModel) -> Floats:
    """Variance per axis of every pair under a model, mas^2."""
    return total_covariance(residuals, model).mean


def robust_fit(pairs: PairSet, degree: int, *, rounds: int = 6) -> tuple[PlaneFit, Mask, float]:
    """Unweighted fit with Tukey's rejection; the fit, the pairs within three sigma, and sigma per axis in mas."""
    kept = pairs.fitted.copy()
    ones = np.ones(len(pairs))
    for _ in range(rounds):
        fit = fit_pairs(pairs, kept, degree, ones)
        away = np.hypot(*_offsets(pairs, fit))
        sigma = median_scatter(away[kept])
        updated = pairs.fitted & (away <= max(3.0 * np.sqrt(2.0) * sigma, 1e-6))
        if np.array_equal(updated, kept) or updated.sum() < n_terms(degree) + 3:
            break
        kept = updated
    return fit, kept, sigma


def blended(plane: Floats, mag: Floats, radius_deg: float, max_difference: float) -> Mask:
    """Stars with a neighbour within the radius that is brighter, or fainter by no more than ``max_difference``."""
    out = np.zeros(mag.size, bool)
    links = cKDTree(plane).query_pairs(radius_deg, output_type="ndarray")
    if links.size:
        i, j = links.T
        difference = np.nan_to_num(mag[j] - mag[i])
        out[i[difference <= max_difference]] = True
        out[j[-difference <= max_difference]] = True
    return out


def _offsets(pairs: PairSet, fit: PlaneFit) -> tuple[Floats, Floats]:
    coefficients = fit.polynomial.coefficients
    residual = (pairs.plane - pairs.design[:, : coefficients.shape[1]] @ coefficients.T) * 3.6e6
    return residual[:, 0], residual[:, 1]
