"""The degree of the distortion: cross-validation over blocks of sky with the one-standard-error rule.

Folds are made of whole blocks, so that a coherent field of residuals (turbulence) in the training part does not tell
about the test part. The fits of all folds and degrees come from one QR factor per fold: the factors of the other folds
stacked give the training system, and its leading columns the lower degrees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dtrtrs

from astrometry_service.algorithms.wcs.polynomials import degree_of, n_terms

__all__ = ["DegreeChoice", "DegreeOptions", "cross_validate", "select_degree"]

Floats = NDArray[np.float64]

SINGULAR = 1e-10


@dataclass(frozen=True)
class DegreeOptions:
    """Every number of the choice.

    Attributes
    ----------
    lowest, highest : candidates
    stars_per_term : a degree needs this many stars per term
    folds : of the cross-validation
    blocks : the frame is cut into blocks x blocks
    score_cap : z^2 above this counts as this, so that single outliers do not decide
    seed : of the assignment of blocks to folds
    """

    lowest: int = 1
    highest: int = 7
    stars_per_term: int = 5
    folds: int = 5
    blocks: int = 8
    score_cap: float = 30.0
    seed: int = 0


@dataclass(frozen=True)
class DegreeChoice:
    """The degree and why.

    Attributes
    ----------
    degree : chosen
    scores : mean cross-validated min(z^2, cap) by degree
    bic : chi^2 + 2 n_terms ln(2 N) by degree
    best_score_degree, best_bic_degree : the minima
    cv_rms_mas : cross-validated rms per axis by degree
    """

    degree: int
    scores: Mapping[int, float]
    bic: Mapping[int, float]
    best_score_degree: int
    best_bic_degree: int
    cv_rms_mas: Mapping[int, float]


def select_degree(
    design: Floats,
    target_mas: Floats,
    variance_mas2: Floats,
    u: Floats,
    v: Floats,
    options: DegreeOptions | None = None,
) -> DegreeChoice:
    """Choose the degree of the distortion.

    Parameters
    ----------
    design : (n, n_terms(highest)), in the term order of `polynomials`
    target_mas : (n, 2), mas
    variance_mas2 : (n,), mas^2 per axis
    u, v : (n,), normalised pixels, for the blocks
    options : thresholds

    Returns
    -------
    DegreeChoice
        The smallest degree whose paired difference from the best score is below the standard error of that difference.
    """
    options = options or DegreeOptions()
    n = design.shape[0]
    highest = min(options.highest, degree_of(design.shape[1]))
    degrees = [d for d in range(options.lowest, highest + 1) if d == 1 or n >= options.stars_per_term * n_terms(d)]
    squares, raw = cross_validate(design, target_mas, variance_mas2, u, v, degrees, options)
    scores = {d: float(np.mean(squares[d])) for d in degrees}
    best = min(degrees, key=lambda d: scores[d])
    chosen = best
    for d in degrees:
        difference = squares[d] - squares[best]
        if d == best or difference.mean() < difference.std() / np.sqrt(n):
            chosen = d
            break
    bic = _bic(design, target_mas, variance_mas2, degrees)
    return DegreeChoice(
        degree=chosen,
        scores=scores,
        bic=bic,
        best_score_degree=best,
        best_bic_degree=min(degrees, key=lambda d: bic[d]),
        cv_rms_mas={d: float(np.sqrt(np.mean(raw[d]) / 2.0)) for d in degrees},
    )


def cross_validate(
    design: Floats,
    target_mas: Floats,
    variance_mas2: Floats,
    u: Floats,
    v: Floats,
    degrees: list[int],
    options: DegreeOptions,
) -> tuple[dict[int, Floats], dict[int, Floats]]:
    """Capped z^2 (n,) and squared residuals in mas^2 (n,) of every star, predicted by fits without its fold."""
    fold = _folds(u, v, options)
    weight = 1.0 / np.sqrt(variance_mas2)
    rows = np.hstack([design[:, : n_terms(degrees[-1])], target_mas]) * weight[:, None]
    factors = [_triangle(rows[fold == k]) for k in range(options.folds)]
    squares = {d: np.zeros(u.size) for d in degrees}
    raw = {d: np.zeros(u.size) for d in degrees}
    for k in range(options.folds):
        test = np.flatnonzero(fold == k)
        if test.size == 0:
            continue
        training = _triangle(np.vstack([f for j, f in enumerate(factors) if j != k]))
        for d in degrees:
            terms = n_terms(d)
            coefficients = _solve(training[:terms, :terms], training[:terms, -2:])
            residual = target_mas[test] - design[test, :terms] @ coefficients
            raw[d][test] = np.sum(residual**2, axis=1)
            squares[d][test] = np.minimum(raw[d][test] / variance_mas2[test], options.score_cap)
    return squares, raw


def _folds(u: Floats, v: Floats, options: DegreeOptions) -> NDArray[np.int64]:
    """Fold of every star: blocks of sky dealt out at random."""
    m = options.blocks
    i = np.clip(((u + 1.0) * 0.5 * m).astype(int), 0, m - 1)
    span = float(np.max(np.abs(v))) or 1.0
    j = np.clip(((v / span + 1.0) * 0.5 * m).astype(int), 0, m - 1)
    deal = np.random.default_rng(options.seed).permutation(m * m) % options.folds
    return np.asarray(deal[j * m + i], dtype=np.int64)


def _triangle(rows: Floats) -> Floats:
    """The triangular factor of a QR decomposition, square: with rows of zeros where there are fewer stars than columns."""
    r = np.asarray(np.linalg.qr(rows, mode="r"), dtype=np.float64)
    return np.asarray(np.pad(r, ((0, rows.shape[1] - r.shape[0]), (0, 0))), dtype=np.float64)


def _solve(triangle: Floats, target: Floats) -> Floats:
    """Solution of a triangular system; the shortest one where the stars of a fold do not fix all terms."""
    diagonal = np.abs(np.diagonal(triangle))
    if diagonal.min() > SINGULAR * diagonal.max():
        return np.asarray(dtrtrs(triangle, target)[0], dtype=np.float64)
    return np.asarray(np.linalg.lstsq(triangle, target, rcond=SINGULAR)[0], dtype=np.float64)


def _bic(design: Floats, target_mas: Floats, variance_mas2: Floats, degrees: list[int]) -> dict[int, float]:
    weight = 1.0 / np.sqrt(variance_mas2)
    rows = np.hstack([design[:, : n_terms(degrees[-1])], target_mas]) * weight[:, None]
    r = _triangle(rows)
    out = {}
    for d in degrees:
        terms = n_terms(d)
        # What the columns beyond the degree and the noise leave of the targets.
        chi2 = float(np.sum(r[terms:, -2:] ** 2))
        out[d] = chi2 + 2.0 * terms * float(np.log(2.0 * design.shape[0]))
    return out
