"""Fit the shape of a Moffat, and its change over the field, to all stars of a frame at once.

Each star has its own flux, position and constant sky, which are eliminated star by star (Schur complement); what remains
are the coefficients of width and shear, and beta. The order of their polynomials is the one that predicts held-out stars.

References
----------
Moffat (1969), A&A 3, 455. Stetson (1987), PASP 99, 191.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, solve

from photometry_service.algorithms.detection.fit_frame import FitFrame
from photometry_service.algorithms.psf.model import shape_fwhm
from photometry_service.algorithms.psf.star_step import StarStep, moffat_step
from photometry_service.domain.psf import FloatArray, field_terms, local_shapes, order_of, shear_of

__all__ = ["Shape", "ShapeFit", "ShapeOptions", "fit_shape", "supported_order"]

Shape = tuple[float, float, float, float]

ROUNDS = 14
NARROW_ROUNDS = 2
CLIP_ROUND = 3
DROP_ROUND = 4
BEGIN_STARS, BEGIN_ROUNDS = 30, 3
CONVERGED = 1e-3
LARGEST_STEP = np.array([0.15, 0.15, 0.15, 0.7])
PRIOR_SIGMA = np.array([0.35, 0.2, 0.2, 1.0])
"""Width of the prior of width, shear (2) and beta about the start: it decides only when there are next to no stars."""
FIELD_PRIOR_SIGMA = 0.3
"""The same of each term of the polynomials, about zero."""
SMALLEST_BETA, LARGEST_BETA = 1.3, 12.0
LARGEST_ELLIPTICITY = 0.93
FIXED = 1e12
FOLDS = 4
NO_MOFFAT, MISFIT = 2.0, 0.03
"""Median chi2 beyond which stars are no Moffats, and the error of the model over its peak with which they are fitted
again: the core decides, not the many pixels of wings and rings."""
SMALLEST_GAIN = 6.0
"""Chi2 that held-out stars must lose, per degree of the polynomials, for a higher order."""


@dataclass(frozen=True)
class ShapeOptions:
    """How the shape is fitted.

    Attributes
    ----------
    order : highest order of the field polynomials
    stars_per_coefficient : order 3 has 10 coefficients per shape term and so needs 10 times as many stars
    radius_fwhm : pixels used around each star
    weight_floor : fraction of the model added to the noise in the weights
    clip_sigma : pixels further from the model are ignored, from the fourth round on
    """

    order: int = 3
    stars_per_coefficient: int = 4
    radius_fwhm: float = 3.75
    weight_floor: float = 0.005
    clip_sigma: float = 8.0


@dataclass(frozen=True, eq=False)
class ShapeFit:
    """Shape terms, stars (flux, x, y, sky) and their chi2 after a round; ``misfit``: error of the model over its peak."""

    shape: Shape
    field: FloatArray
    star: FloatArray
    chi2: FloatArray
    misfit: float = 0.0

    @property
    def order(self) -> int:
        """Order of the field polynomials."""
        return order_of(self.field.shape[1])


@dataclass(frozen=True, eq=False)
class _Linear:
    """Normal equations of (width, g1, g2, beta) at each star, and the field terms there."""

    matrix: FloatArray
    vector: FloatArray
    terms: FloatArray


def fit_shape(
    frame: FitFrame, star: FloatArray, start: Shape, options: ShapeOptions, order: int | None = None
) -> ShapeFit:
    """Fit the Moffat.

    Parameters
    ----------
    star : (n, 4), flux, x, y, sky
    start : ln s, e1, e2, beta to start from
    order : of the field polynomials; None chooses it by cross-validation

    Notes
    -----
    Per pixel r = d - F P - sky with V = rms^2 + shot_noise F P and weights 1 / (V + (weight_floor F P)^2).
    Steps are limited to 0.15 in width and shear and 0.7 in beta; the rounds end when no step exceeds 1e-3.
    From the fifth round on stars are dropped whose chi2 per degree of freedom exceeds the median by 6 robust sigma.

    The order is chosen where the highest one that the stars support has settled: the equations of the stars are
    quadratic forms of their shapes, so leaving some out and lowering the order costs nothing.

    Where the median chi2 per degree of freedom says that the stars are no Moffats, they are fitted once more with an
    error of 3 % of the peak on every pixel.
    """
    fit = _fit(frame, star, start, options, order, 0.0)
    if np.isnan(fit.chi2).all() or np.nanmedian(fit.chi2) < NO_MOFFAT:
        return fit
    return _fit(frame, star, start, options, order, MISFIT)


def _fit(
    frame: FitFrame, star: FloatArray, start: Shape, options: ShapeOptions, order: int | None, misfit: float
) -> ShapeFit:
    """The rounds of ``fit_shape`` with an error of the model in the weights."""
    highest = supported_order(star, frame.shape, options) if order is None else order
    terms = (highest + 1) * (highest + 2) // 2
    fit = ShapeFit(start, np.zeros((3, terms)), star, np.full(star.shape[0], np.nan), misfit)
    begin, settled = star, order is not None or highest == 0
    fit, first = _begun(frame, fit, start, options)
    for number in range(first, ROUNDS):
        if fit.star.shape[0] == 0:
            break
        step = _equations(frame, fit, number, options)
        fit = replace(fit, star=step.star, chi2=step.chi2_red)
        keep = np.ones(step.star.shape[0], dtype=bool)
        if number >= DROP_ROUND:
            keep = _good_stars(fit, begin)
        equations = _in_shear(fit, step, frame.shape, keep)
        if number > DROP_ROUND and not settled:
            settled = True
            fit = _with_best_order(fit, equations, start, frame.shape)
            equations = replace(equations, terms=equations.terms[:, : fit.field.shape[1]])
        change, limited = _shape_step(fit, start, equations)
        fit = _moved(fit, change)
        fit, begin = replace(fit, star=fit.star[keep], chi2=fit.chi2[keep]), begin[keep]
        if not limited and number > DROP_ROUND and np.abs(change).max() < CONVERGED:
            break
    return fit


def _begun(frame: FitFrame, fit: ShapeFit, start: Shape, options: ShapeOptions) -> tuple[ShapeFit, int]:
    """The mean shape from the first few stars, the brightest, and the round of all that follows: far from the solution
    all say no more than few."""
    if fit.star.shape[0] < 2 * BEGIN_STARS or fit.misfit > 0:
        return fit, 0
    few = replace(fit, field=np.zeros((3, 1)), star=fit.star[:BEGIN_STARS], chi2=fit.chi2[:BEGIN_STARS])
    for number in range(BEGIN_ROUNDS):
        step = _equations(frame, few, number, options)
        few = replace(few, star=step.star)
        equations = _in_shear(few, step, frame.shape, np.ones(BEGIN_STARS, dtype=bool))
        few = _moved(few, _shape_step(few, start, equations)[0])
    return replace(fit, shape=few.shape), BEGIN_ROUNDS - 1


def supported_order(star: FloatArray, frame_shape: tuple[int, int], options: ShapeOptions) -> int:
    """Highest order with enough stars per coefficient that are spread well enough for every corner of the frame."""
    ny, nx = frame_shape
    for order in range(options.order, 0, -1):
        if star.shape[0] < options.stars_per_coefficient * (order + 1) * (order + 2) // 2:
            continue
        terms = field_terms(star[:, 1], star[:, 2], frame_shape, order)
        corners = field_terms(np.array([0.0, nx, 0, nx]), np.array([0.0, 0, ny, ny]), frame_shape, order)
        leverage = np.einsum("ci,ij,cj->c", corners, np.linalg.pinv(terms.T @ terms), corners)
        if np.linalg.matrix_rank(terms) == terms.shape[1] and leverage.max() < 1.5:
            return order
    return 0


def _equations(frame: FitFrame, fit: ShapeFit, number: int, options: ShapeOptions) -> StarStep:
    """One step of every star, with the equations of the shape."""
    shapes = _shapes(fit, frame.shape)
    widest = max(shape_fwhm(row)[1] for row in (fit.shape, tuple(np.median(shapes, axis=0))))
    return moffat_step(
        frame, fit.star, shapes,
        radius_px=(1.6 if number < NARROW_ROUNDS else options.radius_fwhm) * widest,
        clip_sigma=options.clip_sigma if number >= CLIP_ROUND else 1e9,
        weight_floor=options.weight_floor,
        misfit=fit.misfit,
    )  # fmt: skip


def _shapes(fit: ShapeFit, frame_shape: tuple[int, int]) -> FloatArray:
    """(n, 4): ln s, e1, e2, beta at the stars."""
    terms = field_terms(fit.star[:, 1], fit.star[:, 2], frame_shape, fit.order)
    return local_shapes(fit.shape, terms @ fit.field.T)


def _in_shear(fit: ShapeFit, step: StarStep, frame_shape: tuple[int, int], keep: NDArray[np.bool_]) -> _Linear:
    """Equations of ln s, e1, e2, beta as those of width over the central one, shear and beta."""
    terms = field_terms(fit.star[keep, 1], fit.star[keep, 2], frame_shape, fit.order)
    departures = terms @ fit.field.T
    g = departures[:, 1:] + np.array(shear_of(*fit.shape[1:3]))
    square = np.minimum((g**2).sum(axis=1), 0.8)
    jacobian = np.zeros((terms.shape[0], 4, 4))  # d(ln s, e1, e2, beta) / d(width, g1, g2, beta)
    jacobian[:, 0, 0] = -2 / np.maximum(1 + departures[:, 0], 0.2)
    jacobian[:, 0, 1:3] = 4 * g / (1 - square**2)[:, None]
    outer = np.einsum("si,sj->sij", g, g)
    jacobian[:, 1:3, 1:3] = 2 * np.eye(2) / (1 + square)[:, None, None] - 4 * outer / ((1 + square) ** 2)[:, None, None]
    jacobian[:, 3, 3] = 1
    matrix = np.einsum("sai,sab,sbj->sij", jacobian, step.matrix[keep], jacobian)
    return _Linear(matrix, np.einsum("sai,sa->si", jacobian, step.vector[keep]), terms)


def _system(equations: _Linear, terms: int, chosen: slice) -> tuple[FloatArray, FloatArray]:
    """Equations of all coefficients from some stars: each star's, expanded with its field terms; beta is constant."""
    t = equations.terms[chosen, :terms]
    products = (t[:, :, None] * t[:, None, :]).reshape(t.shape[0], terms * terms)
    by_pair = (equations.matrix[chosen].reshape(-1, 16).T @ products).reshape(4, 4, terms, terms)
    full = by_pair.transpose(0, 2, 1, 3).reshape(4 * terms, 4 * terms)
    right = (equations.vector[chosen].T @ t).ravel()
    return full[: 3 * terms + 1, : 3 * terms + 1], right[: 3 * terms + 1]


