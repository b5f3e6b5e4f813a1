"""A sky of which the lower part was cut off: all that was darker than one value stands at it.

Frames lose their negative pixels when a dark, a bias or a sky is taken off in whole positive numbers. Where a good part of
the sky is lost, what is left says too high a level and a noise several times too small. The pixels that were cut off are still
counted, and that with the shape of the upper part gives both: maximum likelihood of a censored Gaussian.

References
----------
Cohen (1959), Technometrics 1, 217 (singly censored samples); Tobin (1958), Econometrica 26, 24.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter
from scipy.special import gammaln, ndtr, ndtri

from photometry_service.algorithms.background.digitisation import digitisation

__all__ = ["SkyFloor", "censored_mesh", "find_floor", "level_as_cut", "padding_at"]

FloatArray = NDArray[np.float64]

SAMPLE_PIXELS = 16_384
LEAST_SHARE, MOST_BELOW = 0.01, 0.05
"""Share of the sky that must stand at the value, and at most this share of that may lie below it."""

LEAST_TAIL = 0.01
"""Share of the Gaussian that must be missing below the value: less changes nothing, and a natural lowest level of a coarsely
digitised sky has nothing missing."""

LARGEST_MISFIT = 0.08
"""Largest total variation between the pixels and the censored Gaussian: bad pixels set to a value far below the sky have
nothing between it and the sky."""

FEW_PHOTONS = np.geomspace(0.01, 6.0, 200)
"""Means of Poisson's distribution that are tried where the lowest value may be no photon."""

PADDING_PX = 9
"""Squares of so many pixels at the lowest value are padding, not sky."""

CELL_SIGMA, UPPER_SIGMA, LEAST_ABOVE_SIGMA, MOST_CELLS = 0.3, 1.5, 1.2, 60
"""Pixels are counted in cells of this width, up to so far above the level (sources lie above), and at least so far above
the lowest value."""

START_SHARE = 0.6
ROUNDS, SCORING_STEPS, LARGEST_STEP = 4, 12, 1.0
BLOCKS, FEWEST_BLOCKS = 4, 2
"""Where level or noise change over the frame it is divided in so many parts along each axis, and some of them must show it."""

FEWEST_ABOVE = 30
"""Pixels of a mesh above the lowest value that tell anything."""


@dataclass(frozen=True)
class SkyFloor:
    """The lowest value of a frame whose sky was cut off at it; in the unit of the pixels.

    Attributes
    ----------
    value : what was darker stands here
    edge : what was below this stands there: half a step above ``value`` where the frame is digitised
    step : of the digitisation, 0 without
    share : of the pixels of the sky that stand there
    sky, sigma : level and noise of the whole frame
    """

    value: float
    edge: float
    step: float
    share: float
    sky: float
    sigma: float

    @property
    def cell(self) -> float:
        """Width of the cells in which pixels are counted, whole steps."""
        width = CELL_SIGMA * self.sigma
        return width if self.step == 0 else self.step * max(1.0, round(width / self.step))


