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
from photometry_service.algorithms.psf.groups import near_any
from photometry_service.algorithms.psf.model import evaluation_tables, psf_values
from photometry_service.domain.psf import FloatArray, PsfModel

__all__ = ["SplitOptions", "SplitPairs", "split_pairs"]

UNMOVED_PX = 0.05
STEP_PX = 0.5
"""For the derivatives of the PSF."""


@dataclass(frozen=True)
class SplitOptions:
    """When a source becomes two.

    Attributes
    ----------
    misfit, significance
        A suspect's chi2 per degree of freedom exceeds 1 by this many times what that of sources like it does, and by this
        many standard deviations of chi2.
    gain : chi2 that the second star must take away, in units of the usual one
    alike, near : sources nearest in brightness, and of the brighter ones nearest in the field, that it is compared with
    most : suspects tried in one round, the worst first
    remaining : share of the excess of chi2 that two models may leave, noise apart
    closest_fwhm, farthest_fwhm : separation of the two
    faintest : flux of the fainter over that of both
    broad : width across the line between both, in units of that along it, from which on they are no stars
    sweeps, group_fwhm, group_rounds : of the trial fit, which starts far from its end
    """

    misfit: float = 4.0
    significance: float = 3.0
    gain: float = 30.0
    alike: int = 31
    near: int = 8
    most: int = 200
    remaining: float = 0.35
    closest_fwhm: float = 0.4
    farthest_fwhm: float = 2.5
    faintest: float = 0.03
    broad: float = 0.25
    sweeps: int = 10
    group_fwhm: float = 1.6
    group_rounds: int = 6


@dataclass(frozen=True, eq=False)
class SplitPairs:
    """Sources that are two: their rows, (n,), and both stars as (flux, x, y), (n, 3) each, the brighter first.

    ``single`` (k, 2): x, y of those that were tried and are none.
    """

    row: NDArray[np.intp]
    one: FloatArray
    other: FloatArray
    single: FloatArray


def split_pairs(
    frame: FitFrame, psf: PsfModel, fit: PsfFit, fit_options: FitOptions, threshold: float,
    options: SplitOptions | None = None, *, single: FloatArray | None = None,
) -> SplitPairs:  # fmt: skip
    """Try badly described sources as two stars.

    Parameters
    ----------
    fit : all sources of the frame
    threshold : S/N that both stars must reach
    single : (k, 2) or None, x and y of suspects that were tried before; not again while they stay there

    Notes
    -----
    Sources like a suspect are those nearest in brightness, and the bright ones nearest in the field: the median of their
    chi2 is what noise and model leave of single stars there. The two models start on the longer axis of the residual;
    they are kept when they take away ``gain``, leave no more than ``remaining`` of the excess or what noise explains, and
    each is then described no worse than ``misfit`` times the usual.
    """
    options = options or SplitOptions()
    usual = _usual_chi2(fit, options)
    row = _suspects(fit, usual, options)
    single = np.zeros((0, 2)) if single is None else single
    row = row[~near_any(fit.x[row], fit.y[row], single[:, 0], single[:, 1], UNMOVED_PX)]
    if row.size == 0:
        return SplitPairs(row, np.zeros((0, 3)), np.zeros((0, 3)), single)
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
    square = _square(frame, psf, fit, row, trial)
    good &= _better(square, usual[row], options)
    pick = np.flatnonzero(good)
    good[pick] = ~_broad(psf, trial, one[pick], other[pick], square.take(pick), usual[row[pick]], options)
    star = np.stack([trial.flux, trial.x, trial.y], axis=1)
    tried = np.stack([fit.x[row[~good]], fit.y[row[~good]]], axis=1)
    return SplitPairs(row[good], star[one[good]], star[other[good]], np.concatenate([single, tried]))


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
    """Whole sources worse described than those of their brightness and those around them, the worst first."""
    whole = (fit.saturated == 0) & np.isfinite(fit.x) & np.isfinite(fit.y) & (fit.flux > 0)
    chi2 = np.nan_to_num(fit.chi2_red)
    row = np.flatnonzero(whole & (chi2 > _limit(usual, fit.pixels, options)))
    row = row[np.argsort(-chi2[row] / usual[row], kind="stable")][: options.most]
    if row.size == 0:
        return row
    around = np.hypot(fit.x[row, None] - fit.x, fit.y[row, None] - fit.y)
    around[(fit.flux[None] < 0.5 * fit.flux[row, None]) | ~whole[None]] = np.inf
    around[np.arange(row.size), row] = np.inf
    nearest = np.argpartition(around, min(options.near, around.shape[1]) - 1, axis=1)[:, : options.near]
    there = np.isfinite(np.take_along_axis(around, nearest, axis=1))
    local = np.nanmedian(np.where(there, (chi2 / usual)[nearest], 1.0), axis=1)
    return row[chi2[row] > _limit(usual[row] * np.maximum(local, 1.0), fit.pixels[row], options)]


def _limit(level: FloatArray, pixels: FloatArray, options: SplitOptions) -> FloatArray:
    """(n,): chi2 per degree of freedom that a star among others of ``level`` does not reach by noise or misfit."""
    noise = np.sqrt(2 / np.maximum(pixels - 3, 1.0))
    return np.asarray(1 + options.misfit * (level - 1) + options.significance * noise * level)


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


