"""Extinction from a series of frames: first and second order, with the frames' own scatter in the errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit
from scipy.stats import theilslopes

from astro_shared.errors import InvalidRequestError
from astro_shared.science.robust_statistics import mad_std

__all__ = ["ExtinctionFit", "ExtinctionOptions", "Series", "SeriesTooShortError", "fit_extinction"]

Array = NDArray[np.float64]
ONE_SIGMA = 0.841344746  # of a normal variable, this share lies below one sigma
_LEAST_SIGMA = 1e-5
_ROUNDS = 300
_SETTLED = 1e-4


class SeriesTooShortError(InvalidRequestError):
    """Too few frames, or too small a range of airmass."""

    code = "series_too_short"


@dataclass(frozen=True)
class ExtinctionOptions:
    """What is asked of a series.

    Attributes
    ----------
    min_frames, min_airmass_span : below these there is no fit
    min_stars : a frame with fewer is left out
    min_color_span : mag, of the stars; below it colour terms are not fitted
    clip_sigma : measurements further from the model than this are left out
    clip_frame_sigma : frames further from the others than this many robust sigma (clouds) are left out
    """

    min_frames: int = 5
    min_airmass_span: float = 0.3
    min_stars: int = 3
    min_color_span: float = 0.3
    clip_sigma: float = 4.0
    clip_frame_sigma: float = 6.0


@dataclass(frozen=True, eq=False)
class Series:
    """Measurements of reference stars on many frames, one row each.

    Attributes
    ----------
    frame, star : (n,), int, numbers from 0
    difference, error : (n,), mag: reference minus instrumental magnitude, and the error of the latter
    airmass : (n,), of the star on this frame
    color : (n,), mag, minus the reference colour; NaN where it is not known
    """

    frame: NDArray[np.intp]
    star: NDArray[np.intp]
    difference: Array
    error: Array
    airmass: Array
    color: Array

    def only(self, rows: NDArray[np.bool_]) -> Series:
        """The rows that are true."""
        return Series(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


@dataclass(frozen=True, eq=False)
class ExtinctionFit:
    """m_ref - m_inst = zero_point - k X + color_term c - k2 X c + offset of the frame + offset of the star.

    Attributes
    ----------
    k, k_err : mag per airmass; errors hold 68 %
    k2, k2_err : mag per airmass and mag of colour; None without colour terms
    zero_point, zero_point_err : mag, above the atmosphere, for stars of the reference colour
    color_term, color_term_err
    sigma_frame, sigma_star, sigma_extra : mag, scatter of frames (transparency), of stars (their reference magnitudes), and
        of single measurements beyond their errors
    offset, offset_err : (frames,), mag, of each frame from the line; NaN where it had no part
    frames_used : (frames,), bool
    rows_used : (n,), bool
    """

    k: float
    k_err: float
    k2: float | None
    k2_err: float | None
    zero_point: float
    zero_point_err: float
    color_term: float | None
    color_term_err: float | None
    sigma_frame: float
    sigma_star: float
    sigma_extra: float
    offset: Array
    offset_err: Array
    frames_used: NDArray[np.bool_]
    rows_used: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Solution:
    fixed: Array
    covariance: Array
    offset: Array
    offset_var: Array
    star: Array
    sigma_frame: float
    sigma_star: float
    sigma_extra: float
    residual: Array


def fit_extinction(
    series: Series, options: ExtinctionOptions = ExtinctionOptions(), *, n_frames: int | None = None
) -> ExtinctionFit:
    """Fit k and, where the colours allow it, k''.

    Parameters
    ----------
    n_frames : frames of the series, also those without a measurement; by default the highest number

    Raises
    ------
    SeriesTooShortError
        Fewer frames or a smaller range of airmass than ``options`` ask for, with the numbers.

    Notes
    -----
    Frames differ by transparency and stars by the errors of their reference magnitudes; both offsets are random effects with
    variances found by restricted maximum likelihood (EM, Laird & Ware 1982), so that the error of k is that of the frames
    and not of the many measurements on them. Henderson's mixed-model equations are solved after elimination of the stars.
    Few frames tell their own scatter badly: errors are widened so that one sigma holds 68 % of Student's t with two degrees
    of freedom less than frames.

    References
    ----------
    Hardie (1962), Astronomical Techniques, 178 (k, k''); Henderson (1975), Biometrics 31, 423; Laird & Ware (1982),
    Biometrics 38, 963.
    """
    if n_frames is None:
        n_frames = int(series.frame.max()) + 1 if len(series.frame) else 0
    rows = np.isfinite(series.difference) & (series.error > 0) & np.isfinite(series.airmass)
    with_color = _color_span(series.color[rows]) >= options.min_color_span
    if with_color:
        rows &= np.isfinite(series.color)
    frames = np.bincount(series.frame[rows], minlength=n_frames) >= options.min_stars
    for _ in range(20):
        rows &= frames[series.frame]
        _check(series.only(rows), frames, options)
        solution = _solve(series.only(rows), n_frames, with_color)
        keep, keep_frames = _kept(series, rows, frames, solution, options)
        if keep.sum() == rows.sum() and keep_frames.sum() == frames.sum():
            break
        rows, frames = keep, keep_frames
    return _fit(solution, with_color, frames, rows)


def _color_span(color: Array) -> float:
    known = color[np.isfinite(color)]
    return float(np.ptp(np.quantile(known, [0.05, 0.95]))) if len(known) else 0.0


def _check(series: Series, frames: NDArray[np.bool_], options: ExtinctionOptions) -> None:
    count = int(frames.sum())
    if count < options.min_frames:
        raise SeriesTooShortError(
            f"{count} usable frames: extinction needs {options.min_frames} or more.",
            found=count, needed=options.min_frames,
        )  # fmt: skip
    per_frame = np.bincount(series.frame, series.airmass) / np.maximum(np.bincount(series.frame), 1)
    span = float(np.ptp(per_frame[np.bincount(series.frame) > 0]))
    if span < options.min_airmass_span:
        raise SeriesTooShortError(
            f"The frames span {span:.2f} in airmass: extinction needs {options.min_airmass_span:.2f} or more.",
            found=span, needed=options.min_airmass_span,
        )  # fmt: skip


def _kept(
    series: Series, rows: NDArray[np.bool_], frames: NDArray[np.bool_], solution: _Solution, options: ExtinctionOptions
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Measurements and frames that stay; at most one frame goes at a time, and never below the least number."""
    sigma = np.sqrt(series.error[rows] ** 2 + solution.sigma_extra**2)
    keep = rows.copy()
    keep[rows] = np.abs(solution.residual) < options.clip_sigma * sigma
    left = frames.copy()
    part = series.only(rows)
    held = np.flatnonzero(frames)
    airmass = (
        np.bincount(part.frame, part.airmass, len(frames))[held] / np.bincount(part.frame, minlength=len(frames))[held]
    )
    level = solution.offset[held] - solution.fixed[1] * airmass
    # a line through medians of slopes: one cloudy frame at the end of the range turns a least-squares line to itself
    slope, start, *_ = theilslopes(level, airmass)
    distance = np.abs(level - start - slope * airmass)
    robust = float(mad_std(distance, 0.0))
    worst = int(np.argmax(distance))
    if len(held) > options.min_frames and distance[worst] > options.clip_frame_sigma * robust > 0:
        left[held[worst]] = False
    return keep, left


