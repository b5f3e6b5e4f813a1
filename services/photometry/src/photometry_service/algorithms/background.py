"""Sky level and noise of a frame on a mesh, and their maps.

Every mesh gives a clipped mean, median and standard deviation from one histogram of its pixels; the level is
SExtractor's mode; a median filter takes out meshes spoilt by a bright object; cubic interpolation gives the maps.
In a second pass the pixels of the sources found above the first map are left out.

References
----------
Bertin & Arnouts (1996), A&AS 117, 393, section 3 (mesh, clipping, mode).
Da Costa (1992), ASP Conf. Ser. 23, 90 (mode from median and mean).
Keys (1981), IEEE Trans. ASSP 29, 1153 (cubic convolution).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from scipy.optimize import brentq
from scipy.special import erf

from photometry_service.algorithms import _background
from photometry_service.algorithms.background_map import Background, extend_linearly

__all__ = ["Background", "BackgroundOptions", "NoGoodPixelsError", "estimate_background", "mark_sources"]

MAX_MODE_SKEW = 0.3
"""Largest |mean - median| in sigma for which the mode is trusted (SExtractor)."""

COARSE_STEPS = 1.5
"""Sigma in steps of the digitisation below which the median alone is used: the mode magnifies its rounding."""

DIGITISED_SHARE, RARE_VALUE = 0.5, 0.05
"""Share of the pixels that common values must hold; where they hold fewer, the steps are too fine to matter. A value is
rare that is seen once, or this often for each time that the most common one is."""

MIN_MESH_PIXELS, MIN_MESH_SHARE, FEWEST_GOOD_MESHES = 16, 0.1, 0.5
"""Fewest good pixels, and share of them, that say anything about a mesh: enough where less than half of the meshes are
half good (sources fill the frame). A few meshes must not speak for all."""


class NoGoodPixelsError(ValueError):
    """No mesh has enough good pixels for a level."""


@dataclass(frozen=True)
class BackgroundOptions:
    """Parameters of the mesh.

    Attributes
    ----------
    box_px : meshes are as near to this as an even division of the frame allows. At least 10 FWHM.
    filter_size : meshes, odd; side of the median filter, 1 for none
    clip_sigma, max_iterations : clipping about the median, to convergence or for so many rounds
    estimator : ``sextractor`` (mode) or ``median``
    mask_sources : leave sources out in a second pass
    source_sigma : S/N of a 3x3 block above which the second pass leaves its surroundings out
    source_grow_px : pixels by which such a block is widened on all sides
    max_masked_fraction : share of masked pixels above which a mesh is filled from its neighbours
    """

    box_px: int = 64
    filter_size: int = 3
    clip_sigma: float = 3.0
    max_iterations: int = 10
    estimator: Literal["sextractor", "median"] = "sextractor"
    mask_sources: bool = True
    source_sigma: float = 4.0
    source_grow_px: int = 4
    max_masked_fraction: float = 0.5


def estimate_background(
    data: NDArray[np.float32], mask: NDArray[np.bool_] | None = None, options: BackgroundOptions | None = None
) -> Background:
    """Measure level and noise of a frame on a mesh.

    Parameters
    ----------
    data : (ny, nx), any unit of any scale, finite where not masked
    mask : (ny, nx), True = leave out
    options
        Defaults: box 64, 3x3 filter, 3-sigma clip, sources left out in a second pass.

    Returns
    -------
    Background
        In the unit of ``data``. The rms is the clipped standard deviation divided by what clipping takes from
        a Gaussian (1.5 % at 3 sigma). Meshes that are mostly masked or without any noise (padding of a stack) are
        filled from their neighbours; a constant frame has rms 0 everywhere.

    Raises
    ------
    NoGoodPixelsError
        No mesh has 16 good pixels.

    Notes
    -----
    Level = 2.5 median - 1.5 mean, or the median where |mean - median| > 0.3 sigma or where the digitisation is
    coarser than sigma / 1.5. Digitised values are counted
    in bins of whole steps and the median is interpolated inside its bin: the median of integers itself may be
    off by half a step, which the mode would multiply by 2.5.
    """
    options = options or BackgroundOptions()
    if mask is None:
        mask = np.zeros(data.shape, np.bool_)
    if mask.shape != data.shape:
        raise ValueError(f"mask is {mask.shape}, data are {data.shape}")
    data = np.ascontiguousarray(data, dtype=np.float32)
    quantum = _digitisation(data, mask)
    first = _measure(data, mask, options, quantum)
    if not options.mask_sources or not first.mesh_rms.any():
        return first
    sources = mark_sources(data, first, options.source_sigma, options.source_grow_px)
    try:
        return _measure(data, np.logical_or(sources, mask, out=sources), options, quantum)
    except NoGoodPixelsError:
        return first


def mark_sources(
    data: NDArray[np.float32], background: Background, threshold: float = 4.0, grow_px: int = 4
) -> NDArray[np.bool_]:
    """Pixels on and near sources: within ``grow_px`` of a 3x3 block whose sum is above ``threshold`` sigma.

    Parameters
    ----------
    data : (ny, nx), electron, background included
    background
        Its level is taken off; its rms sets the noise of a block, 3 rms.

    Returns
    -------
    (ny, nx), bool
    """
    if data.shape != background.shape:
        raise ValueError(f"background of a {background.shape} frame, data are {data.shape}")
    out = np.zeros(data.shape, np.uint8)
    nodes = np.ascontiguousarray(extend_linearly(background.mesh))
    pixels = np.ascontiguousarray(data, dtype=np.float32)
    _background.mark_sources(pixels, nodes, background.mesh_rms, *background.step_px, threshold, grow_px, out)
    return out.view(np.bool_)


def _measure(
    data: NDArray[np.float32],
    mask: NDArray[np.bool_],
    options: BackgroundOptions,
    quantum: tuple[float, float],
) -> Background:
    """One pass: statistics of the meshes, mode, filling, filter."""
    y_edges, x_edges = (_edges(n, options.box_px) for n in data.shape)
    size = (len(y_edges) - 1, len(x_edges) - 1)
    mean, median, sigma = (np.empty(size) for _ in range(3))
    used, unmasked = np.empty(size, np.int32), np.empty(size, np.int32)
    _background.mesh_statistics(
        data,
        np.ascontiguousarray(mask).view(np.uint8),
        y_edges,
        x_edges,
        options.clip_sigma,
        options.max_iterations,
        *quantum,
        mean,
        median,
        sigma,
        used,
        unmasked,
    )
    size_px = np.outer(np.diff(y_edges), np.diff(x_edges))
    good = unmasked >= np.maximum(1, (1 - options.max_masked_fraction) * size_px)
    if np.mean(good) < FEWEST_GOOD_MESHES:
        good = used >= np.maximum(MIN_MESH_PIXELS, MIN_MESH_SHARE * size_px)
    if not good.any():
        good = used >= MIN_MESH_PIXELS
    if not good.any():
        raise NoGoodPixelsError(f"no mesh of {options.box_px} px has {MIN_MESH_PIXELS} good pixels")
    level = _fill(_level(mean, median, sigma, quantum[0], options.estimator), good)
    noisy = good & (sigma > 0)
    rms = _fill(sigma, noisy) if noisy.any() else np.zeros(size)
    if options.filter_size > 1:
        level = _filter_level(level, options.filter_size)
        rms = median_filter(rms, options.filter_size, mode="nearest")
    return Background(
        mesh=level,
        mesh_rms=rms / _clipped_gaussian_sigma(options.clip_sigma),
        mesh_pixels=np.where(good, used, 0).astype(np.int32),
        shape=(data.shape[0], data.shape[1]),
        box_px=options.box_px,
    )


def _level(
    mean: NDArray[np.float64], median: NDArray[np.float64], sigma: NDArray[np.float64], step: float, estimator: str
) -> NDArray[np.float64]:
    """Mode of every mesh where it can be trusted, else the median."""
    if estimator == "median":
        return median
    use_median = (np.abs(mean - median) > MAX_MODE_SKEW * sigma) | (sigma < COARSE_STEPS * step)
    return np.where(use_median, median, 2.5 * median - 1.5 * mean)


def _edges(n: int, box: int) -> NDArray[np.int32]:
    """Borders of the meshes along one axis: an even division, so that none is a narrow remainder."""
    count = max(1, round(n / box))
    return np.round(np.linspace(0, n, count + 1)).astype(np.int32)


def _fill(values: NDArray[np.float64], good: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Replace bad nodes by the mean of their good neighbours, ring after ring."""
    values, good = np.where(good, values, 0.0), good.copy()
    while not good.all():
        padded, weight = np.pad(values * good, 1), np.pad(good.astype(np.float64), 1)
        windows = [(slice(j, j + good.shape[0]), slice(i, i + good.shape[1])) for j in range(3) for i in range(3)]
        total, count = (np.sum([plane[w] for w in windows], axis=0) for plane in (padded, weight))
        new = ~good & (count > 0)
        values[new] = total[new] / count[new]
        good |= new
    return values


