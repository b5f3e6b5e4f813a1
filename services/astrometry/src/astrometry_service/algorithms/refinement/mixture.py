"""Outliers by a mixture: true pairs with the error model, false pairs spread over the match area.

    p(r_i) = (1 - eps) N(r_i; 0, C_i) + eps / A_match

References
----------
Hogg, Bovy & Lang 2010, arXiv:1008.4686, section 3.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from astro_shared.science.robust_statistics import mad_std
from astrometry_service.algorithms.error_model.likelihood import (
    ErrorModel,
    ErrorModelOptions,
    Residuals,
    fit_error_model,
    total_covariance,
)

__all__ = ["fit_mixture"]

Floats = NDArray[np.float64]


def fit_mixture(
    residuals: Residuals, match_area_mas2: Floats, *, options: ErrorModelOptions | None = None, rounds: int = 8
) -> tuple[ErrorModel, Floats, float]:
    """Error model and the probability of every pair to be true, by expectation and maximisation.

    Parameters
    ----------
    residuals : of all pairs
    match_area_mas2 : (n,), mas^2, area within which a chance pair could have been made
    rounds : at most; ends when the share of false pairs is stable to 1e-3

    Returns
    -------
    model : fitted with the probabilities as weights
    probability : (n,), of being a true pair; below 0.5 is an outlier
    false_share : eps
    """
    share, model = 0.05, _first_guess(residuals)
    probability = np.ones(len(residuals))
    coarse = (options or ErrorModelOptions()).coarse()
    for _ in range(rounds):
        covariance = total_covariance(residuals, model)
        distance2 = covariance.inverse().quadratic(residuals.rx, residuals.ry)
        true = (1.0 - share) * np.exp(-0.5 * distance2) / (2.0 * np.pi * np.sqrt(covariance.determinant))
        false = share / match_area_mas2
        probability = true / (true + false)
        updated = float(np.clip(1.0 - probability.mean(), 1e-4, 0.5))
        model = fit_error_model(residuals, coarse, weights=probability, start=model, limits=False)
        if abs(updated - share) < 1e-3:
            break
        share = updated
    return model, probability, share


def _first_guess(residuals: Residuals) -> ErrorModel:
    """A model as wide as the residuals: errors that are stated far too large would make every pair a chance pair."""
    sigma = float(mad_std(np.concatenate([residuals.rx, residuals.ry]), 0.0))

    def factor(variance: Floats) -> float:
        typical = float(np.sqrt(np.median(variance)))
        return min(1.0, sigma / typical) if typical > 0 else 1.0

    return ErrorModel(
        alpha=factor(residuals.pixel.mean), sigma_sys_mas=sigma, catalogue_factor=factor(residuals.catalogue.mean)
    )
