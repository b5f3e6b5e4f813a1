"""How flat the cores of bright stars are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from photometry_service.algorithms.background.sky_floor import find_floor

__all__ = ["StarTops", "sky_of", "star_tops"]

MOST_TOPS, HALF_PX = 500, 15
RANK = 2
"""The height of a core is that of its third highest pixel in 3x3: one of them may be hot."""

BAND, FLAT_PIXELS, FLAT_SHARE, FLAT_OUTLIERS = 0.07, 6, 0.35, 0.1
"""A top is flat with so many pixels within 7 % of its height, this share of those above half of it, few above. Of a Gaussian
0.2 of the pixels are within such a band; of one cut off at 1/1.3 of its peak 0.35, at a tenth 0.8."""

PLATEAU_SIGMA = 3.0
"""A plateau reaches down to its median minus three of its sigmas; its upper half tells that, the lower one has the slopes."""

COMPACT = 0.3
"""Largest median height, relative to the core's, of the pixels of the stamp's border: a star ends somewhere."""

SHARP_SHARE, SHARP_PIXELS, SHARP_NEIGHBOURS = 0.45, 4, 3
"""A core that is no cosmic ray: so many pixels above half, and so many of the four neighbours above a quarter of the peak."""


@dataclass(frozen=True, eq=False)
class StarTops:
    """Cores of bright sources, (n,) each.

    Attributes
    ----------
    x, y : pixel of the maximum
    height : median of the plateau for flat tops, else the highest pixel; above the sky
    low, high : lower and upper end of the plateau, or the highest pixel, sky included
    half_area : pixels above half of the height
    flat : a plateau
    star_like : no cosmic ray nor hot pixel, and compact
    """

    x: NDArray[np.intp]
    y: NDArray[np.intp]
    height: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    half_area: NDArray[np.intp]
    flat: NDArray[np.bool_]
    star_like: NDArray[np.bool_]

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> StarTops:
        """Some of the rows."""
        return StarTops(*(value[rows] for value in vars(self).values()))


def sky_of(pixels: NDArray[np.float32], bad: NDArray[np.bool_]) -> tuple[float, float]:
    """Median of a frame and its scatter below it, where no star is; from a sample. Of a sky that was cut off below, those
    before that."""
    floor = find_floor(pixels, bad)
    if floor is not None:
        return floor.sky, floor.sigma
    step = max(1, int(np.sqrt(pixels.size / 65536)))
    sample = pixels[::step, ::step][~bad[::step, ::step]].astype(np.float64)
    if sample.size == 0:
        return 0.0, 0.0
    level = float(np.median(sample))
    return level, float(np.sqrt(np.mean((sample[sample <= level] - level) ** 2)))


def star_tops(pixels: NDArray[np.float32], bad: NDArray[np.bool_], bright: NDArray[np.intp], sky: float) -> StarTops:
    """Describe the cores of the brightest sources.

    Parameters
    ----------
    pixels : (ny, nx), finite, sky included
    bad : (ny, nx), True = not to be looked at
    bright : flat indices of the pixels among which maxima are sought
    sky : level of the frame
    """
    y, x = _maxima(pixels, bright)
    offset = np.arange(-HALF_PX, HALF_PX + 1)
    ny, nx = pixels.shape
    rows = np.clip(y[:, None, None] + offset[:, None], 0, ny - 1)
    columns = np.clip(x[:, None, None] + offset, 0, nx - 1)
    stamps = np.where(bad[rows, columns], np.float32(sky), pixels[rows, columns]) - np.float32(sky)
    middle = slice(HALF_PX - 1, HALF_PX + 2)
    core = np.sort(stamps[:, middle, middle].reshape(len(y), 9), axis=1)
    top = np.maximum(core[:, -1 - RANK], 1e-6 * core[:, -1])[:, None, None]
    relative = stamps / top
    band = np.abs(relative - 1) <= BAND
    n_band = np.count_nonzero(band, axis=(1, 2))
    n_above = np.count_nonzero(relative > 1 + BAND, axis=(1, 2))
    half_of = np.where(n_above > 1, core[:, -1], core[:, -1 - RANK])[:, None, None]
    half_area = np.count_nonzero(stamps > 0.5 * half_of, axis=(1, 2))
    border = np.concatenate([relative[:, 0], relative[:, -1], relative[:, :, 0], relative[:, :, -1]], axis=1)
    compact = np.median(border, axis=1) < COMPACT
    flat = (n_band >= FLAT_PIXELS) & (n_band >= FLAT_SHARE * half_area) & (n_above <= FLAT_OUTLIERS * n_band) & compact
    plateau, low, high = (core[:, -1].astype(np.float64) for _ in range(3))
    for row in np.flatnonzero(flat):  # few
        values = stamps[row][band[row]]
        middle_height, upper = np.percentile(values, [50.0, 84.1])
        spread = max(PLATEAU_SIGMA * (upper - middle_height), 1e-6 * middle_height)
        plateau[row], low[row], high[row] = middle_height, middle_height - spread, values.max()
    sides = stamps[:, [HALF_PX, HALF_PX, HALF_PX - 1, HALF_PX + 1], [HALF_PX - 1, HALF_PX + 1, HALF_PX, HALF_PX]]
    lit = np.count_nonzero(sides > 0.25 * core[:, -1:], axis=1)
    tops = StarTops(
        x=x, y=y,
        height=plateau, low=low + sky, high=high + sky,
        half_area=half_area, flat=flat,
        star_like=compact & (half_area >= SHARP_PIXELS) & (lit >= SHARP_NEIGHBOURS),
    )  # fmt: skip
    return tops.take(_one_each(tops, n_band))


def _maxima(pixels: NDArray[np.float32], bright: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the brightest 3x3 maxima among some pixels; of equal neighbours the first."""
    ny, nx = pixels.shape
    y, x = np.divmod(bright, nx)
    inner = (y > 0) & (x > 0) & (y < ny - 1) & (x < nx - 1)
    y, x = y[inner], x[inner]
    value = pixels[y, x]
    highest = np.ones(y.size, dtype=bool)
    for dy, dx in ((-1, -1), (-1, 0), (-1, 1), (0, -1)):
        highest &= (value > pixels[y + dy, x + dx]) & (value >= pixels[y - dy, x - dx])
    y, x, value = y[highest], x[highest], value[highest]
    order = np.argsort(-value, kind="stable")[:MOST_TOPS]
    return y[order], x[order]


def _one_each(tops: StarTops, n_band: NDArray[np.intp]) -> NDArray[np.intp]:
    """Rows without the further maxima of the same plateau."""
    if tops.x.size == 0:
        return np.empty(0, np.intp)
    place = np.stack([tops.x, tops.y], axis=1).astype(np.float64)
    reach = 2 * np.sqrt(n_band / np.pi) + 3
    dropped = np.zeros(tops.x.size, dtype=bool)
    flat = np.flatnonzero(tops.flat)
    flat = flat[np.argsort(-n_band[flat], kind="stable")]
    near = cKDTree(place).query_ball_point(place[flat], reach[flat])
    for row, around in zip(flat.tolist(), near, strict=True):  # the widest first: a plateau takes its own maxima along
        if not dropped[row]:
            dropped[[other for other in around if other != row]] = True
    return np.flatnonzero(~dropped)
