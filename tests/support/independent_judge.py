"""A measured list against the truth of a frame of `independent_sky`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from independent_sky import Truth

FloatArray = NDArray[np.float64]

EDGE_PX = 15.0
"""Stars and sources nearer to the edge are not judged."""
GALAXY_PX = 15.0
"""What lies nearer to a galaxy is its, and not judged."""
FALSE_PX = 2.0
DOUBTFUL = 2 | 4 | 8 | 16 | 32
"""Blended, saturated, truncated, incomplete: the flags that say so."""
PLACE_NOISE_PX = 0.002
SHIFT_DEGREE = 3
"""Of a smooth map of the field that positions may be off by: where a comatic star is, is a convention."""


@dataclass(frozen=True)
class Measured:
    """Columns of a measured list; errors, flags and calibrated magnitudes where there are some."""

    x: FloatArray
    y: FloatArray
    flux: FloatArray
    flux_err: FloatArray
    x_err: FloatArray
    y_err: FloatArray
    flags: NDArray[np.int64]
    mag: FloatArray

    @classmethod
    def of(cls, columns: dict[str, NDArray[np.float64]]) -> Measured:
        """From columns by name; a source without a place is left out."""
        x = np.asarray(columns["x"], np.float64)
        nothing = np.full(x.size, np.nan)
        names = ("y", "flux", "flux_err", "x_err", "y_err", "mag")
        parts = {name: np.asarray(columns.get(name, nothing), np.float64) for name in names}
        parts |= {"x": x, "flags": np.asarray(columns.get("flags", np.zeros(x.size)), np.int64)}
        keep = np.isfinite(x) & np.isfinite(parts["y"])
        return cls(**{name: values[keep] for name, values in parts.items()})


@dataclass(frozen=True)
class Judgement:
    """Figures of one list.

    Attributes
    ----------
    n : sources
    false_share : sources that are nothing, of all
    complete, complete_faint : share of stars above S/N 10, and of S/N 5 to 10, that were found
    flux_ratio : median of measured over true flux, isolated clean stars above S/N 30
    scatter : robust, of the flux over its bound, isolated above S/N 10, after that common ratio
    pull_sigma, pull_median : of the flux, isolated above S/N 10, as it stands
    pull_sigma_scaled : after the common ratio
    place_pull_sigma : of x and y together, after a smooth map of the field
    mag_offset : median of calibrated minus true, isolated above S/N 30
    residual : per true star, of the flux after the common ratio, in bounds; NaN but for isolated ones above S/N 10
    """

    n: int
    false_share: float
    complete: float
    complete_faint: float
    flux_ratio: float
    scatter: float
    pull_sigma: float
    pull_median: float
    pull_sigma_scaled: float
    place_pull_sigma: float
    mag_offset: float
    residual: FloatArray


def judge(truth: Truth, measured: Measured) -> Judgement:
    """Pair one to one and compare."""
    stars = truth.stars
    own = np.column_stack([stars.x, stars.y])
    there = np.column_stack([measured.x, measured.y])
    radius = max(1.2, 0.5 * truth.fwhm_px)
    true_inside = _inside(own, truth) & _far_from_galaxies(own, truth)
    inside = _inside(there, truth) & _far_from_galaxies(there, truth)
    if not len(there):
        nan = float("nan")
        return Judgement(0, nan, 0.0, 0.0, *[nan] * 7, np.full(len(own), nan))
    false = inside & (cKDTree(own).query(there)[0] > FALSE_PX)
    t, m = _pairs(own, there, radius)
    found = np.zeros(len(own), bool)
    found[t] = True
    snr, isolated = stars.snr[t], (stars.isolated & ~stars.saturated & true_inside)[t]
    clean = isolated & (measured.flags[m] & DOUBTFUL == 0) & np.isfinite(measured.flux[m])
    good, bright = clean & (snr > 10), clean & (snr > 30)
    flux, flux_err, true = measured.flux[m], measured.flux_err[m], stars.flux_e[t]
    ratio = _median(flux[bright] / true[bright])
    scaled = flux / ratio - true
    places = there[m] - own[t]
    residual = np.full(len(own), np.nan)
    residual[t[good]] = scaled[good] / stars.flux_bound_e[t][good]
    smooth = _smooth(own[t], places, bright, np.hypot(PLACE_NOISE_PX, 0.6 * truth.fwhm_px / snr), truth)
    place_errors = np.column_stack([measured.x_err[m], measured.y_err[m]])
    return Judgement(
        n=len(there),
        false_share=float(false.sum() / max(1, inside.sum())),
        complete=_mean(found[true_inside & (stars.snr > 10)]),
        complete_faint=_mean(found[true_inside & (stars.snr > 5) & (stars.snr <= 10)]),
        flux_ratio=ratio,
        scatter=robust_sigma(residual),
        pull_sigma=robust_sigma((flux - true)[good] / flux_err[good]),
        pull_median=_median((flux - true)[good] / flux_err[good]),
        pull_sigma_scaled=robust_sigma(scaled[good] * ratio / flux_err[good]),
        place_pull_sigma=robust_sigma((places - smooth)[good] / place_errors[good]),
        mag_offset=_median(_finite(measured.mag[m][bright] - stars.mag[t][bright])),
        residual=residual,
    )


@dataclass(frozen=True)
class Ring:
    """What was found within a range of distances from the centre of a frame.

    Attributes
    ----------
    n : true stars above S/N 10
    complete : share of them that was found
    false_share : of the sources there
    flux_ratio, flux_scatter : median and robust sigma of measured over true flux of those found
    """

    n: int
    complete: float
    false_share: float
    flux_ratio: float
    flux_scatter: float


def judge_ring(truth: Truth, measured: Measured, inner_px: float, outer_px: float) -> Ring:
    """Pair as `judge` does, crowded stars included."""
    stars, centre = truth.stars, (np.array(truth.shape[::-1]) - 1) / 2
    own, there = np.column_stack([stars.x, stars.y]), np.column_stack([measured.x, measured.y])
    t, m = _pairs(own, there, max(1.2, 0.5 * truth.fwhm_px))
    found = np.zeros(len(own), bool)
    found[t] = True
    wanted = _ring(own - centre, inner_px, outer_px) & (stars.snr > 10) & ~stars.saturated
    sources = _ring(there - centre, inner_px, outer_px)
    false = sources & (cKDTree(own).query(there)[0] > FALSE_PX)
    ratio = _finite((measured.flux[m] / stars.flux_e[t])[wanted[t]])
    return Ring(
        int(wanted.sum()), _mean(found[wanted]), _mean(false[sources]), _median(ratio), robust_sigma(ratio)
    )  # fmt: skip


def _ring(from_centre: FloatArray, inner_px: float, outer_px: float) -> NDArray[np.bool_]:
    distance = np.hypot(*from_centre.T)
    return np.asarray((distance >= inner_px) & (distance < outer_px))


def robust_sigma(values: FloatArray) -> float:
    """1.4826 times the median absolute deviation; NaN for fewer than five."""
    v = _finite(np.ravel(values))
    return float(1.4826 * np.median(np.abs(v - np.median(v)))) if v.size >= 5 else float("nan")


def _pairs(own: FloatArray, there: FloatArray, radius: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    distance, nearest = cKDTree(there).query(own)
    _, back = cKDTree(own).query(there)
    t = np.flatnonzero((distance < radius) & (back[nearest] == np.arange(len(own))))
    return t, nearest[t]


def _inside(places: FloatArray, truth: Truth) -> NDArray[np.bool_]:
    limits = np.array(truth.shape[::-1]) - 1 - EDGE_PX
    return np.asarray(((places >= EDGE_PX) & (places <= limits)).all(axis=1))


def _far_from_galaxies(places: FloatArray, truth: Truth) -> NDArray[np.bool_]:
    galaxies = np.column_stack([truth.galaxies.x, truth.galaxies.y])
    if not len(galaxies) or not len(places):
        return np.ones(len(places), bool)
    return np.asarray(cKDTree(galaxies).query(places)[0] > GALAXY_PX)


def _smooth(
    own: FloatArray, off: FloatArray, bright: NDArray[np.bool_], error_px: FloatArray, truth: Truth
) -> FloatArray:
    """(k, 2): a weighted polynomial of the field through the offsets of bright stars, clipped once."""
    u, v = (2 * own / np.array(truth.shape[::-1]) - 1).T
    terms = np.stack([u**i * v**j for i in range(SHIFT_DEGREE + 1) for j in range(SHIFT_DEGREE + 1 - i)], axis=1)
    kept = bright.copy()
    for _ in range(2):
        if kept.sum() < 3 * terms.shape[1]:
            return np.zeros_like(off)
        weights = 1 / error_px[kept, None]
        coefficients = np.linalg.lstsq(weights * terms[kept], weights * off[kept], rcond=None)[0]
        left = np.abs(off - terms @ coefficients).max(axis=1) / error_px
        kept = bright & (left < 5 * np.median(left[kept]))
    return np.asarray(terms @ coefficients)


def _finite(values: FloatArray) -> FloatArray:
    return values[np.isfinite(values)]


def _median(values: FloatArray) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _mean(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")
