"""What a refinement tells about itself: the table of pairs, the chi-squares, and why it is no better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrometry_service.algorithms.error_model.chi_square import (
    ChiSquare,
    ChiSquareBin,
    bin_chi_square,
    chi_square,
    distribution_tests,
)
from astrometry_service.algorithms.error_model.clipping import expected_kept
from astrometry_service.algorithms.error_model.likelihood import ErrorModel, leverage, total_covariance
from astrometry_service.algorithms.refinement.chain import ChainResult
from astrometry_service.algorithms.refinement.options import RefineOptions
from astrometry_service.algorithms.refinement.pairs import PairSet, PlaneTargets, SortedSources, fit_pairs
from astrometry_service.algorithms.refinement.residual_maps import neighbour_correlation, residual_map
from astrometry_service.algorithms.refinement.solution_error import hull_fraction, map_difference_mas, solution_error
from astrometry_service.algorithms.wcs.polynomials import n_terms
from astrometry_service.domain.reference import ReferencePositions, ReferenceStars
from astrometry_service.domain.solution import Pairs
from astrometry_service.domain.sources import FrameGeometry

__all__ = ["build_pairs", "chi_square_report", "no_pairs", "solution_reasons", "solution_summary", "thresholds"]

Floats = NDArray[np.float64]


def chi_square_report(
    pairs: PairSet,
    sources: SortedSources,
    targets: PlaneTargets,
    chain: ChainResult,
    geometry: FrameGeometry,
    options: RefineOptions,
) -> dict[str, Any]:
    """The final chi-square of all and of kept pairs, its tests, bins and maps."""
    settled = chain.settled
    rows = np.flatnonzero(settled.kept)
    terms = settled.fit.polynomial.coefficients.shape[1]
    residuals = settled.residuals.take(rows)
    covariance = total_covariance(residuals, settled.model)
    hat = leverage(pairs.design[rows, :terms], covariance.mean) if rows.size > terms else np.zeros(rows.size)
    free = np.maximum(1.0 - hat, 0.1)
    white = [w / np.sqrt(free) for w in covariance.whiten(residuals.rx, residuals.ry)]
    per_star = expected_kept(options.error_threshold) * free
    square = settled.distance2[rows]
    target = pairs.target[rows]
    xc, yc = geometry.centre_px
    quantities = {
        "mag": targets.mag[target],
        "colour": targets.colour[target],
        "radius_px": np.hypot(pairs.x[rows] - xc, pairs.y[rows] - yc),
        "snr": sources.snr[pairs.source[rows]],
    }
    grid = residual_map(
        pairs.x[rows], pairs.y[rows], residuals.rx, residuals.ry, covariance.mean, nx=geometry.nx, ny=geometry.ny
    )
    correlations = neighbour_correlation(pairs.plane[rows], white[0], white[1])
    return {
        "all": _chi(chi_square(settled.distance2[pairs.fitted], terms)),
        "kept": _chi(chi_square(square, terms, error_threshold=options.error_threshold)),
        "tests": dict(distribution_tests(white[0], white[1], error_threshold=options.error_threshold)),
        "bins": {
            name: [_bin(b) for b in bin_chi_square(square, values, per_star=per_star)]
            for name, values in quantities.items()
        },
        "residual_map": {
            "dx_mas": _rounded(grid.dx_mas), "dy_mas": _rounded(grid.dy_mas), "error_mas": _rounded(grid.error_mas),
            "pairs": grid.pairs.tolist(),
        },
        "neighbour_correlation": [asdict(c) for c in correlations],
    }  # fmt: skip


def solution_summary(
    pairs: PairSet, chain: ChainResult, geometry: FrameGeometry, *, start: tuple[float, float]
) -> dict[str, Any]:
    """The figures of the solution: degree, scatter, error model, error of the map.

    ``start`` is the score and the rms of the map that the refinement began with, at the kept pairs.
    """
    settled, choice = chain.settled, chain.choice
    rows = settled.kept
    fit, degree = settled.fit, settled.fit.polynomial.degree
    error = solution_error(fit, geometry.nx, geometry.ny)
    lower = None
    if degree > 1 and int(rows.sum()) >= n_terms(degree - 1):
        variance = total_covariance(settled.residuals, settled.model).mean
        lower = map_difference_mas(fit, fit_pairs(pairs, rows, degree - 1, variance), geometry.nx, geometry.ny)
    rx, ry = settled.residuals.rx[rows], settled.residuals.ry[rows]
    return {
        "pairs": len(pairs),
        "fitted": int(pairs.fitted.sum()),
        "kept": int(rows.sum()),
        "degree": degree,
        "degree_scores": {str(k): v for k, v in choice.scores.items()},
        "degree_bic": {str(k): v for k, v in choice.bic.items()},
        "score": _score(chain),
        "start_score": start[0],
        "cross_validated_rms_mas": _nearest(chain.choice.cv_rms_mas, degree),
        "start_rms_mas": start[1],
        "rms_x_mas": float(np.sqrt(np.mean(rx**2))),
        "rms_y_mas": float(np.sqrt(np.mean(ry**2))),
        "error_model": _model(settled.model),
        "colour_term_mas_per_mag": (fit.extra[:, 0] * 3.6e6).tolist() if chain.colour else None,
        "solution_error": {
            "rms_mas": error.rms_mas,
            "corner_max_mas": error.corner_max_mas,
            "corner_difference_to_lower_degree_mas": lower,
            "hull_fraction": hull_fraction(pairs.x[rows], pairs.y[rows], geometry.nx, geometry.ny),
            "grid_mas": _rounded(error.grid_mas),
        },
    }


def solution_reasons(
    pairs: PairSet,
    sources: SortedSources,
    chain: ChainResult,
    chi: dict[str, Any],
    geometry: FrameGeometry,
    options: RefineOptions,
) -> tuple[str, ...]:
    """Why a refined solution may not be called calibrated; empty where it may."""
    reasons = []
    settled = chain.settled
    kept, fitted = int(settled.kept.sum()), int(pairs.fitted.sum())
    terms = settled.fit.polynomial.coefficients.shape[1]
    needed = 6 if chain.with_prior else max(10, 2 * terms)
    if kept < needed:
        reasons.append(f"{kept} pairs carry {terms} terms per axis, need {needed}")
    if kept < (1.0 - options.max_outlier_share) * fitted:
        reasons.append(f"{fitted - kept} of {fitted} pairs were clipped")
    reduced, expected, error = (chi["kept"][k] for k in ("reduced", "expected", "standard_error"))
    if abs(reduced - expected) > 3.0 * error + 0.05:
        reasons.append(f"chi-square per degree of freedom is {reduced:.3f}, expected {expected:.3f} +- {error:.3f}")
    cd = settled.fit.polynomial.coefficients[:, 1:3] / settled.fit.polynomial.frame.scale
    sigma_px = settled.model.sigma_sys_mas / (np.sqrt(abs(np.linalg.det(cd))) * 3.6e6)
    if sigma_px > options.max_sigma_sys_px:
        reasons.append(f"systematic scatter of {sigma_px:.2f} pixels, at most {options.max_sigma_sys_px:g}")
    bare = _bare_cells(pairs, sources, settled.kept, geometry, options.min_cell_share)
    if bare:
        reasons.append(f"bright sources stay without a reference star in {bare} of 16 parts of the frame")
    return tuple(reasons)


def _bare_cells(
    pairs: PairSet, sources: SortedSources, kept: NDArray[np.bool_], geometry: FrameGeometry, least: float
) -> int:
    """Cells of a 4 x 4 grid where far fewer of the bright sources are matched than in the frame as a whole."""
    bright = np.flatnonzero(sources.usable)[:400]
    matched = np.isin(bright, pairs.source[pairs.fitted & kept])
    offered = np.isin(bright, pairs.source[~pairs.fitted], invert=True)
    i = np.clip((sources.x[bright] * 4 / geometry.nx).astype(int), 0, 3)
    j = np.clip((sources.y[bright] * 4 / geometry.ny).astype(int), 0, 3)
    total = np.bincount(4 * j[offered] + i[offered], minlength=16)
    hits = np.bincount((4 * j + i)[offered & matched], minlength=16)
    expected = total * hits.sum() / max(total.sum(), 1)
    return int(np.count_nonzero((expected >= 4.0) & (hits < least * expected)))


def build_pairs(
    pairs: PairSet,
    sources: SortedSources,
    targets: PlaneTargets,
    reference: ReferenceStars,
    places: ReferencePositions,
    chain: ChainResult,
) -> Pairs:
    """The table of matched pairs."""
    settled = chain.settled
    covariance = total_covariance(settled.residuals, settled.model)
    row = targets.row[pairs.target]
    return Pairs(
        source=sources.row[pairs.source],
        reference=row,
        source_id=reference.source_id[row],
        x=pairs.x,
        y=pairs.y,
        ra=places.ra[row],
        dec=places.dec[row],
        mag=reference.mag[row],
        colour=reference.colour[row],
        snr=sources.snr[pairs.source],
        dx_mas=settled.residuals.rx,
        dy_mas=settled.residuals.ry,
        sigma_x_mas=np.sqrt(covariance.xx),
        sigma_y_mas=np.sqrt(covariance.yy),
        distance2=settled.distance2,
        fitted=pairs.fitted,
        kept=settled.kept,
    )


def no_pairs() -> Pairs:
    """An empty table of pairs."""
    none, rows, mask = np.zeros(0), np.zeros(0, np.intp), np.zeros(0, bool)
    return Pairs(
        rows,
        rows,
        np.zeros(0, np.int64),
        none,
        none,
        none,
        none,
        none,
        none,
        none,
        none,
        none,
        none,
        none,
        none,
        mask,
        mask,
    )


def thresholds(options: RefineOptions) -> dict[str, Any]:
    """Every option as plain values; of a prior only its size."""
    plain = {k: v for k, v in asdict(options).items() if k != "prior"}
    plain["prior_frames"] = options.prior.frames if options.prior else 0
    return plain


def _score(chain: ChainResult) -> float:
    """Cross-validated score of the chosen degree; with a prior that of the fit itself, whose stars hardly bend it."""
    if chain.with_prior:
        return float(np.mean(np.minimum(chain.settled.distance2[chain.settled.kept], 30.0)))
    return _nearest(chain.choice.scores, chain.choice.degree)


def _nearest(by_degree: Mapping[int, float], degree: int) -> float:
    """Entry of a degree, or of the nearest candidate."""
    return float(by_degree[min(by_degree, key=lambda d: (abs(d - degree), d))])


def _model(model: ErrorModel) -> dict[str, Any]:
    return {k: _finite(v) for k, v in asdict(model).items()}


def _chi(value: ChiSquare) -> dict[str, Any]:
    return {k: _finite(v) for k, v in asdict(value).items()}


def _bin(value: ChiSquareBin) -> dict[str, Any]:
    return {**asdict(value), "deviates": value.deviates}


def _finite(value: Any) -> Any:
    """NaN and infinity have no place in JSON."""
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _rounded(values: Floats) -> list[Any]:
    return [[_finite(round(float(v), 3)) for v in row] for row in values]
