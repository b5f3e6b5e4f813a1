"""Fit all stars of a frame with a known PSF: fluxes, positions, their covariances, and the residual image.

References
----------
Stetson (1987), PASP 99, 191 (fits on a frame from which the neighbours are subtracted).
White (1980), Econometrica 48, 817 (covariance of a weighted estimator whose weights are not the inverse variances).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from photometry_service.algorithms.detection.fit_frame import FitFrame, saturated_centre
from photometry_service.algorithms.psf import _fit, _groups, _model
from photometry_service.algorithms.psf.groups import close_groups
from photometry_service.algorithms.psf.model import EvaluationTables, evaluation_tables, psf_stamp
from photometry_service.domain.psf import FloatArray, PsfModel

__all__ = ["FitOptions", "PsfFit", "bright_stars", "fit_psf"]

TILE_PX = 64
"""Stars are fitted tile by tile, the brightest of a tile first: neighbours in memory, always in the same order."""

RESULT_COLUMNS = 13

MODEL_SHARE, LARGEST_MISFIT = 0.02, 2.0
"""Share of the flux that the model's error takes in chi2, and the largest chi2 of a star in units of the median."""


@dataclass(frozen=True)
class FitOptions:
    """How stars are fitted.

    Attributes
    ----------
    radius_fwhm, smallest_radius_px : pixels used around a star
    saturated_radius_fwhm : the same for a star whose centre is saturated
    sweeps, full_sweeps : passes over all stars; after the full ones, stars at rest are left out
    tolerance_px : a star is at rest when it moved less, and its flux by less than 33 times that in sigma
    largest_step_px : limit of one step along each axis
    weight_floor : fraction of the model added to the noise in the weights only
    group_fwhm : friends closer than this are fitted jointly; 0 for never
    group_rounds : joint steps of each group
    render_sigma : models are drawn out to this fraction of the noise
    """

    radius_fwhm: float = 1.25
    smallest_radius_px: int = 3
    saturated_radius_fwhm: float = 3.0
    sweeps: int = 6
    full_sweeps: int = 2
    tolerance_px: float = 0.003
    largest_step_px: float = 0.4
    weight_floor: float = 0.003
    group_fwhm: float = 1.0
    group_rounds: int = 3
    render_sigma: float = 0.1


@dataclass(frozen=True, eq=False)
class PsfFit:
    """Stars after the fit, in the order given; unit of flux and noise is that of the frame.

    Attributes
    ----------
    x, y, flux : (n,)
    flux_var, x_var, y_var, xy_cov, flux_x_cov, flux_y_cov : (n,)
        Sandwich covariance. NaN without a fit; those of the position also when the flux alone was fitted.
    chi2_red, qfit, cfit : (n,)
    pixels, missing, saturated : (n,), counts in the fit stamp: used, bad or beyond the edge, saturated
    last_step_px : (n,), of the last sweep that touched the star
    group : (n,), 0 or the number of the group of a joint fit
    half_render : (n,), half size of the square in which a star's model was subtracted
    residual : (ny, nx)
    """

    x: FloatArray
    y: FloatArray
    flux: FloatArray
    flux_var: FloatArray
    x_var: FloatArray
    y_var: FloatArray
    xy_cov: FloatArray
    flux_x_cov: FloatArray
    flux_y_cov: FloatArray
    chi2_red: FloatArray
    qfit: FloatArray
    cfit: FloatArray
    pixels: FloatArray
    missing: FloatArray
    saturated: FloatArray
    last_step_px: FloatArray
    group: NDArray[np.int64]
    half_render: NDArray[np.int32]
    residual: NDArray[np.float32]

    def scaled(self, factor: float) -> PsfFit:
        """The same fit with a PSF that has 1 / factor of the light in its tables."""
        return replace(
            self,
            flux=self.flux * factor,
            flux_var=self.flux_var * factor**2,
            flux_x_cov=self.flux_x_cov * factor,
            flux_y_cov=self.flux_y_cov * factor,
            qfit=self.qfit / factor,
            cfit=self.cfit / factor,
        )

    @property
    def snr(self) -> FloatArray:
        """(n,): flux over its one-sigma error; NaN without a fit."""
        return self.flux / np.sqrt(self.flux_var)