@dataclass(frozen=True, eq=False)
class _Square:
    """Pixels around suspects, (n, side, side): residuals of one star and of two, and the variance of the latter, infinite
    where a pixel is not good; (n,) column and row of the middle."""

    before: FloatArray
    after: FloatArray
    variance: FloatArray
    column: NDArray[np.intp]
    line: NDArray[np.intp]

    def take(self, rows: NDArray[np.intp]) -> _Square:
        """Some of them."""
        return _Square(*(values[rows] for values in vars(self).values()))


def _square(frame: FitFrame, psf: PsfModel, fit: PsfFit, row: NDArray[np.intp], trial: PsfFit) -> _Square:
    """Around sources, in the noise of the trial."""
    half, x, y = int(np.ceil(1.5 * psf.major_fwhm_px)), fit.x[row], fit.y[row]
    before, after, data, rms = (
        _around(frame, image, x, y, half)[0] for image in (fit.residual, trial.residual, frame.data, frame.rms)
    )
    variance = np.where(rms > 0, rms**2 + frame.shot_noise * np.maximum(data - after, 0), np.inf)
    return _Square(before, after, variance, np.rint(x).astype(np.intp), np.rint(y).astype(np.intp))


def _better(square: _Square, usual: FloatArray, options: SplitOptions) -> NDArray[np.bool_]:
    """(n,): two stars describe the light far better than one."""
    pixels = np.isfinite(square.variance).sum(axis=(1, 2))
    before, after = (
        (left**2 / square.variance).sum(axis=(1, 2)) / usual - pixels for left in (square.before, square.after)
    )
    allowed = options.remaining * before + 2 * np.sqrt(2.0 * pixels)
    return np.asarray((before - after > options.gain) & (after < allowed))


def _broad(
    psf: PsfModel, trial: PsfFit, one: NDArray[np.intp], other: NDArray[np.intp], square: _Square, usual: FloatArray,
    options: SplitOptions,
) -> NDArray[np.bool_]:  # fmt: skip
    """(n,): light that is wider than two stars across the line between them, as that of a galaxy is.

    A common broadening across, ``t`` sum F_k d2P / dn2, is fitted to the residual of the pair together with changes of
    fluxes and places. A pair is as wide along its line as ``F1 F2 / (F1 + F2)^2 d^2 / 2`` makes it.
    """
    if one.size == 0:
        return np.zeros(0, dtype=bool)
    dx, dy = trial.x[other] - trial.x[one], trial.y[other] - trial.y[one]
    apart = np.hypot(dx, dy)
    across = np.stack([-dy, dx]) / apart
    templates, wider = [], np.zeros_like(square.after)
    for star in (one, other):
        x, y, flux = trial.x[star], trial.y[star], trial.flux[star][:, None, None]
        here = _stamps_in(square, psf, x, y)
        slopes = (
            _stamps_in(square, psf, x + i * STEP_PX, y + j * STEP_PX)
            - _stamps_in(square, psf, x - i * STEP_PX, y - j * STEP_PX)
            for i, j in ((1, 0), (0, 1))
        )
        sides = sum(_stamps_in(square, psf, x + s * across[0], y + s * across[1]) for s in (-STEP_PX, STEP_PX))
        templates += [here, *slopes]
        wider += flux * (sides - 2 * here) / STEP_PX**2
    basis = np.stack([*templates, wider], axis=1).reshape(one.size, 7, -1)
    basis /= np.abs(basis).max(axis=2, keepdims=True)
    scale = np.abs(wider).max(axis=(1, 2))
    weighted = basis / square.variance.reshape(one.size, 1, -1)
    inverse = np.linalg.pinv(weighted @ basis.transpose(0, 2, 1), hermitian=True)
    amplitude = (inverse[:, 6] * np.einsum("nkp,np->nk", weighted, square.after.reshape(one.size, -1))).sum(axis=1)
    share = trial.flux[one] * trial.flux[other] / (trial.flux[one] + trial.flux[other]) ** 2
    along = 0.5 * share * apart**2
    misfit = (square.after**2 / square.variance).sum(axis=(1, 2)) / np.isfinite(square.variance).sum(axis=(1, 2))
    error = np.sqrt(np.maximum(inverse[:, 6, 6], 0) * np.maximum(usual, misfit))
    return np.asarray((amplitude > 2.5 * error) & (amplitude / scale > options.broad * along))


def _stamps_in(square: _Square, psf: PsfModel, x: FloatArray, y: FloatArray) -> FloatArray:
    """(n, side, side): the PSF of stars on the pixels of squares; zero beyond its tables."""
    half = square.after.shape[1] // 2
    reach = min(2 * half + 4, evaluation_tables(psf.tables, psf.oversampling).largest_stamp_px)
    stamps = np.pad(psf_values(psf, x, y, reach), ((0, 0), (1, 1), (1, 1)))
    offset = np.arange(-half, half + 1)
    columns, lines = (
        np.clip(offset + (middle - np.rint(place).astype(np.intp))[:, None], -reach - 1, reach + 1) + reach + 1
        for middle, place in ((square.column, x), (square.line, y))
    )
    return stamps[np.arange(x.size)[:, None, None], lines[:, :, None], columns[:, None, :]].astype(np.float64)


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
