"""The fixed point of fitting, modelling the errors and clipping by them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astrometry_service.algorithms.error_model.clipping import expected_kept, keep_by_error
from astrometry_service.algorithms.error_model.likelihood import (
    ErrorModel,
    ErrorModelOptions,
    Residuals,
    fit_error_model,
    total_covariance,
)
from astrometry_service.algorithms.refinement.pairs import PairSet, fit_pairs, pair_residuals
from astrometry_service.algorithms.wcs.plane_fit import PlaneFit
from astrometry_service.algorithms.wcs.polynomials import n_terms

__all__ = ["Settled", "settle"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


# Largest relative change of a variance between the last two rounds.
WEIGHT_TOLERANCE = 0.01


@dataclass(frozen=True)
class Settled:
    """A fit whose kept pairs, error model and weights agree with each other.

    Attributes
    ----------
    fit, model : the map and the error model
    residuals : of all pairs
    distance2 : (k,), of all pairs
    kept : (k,), pairs that carry the fit
    rounds : kept pairs, alpha and sigma_sys of each round
    converged : the kept set and the weights repeated
    """

    fit: PlaneFit
    model: ErrorModel
    residuals: Residuals
    distance2: Floats
    kept: Mask
    rounds: tuple[dict[str, float], ...]
    converged: bool


def settle(
    pairs: PairSet,
    kept: Mask,
    degree: int,
    model: ErrorModel,
    *,
    error_threshold: float,
    max_rounds: int,
    options: ErrorModelOptions,
    colour: bool = False,
    prior: tuple[Floats, Floats] | None = None,
    final: bool = False,
) -> Settled:
    """Fit, model, clip, until the kept set and the weights repeat; pairs may come back.

    Parameters
    ----------
    pairs : all pairs
    kept : to start from
    degree : of the distortion
    model : error model for the first weights
    error_threshold, max_rounds : of the clipping
    options : of the error model
    colour : fit the colour term along
    prior : rows and values of a prior on the distortion
    final : restricted likelihood with exact leverages and an upper limit; otherwise the cheap form with the mean leverage
    """
    truncation = expected_kept(error_threshold) / 2.0
    variance = _variance(pairs, kept, degree, model, colour=colour, prior=prior)
    rounds: list[dict[str, float]] = []
    minimum = n_terms(degree) if prior is None else 6
    for turn in range(max_rounds):
        fit = fit_pairs(pairs, kept, degree, variance, colour=colour, prior=prior)
        residuals = pair_residuals(pairs, fit)
        rows = np.flatnonzero(kept)
        terms = fit.polynomial.coefficients.shape[1]
        # Without exact leverages: 2 N - 2 n_terms of the residuals' freedom is left.
        share = 1.0 if final else max(1.0 - terms / max(rows.size, 1), 0.2)
        model = fit_error_model(
            residuals.take(rows), options if final else options.coarse(),
            design=pairs.design[rows, :terms] if final and prior is None else None,
            truncation=truncation * share, start=model if turn or model.pairs else None, limits=False,
        )  # fmt: skip
        covariance = total_covariance(residuals, model)
        before, variance = variance, covariance.mean
        distance2 = covariance.inverse().quadratic(residuals.rx, residuals.ry)
        rounds.append({"kept": float(rows.size), "alpha": model.alpha, "sigma_sys_mas": model.sigma_sys_mas})
        updated = pairs.fitted & keep_by_error(distance2, error_threshold)
        # The weights must be those of the model that they lead to, and the kept pairs those that it keeps.
        steady = np.all(np.abs(variance[rows] - before[rows]) < WEIGHT_TOLERANCE * variance[rows])
        converged = bool(steady) and np.array_equal(updated, kept)
        if converged or turn == max_rounds - 1 or updated.sum() < min(minimum, rows.size):
            break
        kept = updated
    return Settled(fit, model, residuals, distance2, kept, tuple(rounds), converged)


def _variance(
    pairs: PairSet,
    kept: Mask,
    degree: int,
    model: ErrorModel,
    *,
    colour: bool,
    prior: tuple[Floats, Floats] | None,
) -> Floats:
    """Variances under a model before there is a weighted fit; the Jacobian hardly depends on the weights."""
    fit = fit_pairs(pairs, kept, degree, np.ones(len(pairs)), colour=colour, prior=prior)
    return total_covariance(pair_residuals(pairs, fit), model).mean
