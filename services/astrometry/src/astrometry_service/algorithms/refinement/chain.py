"""The steps of the refinement after the first fit: depth match, clipping, degree, error model, colour term."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrometry_service.algorithms.error_model.clipping import expected_kept
from astrometry_service.algorithms.error_model.likelihood import ErrorModel, fit_error_model, total_covariance
from astrometry_service.algorithms.refinement.degree_selection import DegreeChoice, DegreeOptions, select_degree
from astrometry_service.algorithms.refinement.distortion_prior import prior_rows
from astrometry_service.algorithms.refinement.mixture import fit_mixture
from astrometry_service.algorithms.refinement.options import RefineOptions
from astrometry_service.algorithms.refinement.pairs import PairSet, fit_pairs, pair_residuals
from astrometry_service.algorithms.refinement.rms_clipping import ClippingRound, clip_by_rms
from astrometry_service.algorithms.refinement.settle import Settled, settle
from astrometry_service.algorithms.refinement.solution_error import hull_fraction
from astrometry_service.algorithms.wcs.plane_fit import PlaneFit
from astrometry_service.algorithms.wcs.polynomials import n_terms
from astrometry_service.domain.sources import FrameGeometry
from astrometry_service.errors import RefinementError

__all__ = [
    "ChainResult",
    "choose_degree",
    "clip_pairs",
    "clipping_record",
    "colour_gain",
    "first_model",
    "settle_pairs",
]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Prior = tuple[Floats, Floats] | None

# Largest growth of the cross-validated score for which the degree is lowered where stars leave a corner open.
OPEN_CORNER_COST = 1.3


@dataclass(frozen=True)
class ChainResult:
    """A settled fit with how its degree was chosen.

    Attributes
    ----------
    settled : fit, error model, kept pairs
    choice : scores of the degrees
    colour : a colour term is part of the fit
    with_prior : the distortion of earlier frames is part of the fit
    """

    settled: Settled
    choice: DegreeChoice
    colour: bool
    with_prior: bool


def clip_pairs(pairs: PairSet, degree: int, options: RefineOptions) -> tuple[Mask, tuple[ClippingRound, ...], PlaneFit]:
    """CLIPPING_THRESHOLD rounds with unweighted fits of a modest degree."""
    ones = np.ones(len(pairs))
    fitted = np.flatnonzero(pairs.fitted)
    state: dict[str, PlaneFit] = {}

    def distances(kept: Mask) -> Floats:
        mask = np.zeros(len(pairs), bool)
        mask[fitted[kept]] = True
        state["fit"] = fit_pairs(pairs, mask, degree, ones)
        residuals = pair_residuals(pairs, state["fit"])
        return np.hypot(residuals.rx, residuals.ry)[fitted]

    kept, rounds = clip_by_rms(
        distances, fitted.size, clipping_threshold=options.clipping_threshold, max_rounds=options.clipping_rounds,
        min_pairs=max(options.min_pairs, n_terms(degree)),
    )  # fmt: skip
    mask = np.zeros(len(pairs), bool)
    mask[fitted[kept]] = True
    return mask, rounds, state["fit"]


def first_model(pairs: PairSet, fit: PlaneFit, options: RefineOptions) -> tuple[ErrorModel, Mask]:
    """The robust first error model, and the pairs that are more likely true than false.

    Clipping by one rms takes faint stars that are within their errors; the mixture brings them back.
    """
    _need(pairs.fitted, options, "may carry the fit")
    rows = np.flatnonzero(pairs.fitted)
    model, probability, _ = fit_mixture(
        pair_residuals(pairs, fit).take(rows), pairs.match_area[rows], options=options.error_model
    )
    kept = np.zeros(len(pairs), bool)
    kept[rows[probability >= 0.5]] = True
    _need(kept, options, "are more likely true than chance pairs")
    return model, kept


def _need(chosen: Mask, options: RefineOptions, what: str) -> None:
    """Raise RefinementError where fewer pairs are chosen than a fit needs."""
    found, needed = int(np.count_nonzero(chosen)), options.min_pairs
    if found < needed:
        raise RefinementError(
            f"{found} of {chosen.size} matched pairs {what}, need {needed}", found=found, needed=needed
        )


def choose_degree(
    pairs: PairSet, kept: Mask, variance_mas2: Floats, geometry: FrameGeometry, options: RefineOptions
) -> DegreeChoice:
    """Degree by cross-validation over blocks of sky; one lower where stars leave a corner open and bear it."""
    _need(kept, options, "are left to choose the degree by")
    rows = np.flatnonzero(kept)
    u, v = pairs.frame.normalise(pairs.x[rows], pairs.y[rows])
    limits: DegreeOptions = options.degree
    choice = select_degree(
        pairs.design[rows], pairs.plane[rows] * 3.6e6, variance_mas2[rows], u, v, limits
    )  # fmt: skip
    degree = choice.degree
    hull = hull_fraction(pairs.x[rows], pairs.y[rows], geometry.nx, geometry.ny)
    if hull < options.min_hull_fraction and degree > 1 and _may_be_lower(choice):
        degree -= 1
    if options.fixed_degree is not None:
        degree = options.fixed_degree
        while degree > 1 and rows.size < 1.5 * n_terms(degree):
            degree -= 1
    if options.prior is not None and options.prior.fits(geometry.nx, geometry.ny):
        degree = max(degree, options.prior.degree)
    return replace(choice, degree=degree)


def _may_be_lower(choice: DegreeChoice) -> bool:
    """Whether one degree less still describes the stars: their scatter may grow by no more than what a corner is worth."""
    lower = choice.scores.get(choice.degree - 1)
    return lower is not None and lower <= OPEN_CORNER_COST * choice.scores[choice.degree]


def settle_pairs(
    pairs: PairSet,
    kept: Mask,
    model: ErrorModel,
    variance_mas2: Floats,
    geometry: FrameGeometry,
    options: RefineOptions,
) -> ChainResult:
    """Choose the degree, settle, choose again with the settled weights, add the colour term where it pays, finish."""
    choice = choose_degree(pairs, kept, variance_mas2, geometry, options)
    settled = _settle(pairs, kept, choice.degree, model, geometry, options)
    for _ in range(2):
        variance = total_covariance(settled.residuals, settled.model).mean
        again = choose_degree(pairs, settled.kept, variance, geometry, options)
        if again.degree == choice.degree:
            choice = again
            break
        choice = again
        settled = _settle(pairs, settled.kept, choice.degree, settled.model, geometry, options)
    colour = options.colour_terms and colour_gain(pairs, settled, options) > options.colour_bic_gain
    settled = _settle(pairs, settled.kept, choice.degree, settled.model, geometry, options, colour=colour, final=True)
    with_prior = options.prior is not None and options.prior.fits(geometry.nx, geometry.ny)
    rows = np.flatnonzero(settled.kept)
    limited = fit_error_model(
        settled.residuals.take(rows), options.error_model, start=settled.model,
        design=None if with_prior else pairs.design[rows, : settled.fit.polynomial.coefficients.shape[1]],
        truncation=expected_kept(options.error_threshold) / 2.0,
    )  # fmt: skip
    model = replace(settled.model, upper_limit_mas=limited.upper_limit_mas, alpha_upper=limited.alpha_upper)
    return ChainResult(replace(settled, model=model), choice, colour, with_prior)


def colour_gain(pairs: PairSet, settled: Settled, options: RefineOptions) -> float:
    """Drop of BIC that a term linear in colour brings, in both axes; minus infinity where there are too few colours."""
    rows = settled.kept
    if np.count_nonzero(pairs.colour[rows]) < options.colour_min_pairs:
        return -np.inf
    degree = settled.fit.polynomial.degree
    variance = total_covariance(settled.residuals, settled.model).mean
    without = pair_residuals(pairs, fit_pairs(pairs, rows, degree, variance))
    with_term = pair_residuals(pairs, fit_pairs(pairs, rows, degree, variance, colour=True))
    chi2 = [float(np.sum(((r.rx**2 + r.ry**2) / variance)[rows])) for r in (without, with_term)]
    return chi2[0] - chi2[1] - 2.0 * float(np.log(2.0 * rows.sum()))


def _settle(
    pairs: PairSet,
    kept: Mask,
    degree: int,
    model: ErrorModel,
    geometry: FrameGeometry,
    options: RefineOptions,
    *,
    colour: bool = False,
    final: bool = False,
) -> Settled:
    prior: Prior = None
    if options.prior is not None and options.prior.fits(geometry.nx, geometry.ny):
        # The linear part, which turns pixels of the detector into the sky, is known far better than it needs to be.
        linear = fit_pairs(pairs, kept, 1, np.ones(len(pairs))).polynomial.coefficients[:, 1:3]
        prior = prior_rows(options.prior, linear, pairs.frame.scale, n_terms(degree))
    return settle(
        pairs, kept, degree, model, error_threshold=options.error_threshold, max_rounds=options.error_rounds,
        options=options.error_model, colour=colour, prior=prior, final=final,
    )  # fmt: skip


def clipping_record(rounds: tuple[ClippingRound, ...]) -> list[dict[str, Any]]:
    """Rounds for the report."""
    return [{"kept": r.kept, "sigma_mas": r.sigma_mas, "limit_mas": r.limit_mas} for r in rounds]
