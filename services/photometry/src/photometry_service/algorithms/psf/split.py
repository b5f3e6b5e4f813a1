"""Pairs of stars that were taken for one: a source far worse described than its like is tried as two.

Two bright stars a width apart have one maximum. A single model in their middle leaves two lobes on the longer axis; the
lobes lie where faint companions of a bright star would, and are rightly not believed there. That two models describe
the light, and one does not, is the stronger argument.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from photometry_service.algorithms.detection.fit_frame import FitFrame
from photometry_service.algorithms.psf.fit import FitOptions, PsfFit, fit_psf
from photometry_service.domain.psf import FloatArray, PsfModel

__all__ = ["SplitOptions", "SplitPairs", "split_pairs"]


@dataclass(frozen=True)
class SplitOptions:
    """When a source becomes two.

    Attributes
    ----------
    misfit : chi2 of a suspect, in units of that of sources like it
    alike, near : sources nearest in brightness, and of the brighter ones nearest in the field, that it is compared with
    most : suspects tried in one round, the worst first
    remaining : chi2 that two models may leave of what one left
    closest_fwhm, farthest_fwhm : separation of the two
    faintest : flux of the fainter over that of both
    sweeps, group_fwhm, group_rounds : of the trial fit, which starts far from its end
    """

    misfit: float = 4.0
    alike: int = 31
    near: int = 8
    most: int = 200
    remaining: float = 0.35
    closest_fwhm: float = 0.4
    farthest_fwhm: float = 2.5
    faintest: float = 0.03
    sweeps: int = 10
    group_fwhm: float = 1.6
    group_rounds: int = 6


@dataclass(frozen=True, eq=False)
class SplitPairs:
    """Sources that are two: their rows, (n,), and both stars as (flux, x, y), (n, 3) each, the brighter first."""

    row: NDArray[np.intp]
    one: FloatArray
    other: FloatArray


def split_pairs(
    frame: FitFrame, psf: PsfModel, fit: PsfFit, fit_options: FitOptions, threshold: float,
    options: SplitOptions | None = None,
) -> SplitPairs:  # fmt: skip
    """Try badly described sources as two stars.

    Parameters
    ----------
    fit : all sources of the frame
    threshold : S/N that both stars must reach

    Notes
    -----
    A suspect's chi2 per degree of freedom exceeds ``misfit`` times the median of the sources nearest in brightness, and
    of bright sources nearest in the field: what the model leaves of single stars there. The two models start on the
    longer axis of the residual; they are kept when they leave ``remaining`` of chi2 or less and each is then described
    no worse than a suspect.
    """
    options = options or SplitOptions()
    usual = _usual_chi2(fit, options)
    row = _suspects(fit, usual, options)
    if row.size == 0:
        return SplitPairs(row, np.zeros((0, 3)), np.zeros((0, 3)))
    start = _two_stars(frame, psf, fit, row)
    alone = np.ones(fit.x.size, dtype=bool)
    alone[row] = False
    flux, x, y = np.concatenate([np.stack([fit.flux, fit.x, fit.y])[:, alone], start], axis=1)
    reach = options.farthest_fwhm * psf.major_fwhm_px
    near, _ = cKDTree(np.stack([fit.x[row], fit.y[row]], axis=1)).query(np.stack([x, y], axis=1))
    longer = replace(
        fit_options, sweeps=options.sweeps, group_fwhm=options.group_fwhm, group_rounds=options.group_rounds
    )
    trial = fit_psf(frame, psf, x, y, flux, longer, active=near < reach)
    n = row.size
    one, other = np.arange(x.size - 2 * n, x.size - n), np.arange(x.size - n, x.size)
    swap = trial.flux[other] > trial.flux[one]
    one, other = np.where(swap, other, one), np.where(swap, one, other)
    good = _plausible(psf, fit, trial, row, one, other, threshold, options)
    limit = options.misfit * usual[row]
    good &= (trial.chi2_red[one] < limit) & (trial.chi2_red[other] < limit)
    good &= _chi2(frame, psf, fit, row, trial) < options.remaining * _chi2(frame, psf, fit, row, trial, before=True)
    star = np.stack([trial.flux, trial.x, trial.y], axis=1)
    return SplitPairs(row[good], star[one[good]], star[other[good]])


def _usual_chi2(fit: PsfFit, options: SplitOptions) -> FloatArray:
    """(n,): median chi2 of the sources nearest in brightness, at least 1."""
    usual = np.ones(fit.flux.size)
    known = np.flatnonzero(np.isfinite(fit.chi2_red) & (fit.saturated == 0))
    if known.size < options.near:
        return usual
    order = known[np.argsort(fit.flux[known], kind="stable")]
    window = min(options.alike, order.size)
    running = np.median(np.lib.stride_tricks.sliding_window_view(fit.chi2_red[order], window), axis=1)
    first = np.clip(np.arange(order.size) - window // 2, 0, running.size - 1)
    usual[order] = np.maximum(running[first], 1.0)
    return usual


def _suspects(fit: PsfFit, usual: FloatArray, options: SplitOptions) -> NDArray[np.intp]:
    """Whole sources far worse described than those of their brightness and those around them, the worst first."""
    ratio = np.nan_to_num(fit.chi2_red / usual)
    whole = (fit.saturated == 0) & np.isfinite(fit.x) & np.isfinite(fit.y) & (fit.flux > 0)
    row = np.flatnonzero(whole & (ratio > options.misfit))
    row = row[np.argsort(-ratio[row], kind="stable")][: options.most]
    if row.size == 0:
        return row
    around = np.hypot(fit.x[row, None] - fit.x, fit.y[row, None] - fit.y)
    around[(fit.flux[None] < 0.5 * fit.flux[row, None]) | ~whole[None]] = np.inf
    around[np.arange(row.size), row] = np.inf
    nearest = np.argsort(around, axis=1, kind="stable")[:, : options.near]
    there = np.isfinite(np.take_along_axis(around, nearest, axis=1))
    local = np.nanmedian(np.where(there, ratio[nearest], 1.0), axis=1)
    return row[ratio[row] > options.misfit * np.maximum(local, 1.0)]


def _two_stars(frame: FitFrame, psf: PsfModel, fit: PsfFit, row: NDArray[np.intp]) -> FloatArray:
    """Flux, x and y, (3, 2 n), of two equal stars on the longer axis of the residual: those on one side, then others."""
    half = int(np.ceil(1.5 * psf.major_fwhm_px))
    left, u, v = _around(frame, fit.residual, fit.x[row], fit.y[row], half)
    inside = np.hypot(u, v) <= half
    left = np.where(inside, left, 0.0)
    angle = 0.5 * np.arctan2(2 * (left * u * v).sum(axis=(1, 2)), (left * (u**2 - v**2)).sum(axis=(1, 2)))
    shift = 0.5 * psf.fwhm_px * np.stack([np.cos(angle), np.sin(angle)])
    place = np.stack([fit.x[row], fit.y[row]])
    return np.concatenate(
        [np.tile(0.5 * fit.flux[row], 2)[None], np.concatenate([place + shift, place - shift], axis=1)]
    )


def _plausible(
    psf: PsfModel, fit: PsfFit, trial: PsfFit, row: NDArray[np.intp], one: NDArray[np.intp], other: NDArray[np.intp],
    threshold: float, options: SplitOptions,
) -> NDArray[np.bool_]:  # fmt: skip
    """(n,): two stars that are where the source was, neither too faint nor one on the other."""
    apart = np.hypot(trial.x[one] - trial.x[other], trial.y[one] - trial.y[other])
    both = trial.flux[one] + trial.flux[other]
    good = (apart > options.closest_fwhm * psf.fwhm_px) & (apart < options.farthest_fwhm * psf.fwhm_px)
    good &= (trial.flux[other] > options.faintest * both) & (trial.snr[other] > threshold)
    for star in (one, other):
        moved = np.hypot(trial.x[star] - fit.x[row], trial.y[star] - fit.y[row])
        good &= moved < options.farthest_fwhm * psf.fwhm_px
    return good


def _chi2(
    frame: FitFrame, psf: PsfModel, fit: PsfFit, row: NDArray[np.intp], trial: PsfFit, *, before: bool = False
) -> FloatArray:
    """(n,): chi2 around sources of the trial, or of the fit ``before`` it, in the noise of the trial."""
    half = int(np.ceil(1.5 * psf.major_fwhm_px))
    x, y = fit.x[row], fit.y[row]
    left = _around(frame, trial.residual, x, y, half)[0]
    light = _around(frame, frame.data, x, y, half)[0] - left
    variance = _around(frame, frame.rms, x, y, half)[0] ** 2 + frame.shot_noise * np.maximum(light, 0)
    shown = _around(frame, fit.residual, x, y, half)[0] if before else left
    return np.asarray((shown**2 / np.where(variance > 0, variance, np.inf)).sum(axis=(1, 2)))


def _around(
    frame: FitFrame, image: NDArray[np.float32], x: FloatArray, y: FloatArray, half: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Squares of an image around places, (n, side, side), zero where pixels are not good; offsets from the places."""
    cx, cy = np.rint(x).astype(np.intp), np.rint(y).astype(np.intp)
    offset = np.arange(-half, half + 1)
    rows, columns = cy[:, None, None] + offset[:, None], cx[:, None, None] + offset
    ny, nx = frame.shape
    inside = (rows >= 0) & (rows < ny) & (columns >= 0) & (columns < nx)
    rows, columns = np.clip(rows, 0, ny - 1), np.clip(columns, 0, nx - 1)
    values = np.where(inside & (frame.state[rows, columns] == 0), image[rows, columns].astype(np.float64), 0.0)
    return values, columns - x[:, None, None] + 0 * rows, rows - y[:, None, None] + 0 * columns