def _solve(series: Series, n_frames: int, with_color: bool) -> _Solution:
    """Alternate between the equations of the mixed model and its three variances until these have settled."""
    numbers, star = np.unique(series.star, return_inverse=True)
    n_stars = len(numbers)
    columns = [np.ones_like(series.airmass), -series.airmass]
    if with_color:
        columns += [series.color, -series.airmass * series.color]
    design = np.column_stack(columns)
    start = float(np.std(series.difference)) or 0.01
    sigma_frame, sigma_star, sigma_extra = 0.3 * start, 0.3 * start, 0.0
    active = np.unique(series.frame)
    for _ in range(_ROUNDS):
        weight = 1 / (series.error**2 + sigma_extra**2)
        solved = _equations(series, star, n_frames, n_stars, design, weight, sigma_frame, sigma_star)
        fixed, covariance, offset, offset_var, star_offset, star_var = solved
        residual = series.difference - design @ fixed - offset[series.frame] - star_offset[star]
        new_frame = max(_LEAST_SIGMA, float(np.sqrt(np.mean(offset[active] ** 2 + offset_var[active]))))
        new_star = max(_LEAST_SIGMA, float(np.sqrt(np.mean(star_offset**2 + star_var))))
        spent = _spent(design.shape[1], active, n_stars, offset_var, star_var, sigma_frame, sigma_star)
        new_extra = _extra_scatter(residual, series.error, len(residual) - spent)
        change = max(abs(new_frame - sigma_frame), abs(new_star - sigma_star), abs(new_extra - sigma_extra))
        sigma_frame, sigma_star, sigma_extra = new_frame, new_star, new_extra
        if change < _SETTLED * start:
            break
    return _Solution(fixed, covariance, offset, offset_var, star_offset, sigma_frame, sigma_star, sigma_extra, residual)