def _filter_level(mesh: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Median filter that leaves a plane as it is, also at its edges and corners."""
    half = size // 2
    if min(mesh.shape) <= half:
        return np.asarray(median_filter(mesh, size, mode="nearest"))
    padded = np.pad(mesh, half, mode="reflect", reflect_type="odd")
    return np.asarray(median_filter(padded, size)[half:-half, half:-half])


def _digitisation(data: NDArray[np.float32], mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Step and offset of digitised data, in the unit of the data; (0, 0) when they are not digitised.

    Rare values do not count: mended pixels lie between the steps.
    """
    stride = max(1, data.size // 4096) | 1
    sample = data.ravel()[::stride][~mask.ravel()[::stride]].astype(np.float64)
    if sample.size < 64:
        return 0.0, 0.0
    low, high = np.quantile(sample, [0.02, 0.9])
    inner = sample[(sample >= low) & (sample <= high)]
    values, counts = np.unique(inner, return_counts=True)
    common = counts > max(1.0, RARE_VALUE * counts.max(initial=0))
    values, counts = values[common], counts[common]
    if values.size < 2 or counts.sum() < DIGITISED_SHARE * inner.size:
        return 0.0, 0.0
    resolution = 4 * np.finfo(np.float32).eps * np.abs(values).max()
    differences = np.diff(values)
    differences = differences[differences > resolution]
    if differences.size == 0:
        return 0.0, 0.0
    step = differences.min()
    steps = (values - values[0]) / step
    digitised = np.abs(steps - np.round(steps)).max() < 0.05 and step > 2 * resolution
    return (float(step), float(values[0])) if digitised else (0.0, 0.0)


@lru_cache
def _clipped_gaussian_sigma(clip: float) -> float:
    """Standard deviation of a unit Gaussian clipped at ``clip`` of its own clipped sigma, to convergence."""

    def truncated(sigma: float) -> float:
        a = clip * sigma
        return float(np.sqrt(1 - a * np.sqrt(2 / np.pi) * np.exp(-a * a / 2) / erf(a / np.sqrt(2))))

    return float(brentq(lambda s: truncated(s) - s, 0.3, 1.0)) if clip > 2 else 1.0
