"""Yardsticks: measured lists and solutions against the truth of a simulated frame.

Photometry: `match_to_truth`, `photometry_report`. Astrometry: `solution_error` (the WCS itself, free of the noise of
any one star), `solution_floor` (what the stars allow), `star_errors`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from astropy.table import Table
from astropy.wcs import WCS
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree

from astro_shared.science.robust_statistics import mad_std
from astro_shared.testing.optics import Camera

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SNR_BINS: tuple[tuple[float, float], ...] = ((5, 10), (10, 30), (30, 100), (100, 300), (300, np.inf))


def robust_sigma(values: ArrayLike) -> float:
    """1.4826 times the median absolute deviation; NaN for nothing."""
    v = np.asarray(values, dtype=np.float64).ravel()
    return float(mad_std(v)) if v.size else float("nan")


@dataclass(frozen=True)
class TruthMatch:
    """One-to-one pairs of truth rows and measured rows.

    Attributes
    ----------
    truth, measured : (k,)
        Row numbers of the pairs.
    false : (m,)
        Measured rows further than ``false_px`` from every true star.
    inside : (n_truth,), bool
        Truth rows away from the edges; only these count.
    """

    truth: IntArray
    measured: IntArray
    false: IntArray
    inside: NDArray[np.bool_]
    measured_inside: NDArray[np.bool_]

    @property
    def found(self) -> NDArray[np.bool_]:
        """(n_truth,): whether the star was found."""
        mask = np.zeros(self.inside.size, dtype=bool)
        mask[self.truth] = True
        return mask


@dataclass(frozen=True)
class PhotometryReport:
    """How good a measured list is.

    Attributes
    ----------
    completeness
        Share of true stars found in each S/N bin of ``SNR_BINS``; and of all above S/N 10.
    false_fraction
        Measured sources with no true star within 2 pixels.
    flux_factor
        Median F/F_true of bright isolated stars: the aperture correction applied before what follows.
    flux_bias, flux_bias_isolated
        Median relative error at S/N > 10.
    flux_scatter, flux_scatter_isolated
        Robust scatter over the Cramer-Rao bound at S/N > 10.
    flux_scatter_faint
        The same for isolated stars of S/N 10 to 30.
    position_scatter
        Robust scatter per axis over the bound, isolated unsaturated stars of S/N > 60, after a shift common to all.
    pull_median, pull_sigma
        Of (F - F_true)/quoted error, isolated stars of S/N > 10; NaN without errors.
    position_pull_sigma
        Of the positions, with quoted errors; NaN without.
    """

    n_measured: int
    n_true: int
    completeness: dict[str, float]
    completeness_above_10: float
    false_fraction: float
    flux_factor: float
    flux_bias: float
    flux_bias_isolated: float
    flux_scatter: float
    flux_scatter_isolated: float
    flux_scatter_faint: float
    position_scatter: float
    pull_median: float
    pull_sigma: float
    position_pull_sigma: float


def match_to_truth(
    truth: Table,
    x: ArrayLike,
    y: ArrayLike,
    *,
    shape: tuple[int, int],
    radius_px: float = 1.2,
    false_px: float = 2.0,
    edge_px: float = 15.0,
) -> TruthMatch:
    """Pair measured places with true stars: mutually nearest within ``radius_px``. NaN places never match."""
    places = np.stack([np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)], axis=1)
    stars = np.stack([truth["x"], truth["y"]], axis=1).astype(np.float64)
    inside, measured_inside = (_inside(p, shape, edge_px) for p in (stars, places))
    usable = np.flatnonzero(np.isfinite(places).all(axis=1))
    empty = np.zeros(0, dtype=np.int64)
    if usable.size == 0 or len(stars) == 0:
        return TruthMatch(empty, empty, usable, inside, measured_inside)
    distance, nearest = cKDTree(places[usable]).query(stars)
    back_distance, back = cKDTree(stars).query(places[usable])
    mutual = (distance < radius_px) & (back[nearest] == np.arange(len(stars)))
    rows = np.flatnonzero(mutual & inside)
    false = usable[(back_distance > false_px) & measured_inside[usable]]
    return TruthMatch(rows, usable[nearest[rows]], false, inside, measured_inside)


def completeness(truth: Table, match: TruthMatch, snr_min: float, snr_max: float = np.inf) -> float:
    """Share of the stars with S/N in [min, max) that were found; NaN when there are none."""
    snr = np.asarray(truth["snr"])
    asked = match.inside & (snr >= snr_min) & (snr < snr_max)
    return float(match.found[asked].mean()) if asked.any() else float("nan")


def photometry_report(
    truth: Table,
    x: ArrayLike,
    y: ArrayLike,
    flux_e: ArrayLike,
    *,
    shape: tuple[int, int],
    flux_err_e: ArrayLike | None = None,
    x_err: ArrayLike | None = None,
    y_err: ArrayLike | None = None,
    radius_px: float = 1.2,
) -> PhotometryReport:
    """Judge a measured list against the truth table of a simulated frame."""
    x, y, flux = (np.asarray(v, dtype=np.float64) for v in (x, y, flux_e))
    match = match_to_truth(truth, np.where(np.isfinite(flux), x, np.nan), y, shape=shape, radius_px=radius_px)
    t, m = match.truth, match.measured
    snr, isolated = np.asarray(truth["snr"])[t], np.asarray(truth["isolated"])[t]
    clean = ~np.asarray(truth["saturated"])[t]
    true, bound = np.asarray(truth["flux_e"])[t], np.asarray(truth["flux_crlb_e"])[t]
    bright, good = clean & isolated & (snr > 60), clean & (snr > 10)
    factor = float(np.median(flux[m][bright] / true[bright])) if bright.any() else 1.0
    error = flux[m] / factor - true
    faint = good & isolated & (snr < 30)
    place_bound = np.asarray(truth["position_crlb_px"])[t]
    dx, dy = x[m] - np.asarray(truth["x"])[t], y[m] - np.asarray(truth["y"])[t]
    pulls = np.full(t.size, np.nan) if flux_err_e is None else error * factor / np.asarray(flux_err_e)[m]
    place_pulls = [
        np.full(t.size, np.nan) if e is None else d / np.asarray(e)[m] for d, e in ((dx, x_err), (dy, y_err))
    ]
    chosen = good & isolated
    return PhotometryReport(
        n_measured=int(x.size),
        n_true=len(truth),
        completeness={f"{lo:g}-{hi:g}": completeness(truth, match, lo, hi) for lo, hi in SNR_BINS},
        completeness_above_10=completeness(truth, match, 10),
        false_fraction=match.false.size / max(1, int(match.measured_inside.sum())),
        flux_factor=factor,
        flux_bias=_median(error[good] / true[good]),
        flux_bias_isolated=_median(error[chosen] / true[chosen]),
        flux_scatter=robust_sigma(error[good] / bound[good]),
        flux_scatter_isolated=robust_sigma(error[chosen] / bound[chosen]),
        flux_scatter_faint=robust_sigma(error[faint] / bound[faint]),
        position_scatter=robust_sigma(_centred(dx, dy, bright) / place_bound[bright]),
        pull_median=_median(pulls[chosen]),
        pull_sigma=robust_sigma(pulls[chosen]),
        position_pull_sigma=robust_sigma(np.stack([p[bright] - _median(p[bright]) for p in place_pulls])),
    )


def separation_mas(
    ra: ArrayLike, dec: ArrayLike, ra_true: ArrayLike, dec_true: ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """(east, north) of small offsets, mas; safe across RA = 0."""
    d_ra = (np.asarray(ra) - np.asarray(ra_true) + 180.0) % 360.0 - 180.0
    cos_dec = np.cos(np.radians(np.asarray(dec_true)))
    return d_ra * cos_dec * 3.6e6, (np.asarray(dec) - np.asarray(dec_true)) * 3.6e6


@dataclass(frozen=True)
class SolutionError:
    """A WCS minus the true one on a grid of pixels, mas."""

    rms_axis_mas: float
    max_mas: float
    mean_shift_mas: float


def solution_error(wcs: WCS, true_wcs: WCS, shape: tuple[int, int], *, n: int = 60) -> SolutionError:
    """Compare two WCS on an n x n grid over the frame (ny, nx); the rms is per axis."""
    ny, nx = shape
    x, y = (g.ravel() for g in np.meshgrid(np.linspace(0, nx - 1, n), np.linspace(0, ny - 1, n)))
    east, north = separation_mas(*wcs.all_pix2world(x, y, 0), *true_wcs.all_pix2world(x, y, 0))
    return SolutionError(
        rms_axis_mas=float(np.sqrt(np.mean((east**2 + north**2) / 2))),
        max_mas=float(np.hypot(east, north).max()),
        mean_shift_mas=float(np.hypot(east.mean(), north.mean())),
    )


def solution_floor(
    truth: Table, camera: Camera, degree: int, *, snr_min: float = 10.0, sigma_sys_mas: float = 0.0, n: int = 60
) -> float:
    """Rms per axis [mas] of the best polynomial solution of a degree: the Fisher floor.

    Notes
    -----
    Every unsaturated star above ``snr_min`` is taken at its Cramer-Rao bound (plus ``sigma_sys_mas`` in quadrature),
    reference positions as exact; the mean variance of b^T (X^T W X)^-1 b over an n x n grid of pixels.
    """
    used = truth[(np.asarray(truth["snr"]) > snr_min) & ~np.asarray(truth["saturated"])]
    sigma = np.hypot(np.asarray(used["position_crlb_px"]) * camera.scale_arcsec * 1000, sigma_sys_mas)
    design = _legendre(*camera.normalised(np.asarray(used["x"]), np.asarray(used["y"])), degree) / sigma[:, None]
    _, upper = np.linalg.qr(design)
    gx, gy = (g.ravel() for g in np.meshgrid(np.linspace(-1, 1, n), np.linspace(-1, 1, n)))
    whitened = np.linalg.solve(upper.T, _legendre(gx, gy, degree).T)
    return float(np.sqrt(np.mean(np.sum(whitened**2, axis=0))))


@dataclass(frozen=True)
class StarError:
    """Stars of one S/N bin carried to the sky: scatter per axis against the bound."""

    n: int
    rms_mas: float
    mad_mas: float
    floor_mas: float
    mad_over_floor: float


def star_errors(
    wcs: WCS,
    x: ArrayLike,
    y: ArrayLike,
    truth: Table,
    camera: Camera,
    *,
    radius_px: float = 1.5,
    bins: tuple[tuple[float, float], ...] = SNR_BINS,
) -> dict[str, StarError]:
    """Errors of centroids carried to the sky by a WCS, by S/N bin; bins with fewer than 5 stars are left out."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    match = match_to_truth(truth, x, y, shape=camera.shape, radius_px=radius_px, edge_px=0.0)
    stars = truth[match.truth]
    ra, dec = wcs.all_pix2world(x[match.measured], y[match.measured], 0)
    offsets = np.stack(separation_mas(ra, dec, stars["ra"], stars["dec"]))
    floor = np.asarray(stars["position_crlb_px"]) * camera.scale_arcsec * 1000
    clean, snr = ~np.asarray(stars["saturated"]), np.asarray(stars["snr"])
    result = {}
    for lo, hi in bins:
        chosen = clean & (snr >= lo) & (snr < hi)
        if chosen.sum() >= 5:
            part = offsets[:, chosen]
            result[f"{lo:g}-{hi:g}"] = StarError(
                n=int(chosen.sum()),
                rms_mas=float(np.sqrt(np.mean(part**2))),
                mad_mas=robust_sigma(part),
                floor_mas=float(np.sqrt(np.mean(floor[chosen] ** 2))),
                mad_over_floor=robust_sigma(part / floor[chosen]),
            )
    return result


def _legendre(u: FloatArray, v: FloatArray, degree: int) -> FloatArray:
    """(n, terms): products of Legendre polynomials of total degree up to ``degree``."""
    a, b = np.polynomial.legendre.legvander(u, degree), np.polynomial.legendre.legvander(v, degree)
    return np.stack([a[:, i] * b[:, j] for i in range(degree + 1) for j in range(degree + 1 - i)], axis=1)


def _inside(places: FloatArray, shape: tuple[int, int], edge_px: float) -> NDArray[np.bool_]:
    """Whether places (n, 2) lie further than ``edge_px`` from the borders."""
    ny, nx = shape
    x, y = places.T
    return np.asarray((x > edge_px - 0.5) & (x < nx - 0.5 - edge_px) & (y > edge_px - 0.5) & (y < ny - 0.5 - edge_px))


def _centred(dx: FloatArray, dy: FloatArray, chosen: NDArray[np.bool_]) -> FloatArray:
    """(2, k): offsets of the chosen stars after their median shift is removed."""
    return np.stack([d[chosen] - _median(d[chosen]) for d in (dx, dy)])


def _median(values: FloatArray) -> float:
    """Median; NaN for nothing."""
    return float(np.median(values)) if values.size else float("nan")
