"""Detection with a matched filter on a signal-to-noise map, and DAOFIND's shape statistics.

For noise of known size and a kernel K of the PSF's shape, ``sum K d / sum K^2`` is the minimum-variance estimate of the
flux of a star at a pixel, and ``sum K d / sqrt(sum K^2 sigma^2)`` its signal to noise. Masked pixels leave both sums.

References
----------
Turin (1960), IRE Trans. Inf. Theory 6, 311 (matched filter).
Stetson (1987), PASP 99, 191 (DAOFIND: sharpness, roundness).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from photometry_service.algorithms.detection import _matched_filter
from photometry_service.algorithms.detection.shape_statistics import gaussian_kernel
from photometry_service.domain.psf import FloatArray, Sources

__all__ = [
    "LARGEST_HALF_PX",
    "MatchedFilter",
    "detect_sources",
    "filter_flux",
    "gaussian_filter",
    "matched_filter",
    "maxima",
    "merge_saturated",
    "snr_map",
    "start_flux",
]

FloatImage = NDArray[np.float32]
Mask = NDArray[np.uint8]

FWHM_PER_SIGMA = 2.3548200450309493
KERNEL_ENERGY = 0.9995
"""Share of sum K^2 that the separable sum must hold; a round PSF reaches it with two terms, a diagonal trail with more."""
LARGEST_RANK = 6
LARGEST_HALF_PX = 24


@dataclass(frozen=True, eq=False)
class MatchedFilter:
    """A kernel as a sum of separable terms.

    Attributes
    ----------
    kernel : (k, k), fraction of a star's flux in each pixel around its centre
        The separable sum itself, so that everything refers to the same kernel.
    along_y, along_x : (rank, k)
    variance_y, variance_x : (k,)
        Separable approximation of ``kernel**2``, for the variance of subtracted models.
    """

    kernel: FloatImage
    along_y: FloatImage
    along_x: FloatImage
    variance_y: FloatImage
    variance_x: FloatImage

    @property
    def half_px(self) -> int:
        """Half size; no source is searched this close to an edge."""
        return self.kernel.shape[0] // 2

    @property
    def squares(self) -> FloatImage:
        """(k, k): kernel squared."""
        return self.kernel**2

    @property
    def noise_factor(self) -> float:
        """One sigma of the filter flux for unit noise per pixel."""
        return 1 / sqrt(float(np.sum(self.kernel.astype(np.float64) ** 2)))


def matched_filter(kernel: FloatArray) -> MatchedFilter:
    """Separate a kernel (k, k), k odd and 5 to 49, into the sum of few products of rows and columns (SVD)."""
    size = kernel.shape[0]
    if kernel.shape != (size, size) or size % 2 == 0 or not 5 <= size <= 2 * LARGEST_HALF_PX + 1:
        raise ValueError(f"a kernel must be square, odd and 5 to {2 * LARGEST_HALF_PX + 1} pixels wide: {kernel.shape}")
    u, w, v = np.linalg.svd(np.asarray(kernel, dtype=np.float64))
    energy = np.cumsum(w**2) / np.sum(w**2)
    rank = int(np.clip(np.searchsorted(energy, KERNEL_ENERGY) + 1, 2, LARGEST_RANK))
    along_y = np.ascontiguousarray((u[:, :rank] * w[:rank]).T, dtype=np.float32)
    along_x = np.ascontiguousarray(v[:rank], dtype=np.float32)
    separable = (along_y.T @ along_x).astype(np.float32)
    u2, w2, v2 = np.linalg.svd(separable.astype(np.float64) ** 2)
    root = np.sqrt(w2[0])
    variance_y, variance_x = np.abs(u2[:, 0] * root).astype(np.float32), np.abs(v2[0] * root).astype(np.float32)
    return MatchedFilter(separable, along_y, along_x, variance_y, variance_x)


def snr_map(
    image: FloatImage,
    rms: FloatImage,
    kernel: MatchedFilter,
    mask: Mask,
    *,
    frame: FloatImage | None = None,
    shot_noise: float = 1.0,
    model_error: float = 0.03,
    out: FloatImage | None = None,
) -> FloatImage:
    """Signal to noise of a star centred at each pixel.

    Parameters
    ----------
    image : (ny, nx)
        Background subtracted; with ``frame`` the residual after subtraction of all models. Masked pixels may be NaN.
    rms : (ny, nx), one sigma per pixel without the sources
        Where it is not positive nothing is searched.
    mask : (ny, nx), uint8, not zero = no weight
    frame : (ny, nx) or None
        The frame before subtraction: ``frame - image`` is the model M, and the variance becomes
        ``rms^2 + shot_noise M + (model_error M)^2``.
    shot_noise : variance per unit of signal; 1 for electrons
    out : (ny, nx) or None, memory for the result

    Returns
    -------
    (ny, nx)
        Zero within the kernel of the edges and where less than 0.4 of the kernel's squares is left by the mask.
    """
    result = np.zeros_like(image) if out is None else out
    if min(image.shape) < kernel.kernel.shape[0] + 2:
        result[:] = 0
        return result
    _matched_filter.matched_filter(
        image, image if frame is None else frame, frame is not None, mask, rms, kernel.along_y, kernel.along_x,
        kernel.variance_y, kernel.variance_x, kernel.squares, shot_noise, model_error**2, result,
    )  # fmt: skip
    return result


def maxima(snr: FloatImage, threshold: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the 3 x 3 maxima above a threshold, in reading order."""
    room = max(1024, snr.size // 32)
    while True:
        y, x = np.empty(room, dtype=np.intp), np.empty(room, dtype=np.intp)
        found = _matched_filter.find_maxima(snr, threshold, y, x)
        if found <= room:
            return y[:found].copy(), x[:found].copy()
        room = found


def filter_flux(
    image: FloatImage, mask: Mask, kernel: MatchedFilter, y: NDArray[np.intp], x: NDArray[np.intp]
) -> FloatImage:
    """(n,): sum K d / sum K^2 over the good pixels around given pixels; NaN without a good pixel."""
    out = np.empty(y.size, dtype=np.float32)
    y, x = np.ascontiguousarray(y, dtype=np.intp), np.ascontiguousarray(x, dtype=np.intp)
    _matched_filter.filter_flux(image, mask, kernel.kernel, y, x, out)
    return out


def start_flux(image: FloatImage, unusable: Mask, kernel: MatchedFilter, x: FloatArray, y: FloatArray) -> FloatArray:
    """(n,): filter flux at the pixels nearest to positions on the frame; 0 where no pixel is usable."""
    iy = np.clip(np.rint(y), 0, image.shape[0] - 1).astype(np.intp)
    ix = np.clip(np.rint(x), 0, image.shape[1] - 1).astype(np.intp)
    return np.nan_to_num(filter_flux(image, unusable, kernel, iy, ix).astype(np.float64))


def detect_sources(
    image: FloatImage,
    snr: FloatImage,
    kernel: MatchedFilter,
    mask: Mask,
    threshold: float,
    saturated: NDArray[np.bool_] | None = None,
) -> Sources:
    """Sources at the maxima of an S/N map, in reading order.

    Positions are those of the parabola through each maximum and its neighbours along x and y; fluxes are the filter's.
    With ``saturated`` each saturated area counts as one source, see ``merge_saturated``.
    """
    y, x = maxima(snr, threshold)
    value = snr[y, x]
    sources = Sources(
        x=x + _parabola(snr[y, x - 1], value, snr[y, x + 1]),
        y=y + _parabola(snr[y - 1, x], value, snr[y + 1, x]),
        flux=filter_flux(image, mask, kernel, y, x).astype(np.float64),
        snr=value.astype(np.float64),
    )
    return sources if saturated is None else merge_saturated(sources, saturated)


def merge_saturated(sources: Sources, saturated: NDArray[np.bool_]) -> Sources:
    """Replace the detections inside each saturated area by one at its centre, unless there is exactly one.

    A flat top has many maxima or none. Areas below 4 pixels, and thin ones (bad columns, one pixel wide or 20 times
    as long as wide), are left as they are.
    """
    areas = _areas(saturated)
    if not areas:
        return sources
    iy = np.clip(np.rint(sources.y).astype(np.intp), 0, saturated.shape[0] - 1)
    ix = np.clip(np.rint(sources.x).astype(np.intp), 0, saturated.shape[1] - 1)
    inside = _area_of(iy, ix, areas, saturated.shape[1])
    members = np.bincount(inside, minlength=len(areas) + 1)
    keep = np.ones(len(sources), dtype=bool)
    centres: list[tuple[float, float, float, float]] = []
    for number, (rows, columns) in enumerate(areas, start=1):
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        thin = min(height, width) == 1 or max(height, width) > 20 * min(height, width)
        if members[number] == 1 or rows.size < 4 or thin:
            continue
        mine = inside == number
        keep &= ~mine
        flux = float(np.nanmax(sources.flux[mine])) if mine.any() else float("nan")
        snr = float(np.nanmax(sources.snr[mine])) if mine.any() else float("nan")
        centres.append((float(np.median(columns)), float(np.median(rows)), flux, snr))
    kept = sources.take(keep)
    added = np.array(centres, dtype=np.float64).reshape(-1, 4)
    return Sources(*(np.concatenate([old, new]) for old, new in zip(
        (kept.x, kept.y, kept.flux, kept.snr), added.T, strict=True)))  # fmt: skip


def _area_of(
    iy: NDArray[np.intp], ix: NDArray[np.intp], areas: list[tuple[NDArray[np.intp], NDArray[np.intp]]], width: int
) -> NDArray[np.intp]:
    """(n,): number of the area, from 1, that holds a pixel; 0 for none."""
    flat = np.concatenate([rows * width + columns for rows, columns in areas])
    owner = np.repeat(np.arange(1, len(areas) + 1), [rows.size for rows, _ in areas])
    order = np.argsort(flat)
    place = iy * width + ix
    at = order[np.minimum(np.searchsorted(flat, place, sorter=order), flat.size - 1)]
    return np.where(flat[at] == place, owner[at], 0)


def _areas(saturated: NDArray[np.bool_]) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Rows and columns of the pixels of each connected area (eight neighbours); none if a tenth of the frame is."""
    flat = np.flatnonzero(saturated)
    if flat.size == 0 or flat.size > saturated.size // 10:
        return []
    width = saturated.shape[1]
    rows, columns = np.divmod(flat, width)
    pairs = []
    for step, right in ((1, 1), (width - 1, -1), (width, 0), (width + 1, 1)):
        at = np.minimum(np.searchsorted(flat, flat + step), flat.size - 1)
        pairs.append(np.flatnonzero((flat[at] == flat + step) & (columns[at] - columns == right)))
        pairs.append(at[pairs[-1]])
    one, other = np.concatenate(pairs[0::2]), np.concatenate(pairs[1::2])
    graph = coo_array((np.ones(one.size, dtype=bool), (one, other)), shape=(flat.size, flat.size))
    count, number = connected_components(graph, directed=False)
    order = np.argsort(number, kind="stable")
    edges = np.searchsorted(number[order], np.arange(count + 1))
    return [(rows[order[a:b]], columns[order[a:b]]) for a, b in pairwise(edges)]


def gaussian_filter(covariance: FloatArray) -> MatchedFilter:
    """Matched filter of a Gaussian of given covariance (2, 2), pixels^2, x first; half size 1.25 FWHM of the major axis."""
    sigma = sqrt(float(np.linalg.eigvalsh(covariance)[-1]))
    half = int(np.clip(round(1.15 * FWHM_PER_SIGMA * sigma), 2, LARGEST_HALF_PX))
    kernel = gaussian_kernel(covariance, half)
    return matched_filter(kernel / kernel.sum())


def _parabola(before: FloatImage, here: FloatImage, after: FloatImage) -> FloatArray:
    """Offset of the vertex of the parabola through three points one pixel apart, at most half a pixel."""
    curvature = np.minimum(before + after - 2.0 * here, -1e-6 * np.abs(here) - 1e-30)
    return np.clip(0.5 * (before - after) / curvature, -0.5, 0.5).astype(np.float64)
