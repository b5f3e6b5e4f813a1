"""Build the PSF of a frame from its stars: a Moffat that changes over the field, plus a cross-validated residual.

All stars are fitted at once: each has its own flux, position and constant sky, which are eliminated star by star (Schur
complement), and what remains are the few terms of the shape. A smooth table of what a Moffat cannot describe is added
when, and only as far as, it predicts stars that it was not made from.

References
----------
Moffat (1969), A&A 3, 455. Stetson (1987), PASP 99, 191 (analytic core plus table of residuals).
Anderson & King (2000), PASP 112, 1360 (sub-pixel sampling by many stars; bias of positions by a wrong PSF).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, solve

from photometry_service.algorithms.fit_frame import FitFrame
from photometry_service.algorithms.psf_model import (
    EXPONENTS,
    TableGrid,
    evaluation_tables,
    moffat_psf,
    moffat_tables,
    node_values,
    shape_fwhm,
    table_grid,
)
from photometry_service.algorithms.psf_residual import ResidualOptions, ResidualTable, fit_residual_table
from photometry_service.algorithms.psf_star_step import StarStep, star_step
from photometry_service.domain.psf import FloatArray, PsfKind, PsfModel, PsfQuality, field_terms, taylor_weights

__all__ = ["PsfBuildOptions", "build_psf"]

Shape = tuple[float, float, float, float]

ROUNDS = 12
NARROW_ROUNDS = 2
CLIP_ROUND = 3
DROP_ROUND = 4
CONVERGED = 1e-3
LARGEST_STEP = np.array([0.3, 0.3, 0.3, 0.7])
PRIOR_SIGMA = np.array([0.7, 0.4, 0.4, 1.0])
"""Width of the prior of ln s, e1, e2, beta about the start: it decides only when there are next to no stars."""
SMALLEST_BETA, LARGEST_BETA = 1.3, 12.0
LARGEST_ELLIPTICITY = 0.93


@dataclass(frozen=True)
class PsfBuildOptions:
    """How the PSF is made.

    Attributes
    ----------
    order : highest order of the field polynomials, 0 to 2
    stars_per_coefficient : order 2 has 6 coefficients per shape term and so needs 6 times as many stars
    use_table, table_stars : whether a residual table may be added, and from how many stars on
    radius_fwhm : pixels used around each star
    weight_floor : fraction of the model added to the noise in the weights
    clip_sigma : pixels further from the model are ignored, from the fourth round on
    residual : the table's options
    """

    order: int = 2
    stars_per_coefficient: int = 10
    use_table: bool = True
    table_stars: int = 8
    radius_fwhm: float = 3.75
    weight_floor: float = 0.005
    clip_sigma: float = 8.0
    residual: ResidualOptions = field(default_factory=ResidualOptions)


@dataclass(frozen=True, eq=False)
class _Fit:
    """Shape terms, stars (flux, x, y, sky) and their chi2 after a round."""

    shape: Shape
    field: FloatArray
    star: FloatArray
    chi2: FloatArray


def build_psf(
    frame: FitFrame,
    x: FloatArray,
    y: FloatArray,
    flux: FloatArray,
    start: Shape,
    options: PsfBuildOptions | None = None,
) -> PsfModel:
    """Fit the PSF to stars.

    Parameters
    ----------
    frame : background-subtracted pixels, noise and mask (saturated pixels masked as well)
    x, y : (n,), pixels, 0-based, good to about a pixel
    flux : (n,), unit of the frame, good to a factor of two; stars of no positive flux are left out
    start : ln s, e1, e2, beta to start from

    Returns
    -------
    PsfModel
        ``moffat_table`` with a residual table, ``moffat`` without, ``assumed`` (the start itself) without any star.
        Unit flux in the table.

    Notes
    -----
    Per pixel r = d - F P - sky with V = rms^2 + shot_noise F P and weights 1 / (V + (weight_floor F P)^2).
    Steps are limited to 0.3 in ln s, e1, e2 and 0.7 in beta; the rounds end when no step exceeds 1e-3.
    From the fifth round on stars are dropped whose chi2 per degree of freedom exceeds the median by 6 robust sigma.
    """
    options = options or PsfBuildOptions()
    star = np.stack([flux, x, y, np.zeros(x.size)], axis=1).astype(np.float64)
    star = star[np.all(np.isfinite(star), axis=1) & (star[:, 0] > 0)]
    order = _supported_order(star, frame.shape, options)
    fit = _fit_shape(frame, star, start, order, options)
    while order > 0 and _largest_ellipticity(fit) > LARGEST_ELLIPTICITY:
        order -= 1
        fit = _fit_shape(frame, star, start, order, options)
    return _with_table(frame, fit, star.shape[0], options)


def _with_table(frame: FitFrame, fit: _Fit, candidates: int, options: PsfBuildOptions) -> PsfModel:
    """Add a residual table if the stars allow one; the model with its quality figures."""
    used, grid = int(fit.star.shape[0]), _grid(fit.shape)
    table: ResidualTable | None = None
    if options.use_table and used >= options.table_stars:
        tables, mix, _ = _tables(fit, frame.shape, grid)
        table = fit_residual_table(
            frame, fit.star, tables, mix, grid, fwhm_px=shape_fwhm(fit.shape)[1],
            weight_floor=options.weight_floor, clip_sigma=options.clip_sigma, options=options.residual,
        )  # fmt: skip
    has_table = table is not None and table.prior > 0
    model = moffat_psf(
        fit.shape,
        fit.field,
        frame.shape,
        grid,
        kind=PsfKind.MOFFAT_TABLE if has_table else PsfKind.MOFFAT if used else PsfKind.ASSUMED,
        residual=table.coefficients if table is not None and has_table else None,
        star_x=fit.star[:, 1].copy(),
        star_y=fit.star[:, 2].copy(),
    )
    known = fit.chi2[np.isfinite(fit.chi2)]
    quality = PsfQuality(
        n_candidates=candidates,
        n_stars=used,
        chi2_red=float(np.median(known)) if known.size else float("nan"),
        table_prior=table.prior if table else 0.0,
        cross_validation_gain=table.gain_per_star if table else 0.0,
        ripple=_ripple(model),
    )
    return replace(model, quality=quality)


def _fit_shape(frame: FitFrame, star: FloatArray, start: Shape, order: int, options: PsfBuildOptions) -> _Fit:
    """Gauss-Newton rounds over the shape terms and all stars."""
    fit = _Fit(start, np.zeros((3, (order + 1) * (order + 2) // 2)), star, np.full(star.shape[0], np.nan))
    begin = star
    for number in range(ROUNDS):
        if fit.star.shape[0] == 0:
            break
        step = _equations(frame, fit, number, options)
        fit = replace(fit, star=step.star, chi2=step.chi2_red)
        keep = np.ones(step.star.shape[0], dtype=bool)
        if number >= DROP_ROUND:
            keep = _good_stars(fit, begin)
        change, limited = np.zeros(1), True
        if number > 0:
            terms = field_terms(fit.star[keep, 1], fit.star[keep, 2], frame.shape, order)
            change, limited = _shape_step(fit, start, step.matrix[keep], step.vector[keep], terms)
            fit = _moved(fit, change)
        fit, begin = replace(fit, star=fit.star[keep], chi2=fit.chi2[keep]), begin[keep]
        if not limited and number > DROP_ROUND and np.abs(change).max() < CONVERGED:
            break
    return fit


def _equations(frame: FitFrame, fit: _Fit, number: int, options: PsfBuildOptions) -> StarStep:
    """One step of every star, with the equations of the shape after the first round."""
    grid = _grid(fit.shape)
    tables, mix, derivatives = _tables(fit, frame.shape, grid)
    flat = np.stack([evaluation_tables(t[None], grid.oversampling).planes for t in derivatives])
    return star_step(
        frame,
        fit.star,
        evaluation_tables(tables, grid.oversampling),
        mix,
        radius_px=(1.6 if number < NARROW_ROUNDS else options.radius_fwhm) * shape_fwhm(fit.shape)[1],
        clip_sigma=options.clip_sigma if number >= CLIP_ROUND else 1e9,
        weight_floor=options.weight_floor,
        derivatives=flat if number > 0 else None,
    )


def _tables(fit: _Fit, frame_shape: tuple[int, int], grid: TableGrid) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Taylor tables (k, n, n), their weights at the stars (n, k), derivatives to ln s, e1, e2, beta (4, n, n)."""
    varies = fit.field.shape[1] > 1
    tables = moffat_tables(fit.shape, grid, second_order=varies)
    if not varies:
        return tables[:1], np.ones((fit.star.shape[0], 1)), tables[1:5]
    order = 1 if fit.field.shape[1] == 3 else 2
    departures = field_terms(fit.star[:, 1], fit.star[:, 2], frame_shape, order) @ fit.field.T
    return np.delete(tables, 4, axis=0), taylor_weights(departures, EXPONENTS), tables[1:5]