def _solved(full: FloatArray, right: FloatArray, away: FloatArray) -> FloatArray | None:
    """Step with the prior; ``away``: distance of each coefficient from the prior's centre. None when singular."""
    terms = (right.size - 1) // 3
    weight = np.full(right.size, FIELD_PRIOR_SIGMA**-2.0)
    weight[[0, terms, 2 * terms, 3 * terms]] = PRIOR_SIGMA**-2.0
    full, right = full + np.diag(weight), right - weight * away
    full[np.diag_indices_from(full)] *= 1 + 1e-8
    try:
        return np.asarray(solve(full, right, assume_a="pos"))
    except LinAlgError:
        return None


def _away(fit: ShapeFit, start: Shape, terms: int) -> FloatArray:
    """Distance of the coefficients from the start, (3 terms + 1)."""
    out = np.zeros((3, fit.field.shape[1]))
    out[:] = fit.field
    begun = (*shear_of(*start[1:3]), start[3])
    now = (*shear_of(*fit.shape[1:3]), fit.shape[3])
    out[0, 0] = np.expm1(0.5 * (_log_area(start) - _log_area(fit.shape)))
    out[1, 0], out[2, 0] = now[0] - begun[0], now[1] - begun[1]
    return np.append(out[:, :terms].ravel(), now[2] - begun[2])