def _equations(
    series: Series, star: NDArray[np.intp], n_frames: int, n_stars: int, design: Array, weight: Array,
    sigma_frame: float, sigma_star: float,
) -> tuple[Array, Array, Array, Array, Array, Array]:  # fmt: skip
    """Fixed terms with covariance, offsets of frames and of stars with their variances."""
    p = design.shape[1]
    size = p + n_frames
    normal, right = np.zeros((size, size)), np.zeros(size)
    weighted = design * weight[:, None]
    normal[:p, :p] = design.T @ weighted
    right[:p] = weighted.T @ series.difference
    of_frame = np.column_stack([np.bincount(series.frame, column, n_frames) for column in weighted.T])
    normal[p:, :p], normal[:p, p:] = of_frame, of_frame.T
    diagonal = np.arange(p, size)
    normal[diagonal, diagonal] = np.bincount(series.frame, weight, n_frames) + 1 / sigma_frame**2
    right[p:] = np.bincount(series.frame, weight * series.difference, n_frames)
    cross = np.zeros((n_stars, size))
    cross[:, :p] = np.column_stack([np.bincount(star, column, n_stars) for column in weighted.T])
    np.add.at(cross, (star, p + series.frame), weight)
    own = np.bincount(star, weight, n_stars) + 1 / sigma_star**2
    pulled = np.bincount(star, weight * series.difference, n_stars)
    inverse = np.linalg.inv(normal - cross.T @ (cross / own[:, None]))
    solution = inverse @ (right - cross.T @ (pulled / own))
    stars = (pulled - cross @ solution) / own
    star_var = 1 / own + np.einsum("ij,jk,ik->i", cross, inverse, cross) / own**2
    return solution[:p], inverse[:p, :p], solution[p:], np.diag(inverse)[p:], stars, star_var


def _spent(
    fixed: int, frames: NDArray[np.intp], n_stars: int, offset_var: Array, star_var: Array, sigma_frame: float,
    sigma_star: float,
) -> float:  # fmt: skip
    """Degrees of freedom that the model takes: random effects count as far as the data set them."""
    of_frames = len(frames) - float(offset_var[frames].sum()) / sigma_frame**2
    of_stars = n_stars - float(star_var.sum()) / sigma_star**2
    return fixed + max(0.0, of_frames) + max(0.0, of_stars)


def _extra_scatter(residual: Array, error: Array, freedom: float) -> float:
    """Scatter that, added to the errors, brings the reduced chi-square down to 1; 0 where it is not above."""
    if freedom <= 0 or float((residual**2 / error**2).sum()) <= freedom:
        return 0.0
    low, high = 0.0, 3 * float(np.sqrt((residual**2).sum() / freedom)) + float(error.max())
    for _ in range(60):
        middle = 0.5 * (low + high)
        above = float((residual**2 / (error**2 + middle**2)).sum()) > freedom
        low, high = (middle, high) if above else (low, middle)
    return high


def _fit(solution: _Solution, with_color: bool, frames: NDArray[np.bool_], rows: NDArray[np.bool_]) -> ExtinctionFit:
    few = float(stdtrit(max(1, int(frames.sum()) - 2), ONE_SIGMA))
    error = few * np.sqrt(np.diag(solution.covariance))
    value = solution.fixed
    return ExtinctionFit(
        k=float(value[1]),
        k_err=float(error[1]),
        k2=float(value[3]) if with_color else None,
        k2_err=float(error[3]) if with_color else None,
        zero_point=float(value[0]),
        zero_point_err=float(error[0]),
        color_term=float(value[2]) if with_color else None,
        color_term_err=float(error[2]) if with_color else None,
        sigma_frame=solution.sigma_frame,
        sigma_star=solution.sigma_star,
        sigma_extra=solution.sigma_extra,
        offset=np.where(frames, solution.offset, np.nan),
        offset_err=np.where(frames, np.sqrt(solution.offset_var), np.nan),
        frames_used=frames,
        rows_used=rows,
    )