def _shape_step(
    fit: _Fit, start: Shape, matrix: FloatArray, vector: FloatArray, terms: FloatArray
) -> tuple[FloatArray, bool]:
    """Step of (ln s terms, e1 terms, e2 terms, beta), and whether it had to be limited.

    Each star's equations are expanded with its field terms; beta is the same everywhere.
    """
    m = terms.shape[1]
    full = np.einsum("sab,sj,sk->ajbk", matrix, terms, terms).reshape(4 * m, 4 * m)
    right = np.einsum("sa,sj->aj", vector, terms).ravel()
    use = np.arange(3 * m + 1)  # of beta's terms only the constant one
    full, right = full[np.ix_(use, use)], right[use]
    constant = np.array([0, m, 2 * m, 3 * m])
    weight = PRIOR_SIGMA**-2.0
    full[constant, constant] += weight
    right[constant] -= weight * (np.array(fit.shape) - np.array(start))
    full[use, use] *= 1 + 1e-8
    try:
        step = np.asarray(solve(full, right, assume_a="pos"))
    except LinAlgError:
        return np.zeros(3 * m + 1), True
    scale = float(np.min(LARGEST_STEP / np.maximum(np.abs(step[constant]), 1e-12)))
    return step * min(1.0, scale), scale < 1.0


