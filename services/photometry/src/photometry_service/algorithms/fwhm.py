"""Width of stars: Gaussians on marginal sums, and a quick guess that needs no detection.

The Gaussian width is what observers are used to, and it is too large on profiles with wings (a Moffat of beta 3 and
FWHM 3.22 px gives 3.97): a Gaussian fitted to sums over 15 px sees the wings as width. The width of the PSF model is
the true one; both are reported.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astro_shared.science.robust_statistics import mad_std
from photometry_service.algorithms import _fwhm

__all__ = [
    "FwhmHistogram",
    "MarginalFwhm",
    "bright_peaks",
    "fwhm_histogram",
    "guess_fwhm",
    "marginal_fwhm",
    "measure_marginals",
]

FWHM_PER_SIGMA = float(2 * np.sqrt(2 * np.log(2)))

MAX_STARS = 1000
"""Brightest stars used."""

BOX_HALF_PX = 7
"""Sums over 15 px."""

CLIP_SIGMA = 3.0

GUESS_TILE_PX = 32
GUESS_HALF_PX = 8
GUESS_MIN_SNR = 20.0
GUESS_STARS = 300
GUESS_MIN_STARS = 8

PIXEL_BROADENING_PX2 = 1.55
"""What the pixel adds to the square of that width; from simulated Moffat stars of 1.2 to 3.2 px (1.3 to 1.9)."""


@dataclass(frozen=True)
class FwhmHistogram:
    """Counts of stars by width, with the product of a plot in mind.

    Attributes
    ----------
    edges_px : (n + 1,), FWHM
    counts : (n,)
    """

    edges_px: NDArray[np.float64]
    counts: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class MarginalFwhm:
    """Width of a frame from its stars.

    Attributes
    ----------
    fwhm_px : clipped median of sqrt(fwhm_x fwhm_y), NaN without stars
    fwhm_err_px : one sigma of that median, 1.2533 robust sigma / sqrt(n)
    fwhm_x_px, fwhm_y_px : clipped medians along the axes
    star_fwhm_px : (n,) geometric mean of both axes per star, NaN where there is no fit
    used : (n,), True where the star survived clipping
    """

    fwhm_px: float
    fwhm_err_px: float
    fwhm_x_px: float
    fwhm_y_px: float
    star_fwhm_px: NDArray[np.float64]
    used: NDArray[np.bool_]

    @property
    def n_stars(self) -> int:
        """Stars that made the median."""
        return int(np.count_nonzero(self.used))


def measure_marginals(
    data: NDArray[np.float32],
    mask: NDArray[np.bool_] | None,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    *,
    half_px: int = BOX_HALF_PX,
) -> NDArray[np.float64]:
    """Fit A exp(-(t - mu)^2 / 2 sigma^2) to the column and row sums of a box around every star.

    Parameters
    ----------
    data : (ny, nx), electron, background subtracted
    mask : (ny, nx), True = bad
    x, y : (n,), pixels

    Returns
    -------
    (n, 4)
        x, y, fwhm_x, fwhm_y in pixels. NaN for a star whose box leaves the frame or holds a bad pixel, or whose fit
        does not settle.
    """
    out = np.empty((len(x), 4))
    plane = np.zeros(data.shape, np.uint8) if mask is None else np.ascontiguousarray(mask).view(np.uint8)
    column, row = (np.ascontiguousarray(np.rint(np.where(np.isfinite(p), p, -1e6)), dtype=np.int32) for p in (x, y))
    _fwhm.marginal_gaussians(np.ascontiguousarray(data, dtype=np.float32), plane, column, row, half_px, out)
    out[:, 2:] *= FWHM_PER_SIGMA
    return out


def marginal_fwhm(
    data: NDArray[np.float32],
    mask: NDArray[np.bool_] | None,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    *,
    half_px: int = BOX_HALF_PX,
) -> MarginalFwhm:
    """Clipped median width of stars; the caller picks unsaturated, isolated ones, the brightest first.

    Parameters
    ----------
    data, mask, x, y
        As for ``measure_marginals``; only the first 1000 stars are measured.

    Returns
    -------
    MarginalFwhm
        All NaN when no star could be fitted.
    """
    fits = measure_marginals(data, mask, np.asarray(x)[:MAX_STARS], np.asarray(y)[:MAX_STARS], half_px=half_px)
    star = np.full(len(x), np.nan)
    star[: len(fits)] = np.sqrt(fits[:, 2] * fits[:, 3])
    used = np.isfinite(star)
    while used.any():
        median = np.median(star[used])
        spread = mad_std(star[used], median)
        kept = used & (np.abs(star - median) <= CLIP_SIGMA * max(spread, 1e-6 * median))
        if kept.sum() == used.sum():
            break
        used = kept
    if not used.any():
        return MarginalFwhm(np.nan, np.nan, np.nan, np.nan, star, used)
    chosen = fits[used[: len(fits)]]
    spread = mad_std(star[used])
    return MarginalFwhm(
        fwhm_px=float(np.median(star[used])),
        fwhm_err_px=float(1.2533 * spread / np.sqrt(used.sum())),
        fwhm_x_px=float(np.median(chosen[:, 2])),
        fwhm_y_px=float(np.median(chosen[:, 3])),
        star_fwhm_px=star,
        used=used,
    )


def fwhm_histogram(fwhm: MarginalFwhm, bins: int = 40) -> FwhmHistogram:
    """Histogram of the star widths within 6 robust sigma of the median (at least 20 % of it)."""
    values = fwhm.star_fwhm_px[np.isfinite(fwhm.star_fwhm_px)]
    if values.size == 0:
        return FwhmHistogram(np.linspace(0.0, 1.0, bins + 1), np.zeros(bins, np.int64))
    half = max(6 * fwhm.fwhm_err_px * np.sqrt(max(fwhm.n_stars, 1)) / 1.2533, 0.2 * fwhm.fwhm_px)
    counts, edges = np.histogram(values, bins, (max(0.0, fwhm.fwhm_px - half), fwhm.fwhm_px + half))
    return FwhmHistogram(edges, counts)


def bright_peaks(data: NDArray[np.float32], mask: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the brightest pixel of each 32 px tile, where it stands 20 sigma above the frame's median.

    Parameters
    ----------
    data : (ny, nx), any unit, background included
    mask : (ny, nx), True = bad
    """
    tiles = np.empty([-(-n // GUESS_TILE_PX) for n in data.shape], np.int32)
    _fwhm.tile_peaks(np.ascontiguousarray(data), np.ascontiguousarray(mask).view(np.uint8), GUESS_TILE_PX, tiles, 2)
    peaks = tiles[tiles >= 0].astype(np.intp)
    level = np.median(data)
    sigma = mad_std(data, level)
    rows, columns = np.divmod(peaks[data.ravel()[peaks] > level + GUESS_MIN_SNR * sigma], data.shape[1])
    return rows, columns


def guess_fwhm(
    data: NDArray[np.float32], mask: NDArray[np.bool_] | None = None, *, saturation: float = np.inf
) -> float:
    """Rough width of the stars without a detection or a background map.

    Parameters
    ----------
    data : (ny, nx), any unit, background included
    mask : (ny, nx), True = bad
    saturation : in the unit of ``data``; peaks at or above it are left out

    Returns
    -------
    float
        FWHM before pixel integration, px, to about 10 %: ``sqrt(4 n / pi - 1.55)`` with n the mean number of pixels
        above half the peak, over the brightest peaks of 32 px tiles with a S/N above 20. NaN when there are fewer
        than 8 such peaks.
    """
    side = 2 * GUESS_HALF_PX + 1
    if min(data.shape) < 2 * side:
        return float("nan")
    plane = np.zeros(data.shape, np.uint8) if mask is None else np.ascontiguousarray(mask).view(np.uint8)
    tiles = np.empty([-(-n // GUESS_TILE_PX) for n in data.shape], np.int32)
    _fwhm.tile_peaks(np.ascontiguousarray(data, dtype=np.float32), plane, GUESS_TILE_PX, tiles, GUESS_HALF_PX)
    peaks = tiles[tiles >= 0]
    peaks = peaks[data.ravel()[peaks] < saturation]
    peaks = peaks[np.argsort(-data.ravel()[peaks], kind="stable")][: 3 * GUESS_STARS]
    j, i = np.divmod(peaks, data.shape[1])
    k = np.arange(-GUESS_HALF_PX, GUESS_HALF_PX + 1)
    window = (j[:, None, None] + k[:, None], i[:, None, None] + k)
    stamps, bad = data[window].astype(np.float64), plane[window] != 0
    rim = np.ones((side, side), np.bool_)
    rim[2:-2, 2:-2] = False
    level = np.median(stamps[:, rim], axis=1)
    sigma = mad_std(stamps[:, rim], level[:, None], axis=1)
    height = data.ravel()[peaks] - level
    core = stamps[:, GUESS_HALF_PX - 1 : GUESS_HALF_PX + 2, GUESS_HALF_PX - 1 : GUESS_HALF_PX + 2]
    is_peak = data.ravel()[peaks] >= core.max(axis=(1, 2))
    good = is_peak & ~bad.any(axis=(1, 2)) & (height > GUESS_MIN_SNR * sigma)
    if good.sum() < GUESS_MIN_STARS:
        return float("nan")
    chosen = np.flatnonzero(good)[:GUESS_STARS]
    near = np.hypot(*np.meshgrid(k, k)) <= GUESS_HALF_PX
    area = ((stamps[chosen] - level[chosen, None, None] > 0.5 * height[chosen, None, None]) & near).sum(axis=(1, 2))
    low, high = np.quantile(area, [0.1, 0.9])
    observed = 4 * area[(area >= low) & (area <= high)].mean() / np.pi
    return float(np.sqrt(max(observed - PIXEL_BROADENING_PX2, 0.25)))
