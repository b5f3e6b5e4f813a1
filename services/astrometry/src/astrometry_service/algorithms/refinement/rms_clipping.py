"""Clipping of pairs by their distance in units of the robust scatter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astrometry_service.algorithms.refinement.affine_fit import median_scatter

__all__ = ["ClippingRound", "clip_by_rms"]

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Distances of two-dimensional Gaussian errors: a cut at k sigma per axis of the *distance* keeps 1 - exp(-k^2 / 2).


@dataclass(frozen=True)
class ClippingRound:
    """One round: how many pairs were kept, and the scatter per axis that the cut was made with (mas)."""

    kept: int
    sigma_mas: float
    limit_mas: float


def clip_by_rms(
    distances: Callable[[Mask], Floats],
    count: int,
    *,
    clipping_threshold: float = 3.0,
    max_rounds: int = 5,
    min_pairs: int = 6,
) -> tuple[Mask, tuple[ClippingRound, ...]]:
    """Fit, drop pairs farther than the threshold times the scatter, repeat.

    Parameters
    ----------
    distances : fits the pairs of a mask and returns the distances (n,) of **all** pairs, mas
    count : number of pairs
    clipping_threshold : CLIPPING_THRESHOLD, in units of the scatter of the distance, sqrt(2) times that per axis
    max_rounds : rounds at most; ends as soon as no pair changes
    min_pairs : never fewer than these

    Returns
    -------
    kept : (n,)
    rounds
    """
    kept = np.ones(count, bool)
    rounds: list[ClippingRound] = []
    for _ in range(max_rounds):
        away = distances(kept)
        sigma = median_scatter(away[kept])
        limit = clipping_threshold * np.sqrt(2.0) * sigma
        updated = away <= max(limit, 1e-9)
        if updated.sum() < min_pairs:
            break
        rounds.append(ClippingRound(int(updated.sum()), float(sigma), float(limit)))
        if np.array_equal(updated, kept):
            break
        kept = updated
    return kept, tuple(rounds)
