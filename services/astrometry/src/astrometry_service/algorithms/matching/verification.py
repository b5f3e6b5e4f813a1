"""Is a match real? One answer for the triangle matcher, header WCS and every external engine.

The test weighs two explanations of the bright image stars: they are reference stars seen through the proposed
mapping, or they fell where they are by chance. See `verify_prediction`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from astrometry_service.algorithms.matching.star_grid import StarGrid
from astrometry_service.domain.solving import NOT_A_MATCH

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

__all__ = ["ReferenceField", "Verification", "VerificationOptions", "verify_prediction"]

MIN_PAIRS_FOR_CUBIC = 30
MIN_PAIRS_FOR_FIT = 5


@dataclass(frozen=True)
class VerificationOptions:
    """Limits of the verification (``docs/algorithms/triangle-matcher.md``, step 5).

    Attributes
    ----------
    stars : brightest image stars that are tested
    sigma_px : expected separation of a true pair: centroid, proper motion, distortion left over
    accept_log_odds : least log-odds of a match that is believed
    min_pairs : least number of pairs
    axis_tolerance : largest difference of the two axes of the affine, relative
    unmatched : shares of stars without a partner that are tried; the one that explains the frame best counts
    rounds : rounds of pairing and fitting
    """

    stars: int = 150
    sigma_px: float = 1.5
    accept_log_odds: float = 25.0
    min_pairs: int = 6
    axis_tolerance: float = 0.07
    unmatched: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.85, 0.93)
    rounds: int = 6


@dataclass(frozen=True)
class ReferenceField:
    """Reference stars on the plane, in pixels, ready to be looked up."""

    u: Floats
    v: Floats
    tree: cKDTree
    grid: StarGrid

    @classmethod
    def build(cls, u: Floats, v: Floats) -> ReferenceField:
        """At least one star is needed."""
        return cls(u, v, cKDTree(np.column_stack([u, v])), StarGrid.build(u, v))


@dataclass(frozen=True)
class Verification:
    """The result of a test; ``refused`` is empty when the match is accepted.

    Attributes
    ----------
    affine : (2, 3), image pixels -> plane pixels, or None when there was nothing to fit
    pairs : (n, 2), image star, reference star
    rms_px : of the pairs after the fit
    tested : image stars that fall on the part of the sky that the reference list covers
    """

    log_odds: float
    refused: str
    affine: Floats | None
    pairs: Ints
    rms_px: float
    tested: int

    @property
    def accepted(self) -> bool:
        """True when the match is to be believed."""
        return not self.refused


def verify_prediction(
    x: Floats,
    y: Floats,
    predicted: Floats,
    sigma: Floats,
    reference: ReferenceField,
    *,
    disc_radius: float,
    magnification: float = 1.0,
    options: VerificationOptions | None = None,
) -> Verification:
    """Pair image stars with reference stars around predicted places, fit, and weigh the result.

    Parameters
    ----------
    x, y : (n,), px
        Image stars, brightest first.
    predicted : (n, 2), plane pixels
        Where the proposed mapping puts them.
    sigma : (n,), plane pixels
        One sigma of the prediction, per star.
    reference : stars in plane pixels
    disc_radius : plane pixels
        The reference list covers the disc of this radius about the origin; image stars outside are not counted.
    magnification : plane pixels per image pixel

    Returns
    -------
    Verification
        Log-odds sum ln[(1 - d) N(r; 0, s^2) / rho + d] over the tested stars, one-to-one pairs only, the largest over
        the shares d of stars without a partner. The p/2 best terms are left out: p fitted parameters explain p/2
        stars for nothing.

    Notes
    -----
    Six rounds: nearest one-to-one pairs within 3 sigma, robust fit (affine, cubic from 30 pairs on), sigma falling
    towards 1.2 x the median residual between 0.5 and 3 times ``sigma_px``.

    References
    ----------
    The Bayesian test follows Lang et al. (2010), AJ 139, 1782, section 2.3.
    """
    opts = options or VerificationOptions()
    inside = np.hypot(predicted[:, 0], predicted[:, 1]) < disc_radius
    tested = int(inside.sum())
    floor = opts.sigma_px * magnification
    basis_x, basis_y = _normalised(x), _normalised(y)
    fitted = _Fit(predicted, 0, math.inf)
    for round_number in range(opts.rounds):
        distance, nearest = reference.tree.query(fitted.places)
        stars = one_to_one(distance, nearest, inside & (distance < 3.0 * sigma))
        if stars.size < MIN_PAIRS_FOR_FIT:
            return _refusal(f"{stars.size} pairs, need {opts.min_pairs}", tested)
        targets = np.column_stack([reference.u[nearest[stars]], reference.v[nearest[stars]]])
        fitted = _robust_fit(basis_x, basis_y, stars, targets)
        narrow = np.clip(1.2 * fitted.median_residual, 0.5 * floor, 3.0 * floor)
        sigma = np.maximum(narrow, 0.35 * sigma) if round_number < 3 else np.full(x.size, narrow)
    final_sigma = float(np.clip(1.2 * fitted.median_residual, 0.7 * floor, 3.0 * floor))
    return _weigh(x, y, fitted, final_sigma, inside, reference, magnification, opts)


@dataclass(frozen=True)
class _Fit:
    """Places of all stars after a fit, its number of parameters, and the median residual of the pairs."""

    places: Floats
    parameters: int
    median_residual: float


def _weigh(
    x: Floats,
    y: Floats,
    fitted: _Fit,
    sigma: float,
    inside: NDArray[np.bool_],
    reference: ReferenceField,
    magnification: float,
    opts: VerificationOptions,
) -> Verification:
    """Log-odds of the fitted mapping, then the affine of its pairs."""
    tested = int(inside.sum())
    distance, nearest = reference.tree.query(fitted.places)
    paired = np.zeros(x.size, dtype=bool)
    paired[one_to_one(distance, nearest, inside)] = True
    density = reference.grid.density_at(fitted.places[:, 0], fitted.places[:, 1])
    gain = np.exp(-0.5 * (distance / sigma) ** 2) / (density * 2.0 * math.pi * sigma**2)
    gain[(distance > 4.0 * sigma) | ~paired] = 0.0
    log_odds = _log_odds(gain[inside], fitted.parameters // 2, opts.unmatched)
    hit = np.flatnonzero(paired & (distance < 3.0 * sigma))
    if hit.size < opts.min_pairs:
        return _refusal(f"{hit.size} pairs, need {opts.min_pairs}", tested, log_odds)
    target = np.column_stack([reference.u[nearest[hit]], reference.v[nearest[hit]]])
    design = np.column_stack([x[hit], y[hit], np.ones(hit.size)])
    affine = np.linalg.lstsq(design, target, rcond=None)[0].T
    axes = np.linalg.svd(affine[:, :2], compute_uv=False)
    refused = ""
    if log_odds <= opts.accept_log_odds:
        refused = f"log-odds {log_odds:.1f}, need more than {opts.accept_log_odds:g}"
    elif axes[1] < (1.0 - opts.axis_tolerance) * axes[0]:
        refused = f"axes differ by {100 * (1 - axes[1] / axes[0]):.0f} %, allowed {100 * opts.axis_tolerance:.0f} %"
    rms = float(np.sqrt(np.mean(distance[hit] ** 2))) / magnification
    return Verification(log_odds, refused, affine, np.column_stack([hit, nearest[hit]]), rms, tested)


def _log_odds(gain: Floats, free_terms: int, unmatched: tuple[float, ...]) -> float:
    """The sum without its best terms, for the share of unmatched stars that explains the frame best."""
    gain = np.sort(gain)[::-1][free_terms:]
    if gain.size < 3:
        return NOT_A_MATCH
    return max(float(np.log((1.0 - share) * gain + share).sum()) for share in unmatched)


def one_to_one(distance: Floats, nearest: Ints, allowed: NDArray[np.bool_]) -> Ints:
    """Stars that keep their nearest partner when each partner may serve only the closest star."""
    stars = np.flatnonzero(allowed)
    stars = stars[np.argsort(distance[stars], kind="stable")]
    _, first = np.unique(nearest[stars], return_index=True)
    return np.asarray(stars[first], dtype=np.intp)


def _normalised(values: Floats) -> Floats:
    """Centred and scaled to about +-1, so that powers stay well conditioned."""
    centred = values - values.mean()
    return np.asarray(centred / max(float(np.abs(centred).max()), 1e-9), dtype=np.float64)


def _robust_fit(x: Floats, y: Floats, stars: Ints, targets: Floats) -> _Fit:
    """Polynomial from all stars' coordinates to the targets of the paired ones, reweighted once (Cauchy)."""
    degree = 1 if stars.size < MIN_PAIRS_FOR_CUBIC else 3
    basis = np.stack([x**i * y**j for i in range(degree + 1) for j in range(degree + 1 - i)], axis=1)
    design = basis[stars]
    weight = np.ones(stars.size)
    for _ in range(2):
        coefficients = np.linalg.lstsq(design * weight[:, None], targets * weight[:, None], rcond=None)[0]
        residual = np.hypot(*(design @ coefficients - targets).T)
        median = float(np.median(residual))
        weight = 1.0 / np.sqrt(1.0 + (residual / (1.5 * median + 1e-9)) ** 2)
    return _Fit(basis @ coefficients, coefficients.size, median)


def _refusal(reason: str, tested: int, log_odds: float = NOT_A_MATCH) -> Verification:
    return Verification(log_odds, reason, None, np.zeros((0, 2), dtype=np.intp), math.nan, tested)
