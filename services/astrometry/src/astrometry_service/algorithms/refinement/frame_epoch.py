"""When was a frame taken that tells no date? What proper motions say of it, and what not knowing it costs.

A map that is fitted to places of another epoch takes the mean motion of the stars as a shift and leaves each star's own
motion as a residual. The slope of the residuals over the motions is the time between the two epochs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from astro_shared.science.robust_statistics import mad_std
from astrometry_service.domain.reference import ReferenceStars
from astrometry_service.domain.solution import Pairs, SkyPositions

__all__ = ["ASSUMED_EPOCH_ERR_YR", "EpochEstimate", "epoch_of_motions", "hold_motions", "mean_motion"]

Floats = NDArray[np.float64]

# One sigma of the epoch of a frame without a date, about the epoch of a modern list: electronic detectors are the rule since
# 1990, plates reach back a century.
ASSUMED_EPOCH_ERR_YR = 30.0
# Motions tell the epoch where they tell it to this.
USEFUL_ERR_YR = 5.0
MIN_STARS = 20
EARLIEST_JYEAR, LATEST_JYEAR = 1850.0, 2100.0
_CLIP_SIGMA = 3.0


@dataclass(frozen=True)
class EpochEstimate:
    """Epoch of a frame by the motions of its stars: yr, one sigma, stars that told it."""

    epoch_jyear: float
    err_yr: float
    stars: int


def epoch_of_motions(pairs: Pairs, reference: ReferenceStars, epoch_jyear: float) -> EpochEstimate | None:
    """Epoch at which the reference stars stand as the frame shows them; None where their motions do not tell.

    Parameters
    ----------
    pairs : matched and fitted at ``epoch_jyear``
    reference : list that their rows count in
    epoch_jyear : yr

    Notes
    -----
    Least squares of residual = -motion x time, after the mean of both is taken off, as the map has done; with clipping;
    the variance of the motions is lessened by their errors (errors in the abscissa flatten a slope).
    """
    rows = pairs.reference[pairs.fitted]
    motion = np.stack([reference.column("pmra")[rows], reference.column("pmdec")[rows]], axis=1)
    residual = np.stack([pairs.dx_mas[pairs.fitted], pairs.dy_mas[pairs.fitted]], axis=1)
    noise = np.stack([reference.column("pmra_error")[rows], reference.column("pmdec_error")[rows]], axis=1)
    known = np.isfinite(motion).all(axis=1) & np.isfinite(residual).all(axis=1)
    years, err = 0.0, math.inf
    for _ in range(3):
        if known.sum() < MIN_STARS:
            return None
        own = motion - np.mean(motion[known], axis=0)
        spread = float(np.sum(own[known] ** 2) - np.sum(np.nan_to_num(noise[known]) ** 2))
        if spread <= 0.0:
            return None
        years = -float(np.sum(own[known] * residual[known])) / spread
        left = residual + own * years
        sigma = float(mad_std(left[known], 0.0)) + 1e-9
        err = sigma / math.sqrt(spread)
        known &= np.all(np.abs(left) < _CLIP_SIGMA * 1.5 * sigma, axis=1)
    found = epoch_jyear + years
    if not (err < USEFUL_ERR_YR and EARLIEST_JYEAR < found < LATEST_JYEAR):
        return None
    return EpochEstimate(found, err, int(known.sum()))


def mean_motion(reference: ReferenceStars, rows: NDArray[np.intp]) -> tuple[float, float]:
    """Mean proper motion of reference stars, mas / yr; zero where none is known."""
    pmra, pmdec = (reference.column(name)[rows] for name in ("pmra", "pmdec"))
    known = np.isfinite(pmra) & np.isfinite(pmdec)
    return (float(np.mean(pmra[known])), float(np.mean(pmdec[known]))) if known.any() else (0.0, 0.0)


def hold_motions(places: SkyPositions, motion: tuple[float, float], epoch_err_yr: float) -> SkyPositions:
    """Places whose errors hold what an unknown epoch does to the map: the mean motion times the error of the epoch."""
    east, north = motion[0] * epoch_err_yr, motion[1] * epoch_err_yr
    return replace(
        places,
        ra_err_mas=np.hypot(places.ra_err_mas, east),
        dec_err_mas=np.hypot(places.dec_err_mas, north),
        radec_cov_mas2=places.radec_cov_mas2 + east * north,
    )