def _log_area(shape: Shape) -> float:
    """Ln s of the round Moffat of the same area."""
    return shape[0] + 0.5 * log(1 - shape[1] ** 2 - shape[2] ** 2)


def _with_best_order(fit: ShapeFit, equations: _Linear, start: Shape, frame_shape: tuple[int, int]) -> ShapeFit:
    """Lower the order to the one that predicts held-out stars; its coefficients from all stars."""
    noise = max(1.0, float(np.nanmedian(fit.chi2)))
    now = np.append(fit.field.ravel(), 0.0)
    best, lowest = 0, np.inf
    systems = [_system(equations, fit.field.shape[1], slice(fold, None, FOLDS)) for fold in range(FOLDS)]
    whole = _sum(systems)
    for order in range(fit.order + 1):
        terms = (order + 1) * (order + 2) // 2
        chi2 = 0.0
        for fold, (full, right) in enumerate(systems):
            coefficients = _coefficients(fit, start, terms, _sum(systems[:fold] + systems[fold + 1 :]))
            if coefficients is None:
                chi2 = np.inf
                break
            change = _padded(coefficients, fit.field.shape[1]) - now
            chi2 += float(change @ full @ change - 2 * right @ change)
        if chi2 < lowest - SMALLEST_GAIN * noise * max(order - best, 1):
            best, lowest = order, chi2
    if best == fit.order:
        return fit
    terms = (best + 1) * (best + 2) // 2
    coefficients = _coefficients(fit, start, terms, whole)
    if coefficients is None:
        return replace(fit, field=fit.field[:, :terms].copy())
    field = coefficients[:-1].reshape(3, terms)
    kept = replace(fit, field=np.zeros((3, terms)))
    return _moved(kept, np.append(field.ravel(), coefficients[-1]))


