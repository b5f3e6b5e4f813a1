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

__all__ = ["Background", "BackgroundOptions", "NoGoodPixelsError", "estimate_background", "mark_sources"]

MAX_MODE_SKEW = 0.3
"""Largest |mean - median| in sigma for which the mode is trusted (SExtractor)."""

COARSE_STEPS = 1.5
"""Sigma in steps of the digitisation below which the median alone is used: the mode magnifies its rounding."""

MIN_MESH_PIXELS = 16
"""Fewest good pixels that say anything about a mesh, when no mesh is half good."""


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


@dataclass(frozen=True, eq=False)
class Background:
    """Level and noise on the mesh, in the unit of the frame.

    Attributes
    ----------
    mesh : (my, mx), level, electron
    mesh_rms : (my, mx), one sigma per pixel, electron, without the noise of the sources; 0 only where a
        whole frame is constant
    mesh_pixels : (my, mx), pixels used per mesh after clipping; 0 where the mesh was filled from neighbours
    shape : (ny, nx) of the frame
    box_px : the mesh size asked for; ``step_px`` is the true one
    """

    mesh: NDArray[np.float64]
    mesh_rms: NDArray[np.float64]
    mesh_pixels: NDArray[np.int32]
    shape: tuple[int, int]
    box_px: int

    @property
    def step_px(self) -> tuple[float, float]:
        """True size of a mesh in y and x, pixels."""
        return self.shape[0] / self.mesh.shape[0], self.shape[1] / self.mesh.shape[1]

    @property
    def median(self) -> float:
        """Median level, electron."""
        return float(np.median(self.mesh))

    @property
    def rms_median(self) -> float:
        """Median rms, electron."""
        return float(np.median(self.mesh_rms))

    def level_map(self) -> NDArray[np.float32]:
        """Level at every pixel, (ny, nx), electron."""
        return self._render(_extend_linearly(self.mesh), None)

    def rms_map(self) -> NDArray[np.float32]:
        """One sigma at every pixel, (ny, nx), electron; never below the lowest mesh."""
        rms = self._render(np.pad(self.mesh_rms, 2, mode="edge"), None)
        return np.maximum(rms, np.float32(self.mesh_rms.min()), out=rms)

    def subtract_from(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return ``data`` minus the level map in one pass, (ny, nx), electron; ``data`` stays as it is."""
        if data.shape != self.shape:
            raise ValueError(f"background of a {self.shape} frame, data are {data.shape}")
        return self._render(_extend_linearly(self.mesh), np.ascontiguousarray(data, dtype=np.float32))

    def level_at(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Level at positions, (n,), electron; positions outside the frame give the value at its edge."""
        return self._at(_extend_linearly(self.mesh), x, y)

    def rms_at(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """One sigma at positions, (n,), electron; positions outside the frame give the value at its edge."""
        return np.maximum(self._at(np.pad(self.mesh_rms, 2, mode="edge"), x, y), self.mesh_rms.min())

    def pixels_at(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.int32]:
        """Pixels that made the level of the mesh at positions, (n,); at least 1."""
        step_y, step_x = self.step_px
        j = np.clip((np.asarray(y) + 0.5) // step_y, 0, self.mesh.shape[0] - 1).astype(np.intp)
        i = np.clip((np.asarray(x) + 0.5) // step_x, 0, self.mesh.shape[1] - 1).astype(np.intp)
        return np.maximum(self.mesh_pixels[j, i], 1)

    def _render(self, nodes: NDArray[np.float64], data: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """Map of padded nodes, or data minus that map."""
        out = np.empty(self.shape, np.float32)
        _background.render(np.ascontiguousarray(nodes), *self.step_px, data, out)
        return out

    def _at(self, nodes: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Cubic interpolation of padded nodes at scattered positions."""
        step_y, step_x = self.step_px
        v = (np.clip(np.asarray(y, np.float64), 0, self.shape[0] - 1) + 0.5) / step_y - 0.5
        u = (np.clip(np.asarray(x, np.float64), 0, self.shape[1] - 1) + 0.5) / step_x - 0.5
        j, i = np.floor(v).astype(np.intp), np.floor(u).astype(np.intp)
        wy, wx = _cubic_weights(v - j), _cubic_weights(u - i)
        k = np.arange(4)
        values = nodes[(j[..., None] + 1 + k)[..., :, None], (i[..., None] + 1 + k)[..., None, :]]
        return np.einsum("...j,...i,...ji->...", wy, wx, values)


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
    nodes = np.ascontiguousarray(_extend_linearly(background.mesh))
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
    good = unmasked >= (1 - options.max_masked_fraction) * np.outer(np.diff(y_edges), np.diff(x_edges))
    good &= unmasked > 0
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


def _extend_linearly(mesh: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two nodes on every side, continuing the slope: a gradient then reaches the edge unbent."""
    return np.pad(mesh, 2, mode="reflect", reflect_type="odd") if min(mesh.shape) > 2 else _extend_small(mesh)


def _extend_small(mesh: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same for meshes of one or two nodes along an axis."""
    for axis in (0, 1):
        first, last = np.take(mesh, [0], axis), np.take(mesh, [-1], axis)
        if mesh.shape[axis] > 1:
            low, high = first - np.take(mesh, [1], axis), last - np.take(mesh, [-2], axis)
        else:
            low = high = np.zeros_like(first)
        mesh = np.concatenate([first + 2 * low, first + low, mesh, last + high, last + 2 * high], axis)
    return mesh


def _cubic_weights(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of the four nodes around a phase t in 0..1 (Catmull-Rom), last axis 4."""
    return np.stack(
        [
            ((-0.5 * t + 1.0) * t - 0.5) * t,
            (1.5 * t - 2.5) * t * t + 1.0,
            ((-1.5 * t + 2.0) * t + 0.5) * t,
            (0.5 * t - 0.5) * t * t,
        ],
        axis=-1,
    )


def _digitisation(data: NDArray[np.float32], mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Step and offset of digitised data, in the unit of the data; (0, 0) when they are not digitised."""
    stride = max(1, data.size // 4096) | 1
    sample = data.ravel()[::stride][~mask.ravel()[::stride]].astype(np.float64)
    if sample.size < 64:
        return 0.0, 0.0
    low, high = np.quantile(sample, [0.02, 0.9])
    values = np.unique(sample[(sample >= low) & (sample <= high)])
    if values.size < 2:
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
