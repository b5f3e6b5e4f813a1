"""The final chi-square of a solution: the sums, their distribution, and where they go wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from astrometry_service.algorithms.error_model.clipping import expected_kept

__all__ = ["ChiSquare", "ChiSquareBin", "anderson_darling_p", "bin_chi_square", "chi_square", "distribution_tests"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ChiSquare:
    """A chi-square with its expectation.

    Attributes
    ----------
    value, dof : sum of d^2; degrees of freedom 2 N - 2 n_terms - 2
    reduced : value / dof
    expected : of ``reduced``; below one where the tail was clipped
    standard_error : of ``reduced``
    p_value : probability of a larger value; NaN for clipped pairs, whose sum does not follow chi-square
    pairs : N
    """

    value: float
    dof: int
    reduced: float
    expected: float
    standard_error: float
    p_value: float
    pairs: int


@dataclass(frozen=True)
class ChiSquareBin:
    """Mean of d^2 over its expectation in one bin; must be one within three standard errors."""

    low: float
    high: float
    pairs: int
    reduced: float
    standard_error: float

    @property
    def deviates(self) -> bool:
        """More than three standard errors from one."""
        return bool(abs(self.reduced - 1.0) > 3.0 * self.standard_error)


def chi_square(distance2: Floats, n_terms: int, *, error_threshold: float | None = None) -> ChiSquare:
    """Chi-square of pairs.

    Parameters
    ----------
    distance2 : (n,), of all pairs, or of those kept
    n_terms : terms of the distortion per axis
    error_threshold : the cut that the pairs passed; None for all pairs
    """
    n = int(distance2.size)
    dof = max(2 * n - 2 * n_terms - 2, 1)
    value = float(np.sum(distance2))
    per_star = 2.0 if error_threshold is None else expected_kept(error_threshold)
    p_value = float(stats.chi2.sf(value, dof)) if error_threshold is None else float("nan")
    return ChiSquare(value, dof, value / dof, per_star / 2.0, float(np.sqrt(2.0 / dof)), p_value, n)


def distribution_tests(white_x: Floats, white_y: Floats, *, error_threshold: float) -> Mapping[str, float]:
    """Kolmogorov-Smirnov and Anderson-Darling tests of the kept pairs.

    Parameters
    ----------
    white_x, white_y : (n,), whitened residuals of the kept pairs, divided by sqrt(1 - h_i) for their leverage
    error_threshold : the cut; d^2 is compared with chi-square of two degrees **truncated** there

    Returns
    -------
    ``ks_normal, ks_normal_p, ad_normal, ad_normal_p`` (both axes against N(0, 1)), ``ks_square, ks_square_p``
    """
    both = np.concatenate([white_x, white_y])
    if both.size < 8:
        names = ("ks_normal", "ks_normal_p", "ad_normal", "ad_normal_p", "ks_square", "ks_square_p")
        return dict.fromkeys(names, float("nan"))
    kept = -np.expm1(-(error_threshold**2) / 2.0)
    square = np.minimum(white_x**2 + white_y**2, error_threshold**2)
    normal = stats.kstest(both, "norm", method="asymp")
    squares = stats.kstest(-np.expm1(-square / 2.0) / kept, "uniform", method="asymp")
    ad = _anderson_darling(both)
    return {
        "ks_normal": float(normal.statistic),
        "ks_normal_p": float(normal.pvalue),
        "ad_normal": ad,
        "ad_normal_p": anderson_darling_p(ad),
        "ks_square": float(squares.statistic),
        "ks_square_p": float(squares.pvalue),
    }


def _anderson_darling(sample: Floats) -> float:
    """A^2 of a sample against N(0, 1), nothing estimated."""
    ordered = np.sort(sample)
    n = ordered.size
    index = np.arange(1, n + 1)
    lower, upper = stats.norm.logcdf(ordered), stats.norm.logsf(ordered[::-1])
    return float(-n - np.sum((2 * index - 1) * (lower + upper)) / n)


def anderson_darling_p(statistic: float) -> float:
    """Probability of a larger A^2 for a distribution that is fully known.

    References
    ----------
    Marsaglia & Marsaglia 2004, J. Stat. Software 9(2), function adinf.
    """
    z = statistic
    if z <= 0:
        return 1.0
    if z < 2.0:
        series = 2.00012 + (0.247105 - (0.0649821 - (0.0347962 - (0.011672 - 0.00168691 * z) * z) * z) * z) * z
        return float(1.0 - np.exp(-1.2337141 / z) / np.sqrt(z) * series)
    series = 1.0776 - (2.30695 - (0.43424 - (0.082433 - (0.008056 - 0.0003146 * z) * z) * z) * z) * z
    return float(-np.expm1(-np.exp(series)))


def bin_chi_square(
    distance2: Floats, values: Floats, *, per_star: Floats, bins: int = 6, min_pairs: int = 10
) -> tuple[ChiSquareBin, ...]:
    """Chi-square over its expectation in bins of equal number of some quantity.

    Parameters
    ----------
    distance2 : (n,), of the kept pairs
    values : (n,), magnitude, colour, radius, ...; NaN rows are left out
    per_star : (n,), expectation of d^2 of each pair (2, less its leverage, less the clipped tail)
    """
    known = np.flatnonzero(np.isfinite(values))
    count = min(bins, known.size // min_pairs)
    if count < 1:
        return ()
    order = known[np.argsort(values[known], kind="stable")]
    out = []
    for rows in np.array_split(order, count):
        expected = float(np.sum(per_star[rows]))
        ratio = float(np.sum(distance2[rows])) / expected
        error = float(np.sqrt(4.0 * rows.size) / expected)
        out.append(ChiSquareBin(float(values[rows[0]]), float(values[rows[-1]]), int(rows.size), ratio, error))
    return tuple(out)