def _sum(systems: list[tuple[FloatArray, FloatArray]]) -> tuple[FloatArray, FloatArray]:
    """The equations of all parts together."""
    return np.sum([full for full, _ in systems], axis=0), np.sum([right for _, right in systems], axis=0)


def _coefficients(fit: ShapeFit, start: Shape, terms: int, system: tuple[FloatArray, FloatArray]) -> FloatArray | None:
    """Best coefficients (3 terms + 1) of lower order from equations of all terms: those left out go to zero first."""
    full, right = system
    all_terms = fit.field.shape[1]
    use = np.append((np.arange(3)[:, None] * all_terms + np.arange(terms)).ravel(), 3 * all_terms)
    now = np.append(fit.field.ravel(), 0.0)
    right = right + full @ now  # from coefficients of zero (beta where it is)
    step = _solved(full[np.ix_(use, use)], right[use], _away(replace(fit, field=0 * fit.field), start, terms))
    return step


def _padded(coefficients: FloatArray, terms: int) -> FloatArray:
    """The same coefficients among those of a higher order."""
    field = coefficients[:-1].reshape(3, -1)
    return np.append(np.pad(field, ((0, 0), (0, terms - field.shape[1]))).ravel(), coefficients[-1])


def _shape_step(fit: ShapeFit, start: Shape, equations: _Linear) -> tuple[FloatArray, bool]:
    """Step of (width terms, g1 terms, g2 terms, beta), and whether it had to be limited."""
    terms = equations.terms.shape[1]
    full, right = _system(equations, terms, slice(None))
    step = _solved(full, right, _away(fit, start, terms))
    if step is not None and not SMALLEST_BETA < fit.shape[3] + step[-1] < LARGEST_BETA:
        at = float(np.clip(fit.shape[3] + step[-1], SMALLEST_BETA, LARGEST_BETA)) - fit.shape[3]
        at = float(np.clip(at, -LARGEST_STEP[3], LARGEST_STEP[3]))
        full[-1, -1] += FIXED
        step = _solved(full, right + np.append(np.zeros(right.size - 1), FIXED * at), _away(fit, start, terms))
    if step is None:
        return np.zeros(3 * terms + 1), True
    local = np.abs(equations.terms @ step[:-1].reshape(3, terms).T)
    largest = np.append(local.max(axis=0) if local.size else np.zeros(3), abs(step[-1]))
    scale = float(np.min(LARGEST_STEP / np.maximum(largest, 1e-12)))
    return step * min(1.0, scale), scale < 1.0


def _moved(fit: ShapeFit, step: FloatArray) -> ShapeFit:
    """Apply a step; the constants of the field polynomials go into the central shape, which stays an ellipse."""
    terms = fit.field + step[:-1].reshape(3, -1)
    wider = max(1 + terms[0, 0], 0.5)
    g = np.array(shear_of(*fit.shape[1:3])) + terms[1:, 0]
    largest = LARGEST_ELLIPTICITY / (1 + sqrt(1 - LARGEST_ELLIPTICITY**2))
    g *= min(1.0, largest / max(float(np.hypot(*g)), 1e-12))
    square = float(g @ g)
    e1, e2 = (2 * g / (1 + square)).tolist()
    log_s = _log_area(fit.shape) - 2 * log(wider) - log((1 - square) / (1 + square))
    terms[0] /= wider
    terms[:, 0] = 0
    beta = float(np.clip(fit.shape[3] + step[-1], SMALLEST_BETA, LARGEST_BETA))
    return replace(fit, shape=(log_s, e1, e2, beta), field=terms)


def _good_stars(fit: ShapeFit, begin: FloatArray) -> NDArray[np.bool_]:
    """Stars to keep: positive, still where they were found, chi2 not far above the others'. Never drops over a half."""
    moved = np.hypot(*(fit.star[:, 1:3] - begin[:, 1:3]).T) > shape_fwhm(fit.shape)[1]
    keep = (fit.star[:, 0] > 0) & ~moved & np.isfinite(fit.chi2)
    if keep.sum() >= 5:
        middle = np.median(fit.chi2[keep])
        spread = 1.4826 * np.median(np.abs(fit.chi2[keep] - middle))
        keep &= fit.chi2 < middle + 6 * max(spread, 0.02 * middle)
    return keep if 2 * keep.sum() >= keep.size else np.ones(keep.size, dtype=bool)