def _moved(fit: _Fit, step: FloatArray) -> _Fit:
    """Apply a step; the constants of the field polynomials go into the central shape, which stays an ellipse."""
    m = fit.field.shape[1]
    terms = fit.field + step[: 3 * m].reshape(3, m)
    log_s, e1, e2 = (float(a + b) for a, b in zip(fit.shape[:3], terms[:, 0], strict=True))
    size = float(np.hypot(e1, e2))
    if size > LARGEST_ELLIPTICITY:
        e1, e2 = e1 * LARGEST_ELLIPTICITY / size, e2 * LARGEST_ELLIPTICITY / size
    terms[:, 0] = 0
    beta = float(np.clip(fit.shape[3] + step[-1], SMALLEST_BETA, LARGEST_BETA))
    return replace(fit, shape=(log_s, e1, e2, beta), field=terms)


def _good_stars(fit: _Fit, begin: FloatArray) -> NDArray[np.bool_]:
    """Stars to keep: positive, still where they were found, chi2 not far above the others'. Never drops over a half."""
    moved = np.hypot(*(fit.star[:, 1:3] - begin[:, 1:3]).T) > shape_fwhm(fit.shape)[1]
    keep = (fit.star[:, 0] > 0) & ~moved & np.isfinite(fit.chi2)
    if keep.sum() >= 5:
        middle = np.median(fit.chi2[keep])
        spread = 1.4826 * np.median(np.abs(fit.chi2[keep] - middle))
        keep &= fit.chi2 < middle + 6 * max(spread, 0.02 * middle)
    return keep if 2 * keep.sum() >= keep.size else np.ones(keep.size, dtype=bool)


def _supported_order(star: FloatArray, frame_shape: tuple[int, int], options: PsfBuildOptions) -> int:
    """Highest order with enough stars per coefficient that are spread well enough for every corner of the frame."""
    ny, nx = frame_shape
    for order in range(options.order, 0, -1):
        if star.shape[0] < options.stars_per_coefficient * (order + 1) * (order + 2) // 2:
            continue
        terms = field_terms(star[:, 1], star[:, 2], frame_shape, order)
        corners = field_terms(np.array([0.0, nx, 0, nx]), np.array([0.0, 0, ny, ny]), frame_shape, order)
        leverage = np.einsum("ci,ij,cj->c", corners, np.linalg.pinv(terms.T @ terms), corners)
        if np.linalg.matrix_rank(terms) == terms.shape[1] and leverage.max() < 1:
            return order
    return 0


def _largest_ellipticity(fit: _Fit) -> float:
    """Upper limit of the ellipticity anywhere on the frame."""
    reach = np.abs(fit.field[1:, 1:]).sum(axis=1)
    return float(np.hypot(*(np.abs(fit.shape[1:3]) + reach)))


def _grid(shape: Shape) -> TableGrid:
    """Sampling of the tables for a shape."""
    return table_grid(*shape_fwhm(shape))


def _ripple(psf: PsfModel) -> float:
    """Rms of the second mixed difference of the central table's values within 1.25 FWHM, over the peak."""
    table, centre = node_values(psf.tables[0]), psf.tables.shape[1] // 2
    reach = min(int(1.25 * psf.fwhm_px * psf.oversampling) + 1, centre - 1)
    core = table[centre - reach - 1 : centre + reach + 2, centre - reach - 1 : centre + reach + 2]
    second = np.array([1.0, -2.0, 1.0]) / 4.0
    windows = np.lib.stride_tricks.sliding_window_view(core, (3, 3))
    mixed = np.einsum("ijab,a,b->ij", windows, second, second)
    g = np.arange(-reach, reach + 1)
    inside = np.hypot(g[None], g[:, None]) <= 1.25 * psf.fwhm_px * psf.oversampling
    return float(np.sqrt(np.mean(mixed[inside] ** 2)) / table.max())