def fit_psf(
    frame: FitFrame,
    psf: PsfModel,
    x: FloatArray,
    y: FloatArray,
    flux: FloatArray,
    options: FitOptions | None = None,
    *,
    fit_position: bool = True,
    active: NDArray[np.bool_] | None = None,
    buffer: NDArray[np.float32] | None = None,
) -> PsfFit:
    """Fit flux and position of every star, the others' models subtracted.

    Parameters
    ----------
    x, y : (n,), pixels, 0-based, good to about a pixel
    flux : (n,), unit of the frame; not finite = start from zero
    fit_position : False fits fluxes at the given places
    active : (n,) or None
        Stars to improve; the others are at rest and only described. Groups with a resting member are improved as well.
    buffer : (ny, nx) or None, memory that becomes the residual image of the result

    Notes
    -----
    Per pixel V = rms^2 + shot_noise M with M the sum of all models there, never the data: weighting by noisy data
    biases faint fluxes low. Weights are w = 1 / (V + (weight_floor M)^2). With g the derivatives to flux, x and y and
    N = sum w g g^T, steps are N^-1 sum w g r, and the covariance is N^-1 (sum w^2 V g g^T) N^-1. A star with
    F sqrt(N_FF) < 3 is fitted in flux only. Stars closer than ``group_fwhm`` are finally fitted jointly, and their
    covariance is that of the joint fit.
    """
    options = options or FitOptions()
    star = np.stack([np.where(np.isfinite(flux), flux, 0.0), x, y], axis=1).astype(np.float64)
    n = star.shape[0]
    residual = np.empty_like(frame.data) if buffer is None else buffer
    np.copyto(residual, frame.data)
    result, change = np.full((n, RESULT_COLUMNS), np.nan), np.zeros(n)
    group, half_render = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int32)
    if n:
        tables = evaluation_tables(psf.tables, psf.oversampling)
        mix = tables.pad(psf.mix(star[:, 1], star[:, 2]))
        order = _tile_order(star, frame.shape)
        moving = order if active is None else order[active[order]]
        half_fit = _fit_radius(frame, psf, star, options, tables)
        half_render = _render_radius(frame, psf, star, options, half_fit, tables)
        pixels_of = (frame.data, residual, frame.rms, frame.state, frame.shot_noise, options.weight_floor)
        psfs = _model.StarPsfs(tables.planes, tables.terms, tables.oversampling, tables.half_px, mix)
        _fit.fit_stars(
            *pixels_of, psfs, moving, half_fit, half_render, options.sweeps, options.full_sweeps,
            options.tolerance_px, options.largest_step_px, fit_position, star, change,
        )  # fmt: skip
        _fit.describe_stars(*pixels_of, psfs, order, half_fit, fit_position, False, star, result)
        members, start = close_groups(star[:, 1], star[:, 2], options.group_fwhm * psf.fwhm_px)
        if start.size > 1:
            _groups.fit_groups(
                *pixels_of, psfs, members, start, half_fit, half_render, options.group_rounds,
                options.largest_step_px, fit_position, star, change, result,
            )  # fmt: skip
            _fit.describe_stars(*pixels_of, psfs, members, half_fit, fit_position, True, star, result)
            group[members] = np.repeat(np.arange(1, start.size), np.diff(start))
    columns = (result[:, k].copy() for k in range(12))
    fv, xv, yv, xy, fx, fy, chi2, qfit, cfit, pixels, missing, saturated = columns
    return PsfFit(
        star[:, 1].copy(), star[:, 2].copy(), star[:, 0].copy(), fv, xv, yv, xy, fx, fy, chi2, qfit, cfit,
        pixels, missing, saturated, change, group, half_render, residual,
    )  # fmt: skip


def bright_stars(
    fit: PsfFit, smallest_snr: float, largest_number: int, *, with_saturated: bool
) -> NDArray[np.intp]:  # fmt: skip
    """Indices of stars without missing pixels, alone in their fit, no worse described than others (no galaxies).

    Parameters
    ----------
    fit : the stars of a frame
    smallest_snr : of such a star
    largest_number : the brightest are taken
    with_saturated : whether stars with saturated pixels count

    Returns
    -------
    (n,), brightest first
    """
    snr = np.nan_to_num(fit.snr)
    good = (snr > smallest_snr) & (fit.missing == 0) & (fit.group == 0) & np.isfinite(fit.x) & np.isfinite(fit.y)
    if not with_saturated:
        good &= fit.saturated == 0
    misfit = fit.chi2_red / (1 + (MODEL_SHARE * np.minimum(snr, 1e4)) ** 2)
    if good.any():
        good &= misfit < LARGEST_MISFIT * np.median(misfit[good])
    rows = np.flatnonzero(good)
    return rows[np.argsort(-fit.flux[rows], kind="stable")][:largest_number]


def _tile_order(star: FloatArray, shape: tuple[int, int]) -> NDArray[np.intp]:
    """Order of the fits: tiles row by row, within a tile by flux."""
    tiles = -(-shape[1] // TILE_PX)
    column = np.clip(star[:, 1] // TILE_PX, 0, tiles - 1)
    row = np.clip(star[:, 2] // TILE_PX, 0, -(-shape[0] // TILE_PX) - 1)
    return np.lexsort((-star[:, 0], row * tiles + column)).astype(np.intp)


def _fit_radius(
    frame: FitFrame, psf: PsfModel, star: FloatArray, options: FitOptions, tables: EvaluationTables
) -> NDArray[np.int32]:
    """(n,): half size of each star's fit stamp; wider where the centre is saturated."""
    width = psf.major_fwhm_at(star[:, 1], star[:, 2])
    usual = np.maximum(options.smallest_radius_px, np.rint(options.radius_fwhm * width))
    wide = np.maximum(usual, np.rint(options.saturated_radius_fwhm * width))
    radius = np.where(saturated_centre(frame, star[:, 1], star[:, 2]), wide, usual)
    return np.minimum(radius, tables.largest_stamp_px - 1).astype(np.int32)


def _render_radius(
    frame: FitFrame, psf: PsfModel, star: FloatArray, options: FitOptions, half_fit: NDArray[np.int32],
    tables: EvaluationTables,
) -> NDArray[np.int32]:  # fmt: skip
    """(n,): half size out to which each model is drawn."""
    largest = tables.largest_stamp_px
    stamp = psf_stamp(psf, largest)
    offset = np.abs(np.arange(-largest, largest + 1))
    ring = np.maximum(offset[None], offset[:, None])
    profile = np.array([stamp[ring == r].max() for r in range(largest + 1)])
    profile = np.maximum.accumulate(profile[::-1])[::-1]
    level = options.render_sigma * frame.typical_rms / np.maximum(star[:, 0], 1e-30)
    radius = np.searchsorted(-profile, -level)
    return np.clip(radius, half_fit + 1, largest).astype(np.int32)