def find_floor(data: NDArray[np.float32], mask: NDArray[np.bool_]) -> SkyFloor | None:
    """The value at which the sky of a frame was cut off, or None.

    Parameters
    ----------
    data : (ny, nx), finite where not masked
    mask : (ny, nx), True = leave out

    Notes
    -----
    Recognised by a pile of pixels at the lowest value, scattered over the frame, that stands for a missing part of the
    distribution of the others. Squares of nothing but that value are padding and do not count.
    """
    stride = max(1, ceil(np.sqrt(data.size / SAMPLE_PIXELS)))
    good = ~mask[::stride, ::stride] & np.isfinite(data[::stride, ::stride])
    sample = data[::stride, ::stride][good]
    least = int(LEAST_SHARE * sample.size)
    if least < 1:
        return None
    value = np.partition(sample, least)[least]
    piled = sample == value
    count = np.count_nonzero(piled)
    if count < least or np.count_nonzero(sample < value) > MOST_BELOW * count:
        return None
    y, x = (index * stride for index in np.nonzero(good))
    kept = ~piled
    kept[piled] = ~_amid_padding(data, value, y[piled], x[piled])
    sky = sample[kept].astype(np.float64)
    share = float(np.mean(sky <= value)) if sky.size else 0.0
    if share < LEAST_SHARE:
        return None
    step = digitisation(data, mask | (data <= value))[0]
    whole = _fit(sky, float(value), step)
    if whole is None or whole.tail < LEAST_TAIL:
        return None
    if whole.is_like:
        return whole.floor
    number = (y[kept] * BLOCKS // data.shape[0]) * BLOCKS + x[kept] * BLOCKS // data.shape[1]
    parts = [_fit(sky[number == n], float(value), step) for n in range(BLOCKS**2)]
    found = [part.floor for part in parts if part is not None and part.is_like and part.tail >= LEAST_TAIL]
    if len(found) < FEWEST_BLOCKS:
        return None
    middle = found[int(np.argsort([floor.sigma for floor in found])[len(found) // 2])]
    return replace(middle, share=share)


def padding_at(data: NDArray[np.float32], value: float) -> NDArray[np.bool_]:
    """(ny, nx): squares of ``PADDING_PX`` pixels that all stand at a value."""
    inside = minimum_filter((data == np.float32(value)).view(np.uint8), PADDING_PX, mode="nearest")
    return np.asarray(maximum_filter(inside, PADDING_PX, mode="constant")).view(np.bool_)


def level_as_cut(level: FloatArray, sigma: FloatArray, edge: float) -> FloatArray:
    """Mean of a Gaussian all of whose values below ``edge`` stand there."""
    above = (level - edge) / np.maximum(sigma, 1e-300)
    return edge + sigma * (above * ndtr(above) + np.exp(-0.5 * above**2) / np.sqrt(2 * np.pi))


def censored_mesh(values: NDArray[np.float32], floor: SkyFloor, edge: float) -> tuple[float, float] | None:
    """Level and noise of one mesh, the pixels below ``edge`` known by their number only; None where they tell nothing.

    Parameters
    ----------
    values : (n,)
    edge : what is below it was or may have been cut off
    """
    counts = _counted(values, edge, floor.cell)
    start = _start(counts, edge, floor.cell)
    return None if start is None else _most_likely(counts, edge, floor.cell, *start)


@dataclass(frozen=True)
class _Fit:
    """A censored Gaussian; ``tail`` is the share that it misses below the value, ``is_like`` whether pixels look like it."""

    floor: SkyFloor
    tail: float
    is_like: bool


def _fit(sky: FloatArray, value: float, step: float) -> _Fit | None:
    """The censored Gaussian of some pixels; None where they tell none."""
    share = float(np.mean(sky <= value)) if sky.size > 2 * FEWEST_ABOVE else 0.0
    if not LEAST_SHARE <= share < 1 - 2 * FEWEST_ABOVE / sky.size:
        return None
    edge = value + 0.5 * step
    cell = max(step, float(np.quantile(sky, share + 0.5 * (1 - share)) - value) / 3)
    rough = _start(_counted(sky, edge, cell), edge, cell) if cell > 0 else None
    if rough is None:
        return None
    cell = SkyFloor(value, edge, step, share, *rough).cell
    counts = _counted(sky, edge, cell)
    level, sigma = _most_likely(counts, edge, cell, *rough)
    last = _last_cell(edge, cell, level, sigma)
    expected = _shares(edge + cell * np.arange(last + 1, dtype=np.float64), level, sigma)
    misfit = 0.5 * np.abs(counts[: last + 1] / max(1, counts[: last + 1].sum()) - expected).sum()
    is_like = bool(misfit <= LARGEST_MISFIT and not _photons(counts[: last + 1], expected))
    tail = float(ndtr((value - 0.5 * step - level) / sigma))
    return _Fit(SkyFloor(value, edge, step, share, float(level), float(sigma)), tail, is_like)


def _amid_padding(
    data: NDArray[np.float32], value: np.float32, y: NDArray[np.intp], x: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """(n,): pixels around which, every other pixel of a square, nothing but the value stands."""
    reach = np.arange(-(PADDING_PX // 2), PADDING_PX // 2 + 1, 2)
    ny, nx = data.shape
    amid = np.ones(y.size, np.bool_)
    for dy in reach:
        for dx in reach:
            amid &= data[np.clip(y + dy, 0, ny - 1), np.clip(x + dx, 0, nx - 1)] == value
    return amid


def _counted(values: NDArray[np.floating[Any]], edge: float, cell: float) -> FloatArray:
    """Pixels up to ``edge``, and in each cell above it; the last holds all the rest."""
    index = np.ceil((values.astype(np.float64) - edge) / cell)
    return np.bincount(np.clip(index, 0, MOST_CELLS + 1).astype(np.intp), minlength=MOST_CELLS + 2).astype(np.float64)


def _start(counts: FloatArray, edge: float, cell: float) -> tuple[float, float] | None:
    """Level and sigma that two quantiles give: the share below the edge, and a little more than half of the rest."""
    below = np.cumsum(counts)
    total = below[-1]
    if counts[0] < 1 or total - counts[0] < FEWEST_ABOVE:
        return None
    low = below[0] / total
    last = int(np.searchsorted(below[:-2], (low + START_SHARE * (1 - low)) * total))
    high = below[last] / total
    if last == 0 or not low < high < 1:
        return None
    sigma = last * cell / (ndtri(high) - ndtri(low))
    return edge - ndtri(low) * sigma, sigma


def _last_cell(edge: float, cell: float, level: float, sigma: float) -> int:
    """The last cell that belongs to the sky."""
    upper = max(level + UPPER_SIGMA * sigma, edge + LEAST_ABOVE_SIGMA * sigma)
    return int(np.clip(np.ceil((upper - edge) / cell), 2, MOST_CELLS))


def _shares(edges: FloatArray, level: float, sigma: float) -> FloatArray:
    """Share of a Gaussian below the first edge and between the others, of what lies below the last."""
    below = ndtr((edges - level) / sigma)
    return np.diff(below, prepend=0.0) / below[-1]


def _photons(counts: FloatArray, gaussian: FloatArray) -> bool:
    """Whether numbers of photons, which have no negative values to lose, are likelier than a Gaussian cut off at zero."""
    number = np.arange(counts.size)
    shares = np.exp(number * np.log(FEW_PHOTONS)[:, None] - gammaln(number + 1))
    shares /= shares.sum(axis=1, keepdims=True)
    return bool((counts * np.log(shares)).sum(axis=1).max() > (counts * np.log(np.maximum(gaussian, 1e-300))).sum())


def _most_likely(counts: FloatArray, edge: float, cell: float, level: float, sigma: float) -> tuple[float, float]:
    """Level and sigma of the Gaussian of which the cells below its upper part are most likely (Fisher's scoring).

    In a = 1 / sigma and b = level / sigma, in which the likelihood has one maximum.
    """
    start = level, sigma
    for _ in range(ROUNDS):
        last = _last_cell(edge, cell, level, sigma)
        upper = cell * np.arange(last + 1)
        seen = counts[: last + 1]
        a, b = 1 / sigma, (level - edge) / sigma
        for _ in range(SCORING_STEPS):
            z = a * upper - b
            density, below = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi), ndtr(z)
            share = np.maximum(np.diff(below, prepend=0.0), 1e-12)
            slope = np.stack([density * upper, -density])
            part = np.diff(slope, axis=1, prepend=0.0) / share - slope[:, -1:] / below[-1]
            score = part @ seen
            information = (part * (seen.sum() * share / below[-1])) @ part.T
            step = np.linalg.lstsq(information, score, rcond=1e-10)[0]
            step *= min(1.0, LARGEST_STEP / max(1e-12, float(np.abs(step[0] * upper[-1] - step[1])), abs(step[1])))
            a, b = a + step[0], b + step[1]
            if not a > 0:
                return start
            if np.abs(step).max() < 1e-6 * max(a, 1.0):
                break
        level, sigma = edge + b / a, 1 / a
    return level, sigma
