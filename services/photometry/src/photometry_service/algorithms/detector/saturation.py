"""The level at which bright stars are cut off, read from the pixels: what a header says of it is often wrong.

A converter, a full well or a programme that clips leaves two signs. *Pile-up*: many pixels of exactly one value, side by
side, with none above them nearby. *Flat tops*: cores of stars whose brightest pixels differ by a few per cent only although
the star is much wider, all at the same height, as a plateau looks after it was divided by a flat field.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from astro_shared.frame_warnings import FrameWarning, WarningCode
from photometry_service.algorithms.detector.star_tops import StarTops, sky_of, star_tops

__all__ = ["Saturation", "find_saturation", "level_saturated"]

MOST_BRIGHT = 400_000
BRIGHT_SIGMA = 50.0
"""Only pixels this far above the sky are looked at, and of these the brightest."""

PILE_PIXELS, PILE_RATIO, PILE_NEAR = 6, 3, 0.02
"""So many pixels at exactly one value, and so many times more than in the 2 % below it, have been cut off..."""
PILE_TOUCHING, PILE_UNDER = 0.5, 0.2
"""...if this share of them touch another one, and at most this share a higher pixel."""

FULL_SCALES = tuple(float(2**bits - 1) for bits in (8, 10, 12, 14, 15, 16)) + (4095.0 * 16, 16383.0 * 4)
FULL_SCALE_PIXELS = 3
"""A converter's largest number needs fewer pixels to be believed."""

AGREEING, SAME_LEVEL, FEWEST_FLAT, FEWEST_ALIKE = 2, 0.03, 3, 2
"""A flat top counts when two of its four nearest are as high to 3 %, and three of them make a plateau; two, if they are all."""
FEWEST_ON_SURFACE, MOST_ON_SURFACE = 8, 0.75
"""Or so many of them, and this share, lie on one smooth surface to 3 %."""
AT_A_PILE = 0.01
MOST_ABOVE = 0.3
"""Cores of stars above all plateaus, as a share of the flat tops, that are put down to cosmic rays."""

ABOUT = 0.05
"""Spread of levels that are told as one."""

CARD_BELOW, CARD_MARGIN, FEWEST_CONTRADICTING = 0.98, 1.2, 5
"""A level this far below the header's is another one; so many sharp cores this far above the header's contradict it."""


@dataclass(frozen=True, eq=False)
class Saturation:
    """Where stars are cut off.

    Attributes
    ----------
    level : in the unit of the pixels; pixels at or above it are saturated; infinite when nothing is known
    lower : flat indices of saturated pixels below ``level``: on plateaus of other amplifiers, or bent by a flat field
    lowest : the lowest plateau, or ``level``
    sentences : where this differs from the header
    """

    level: float
    lower: NDArray[np.intp]
    lowest: float
    sentences: tuple[FrameWarning, ...] = ()


def find_saturation(
    pixels: NDArray[np.float32],
    bad: NDArray[np.bool_],
    card: float | None = None,
    *,
    given: float | None = None,
    unit: str = "ADU",
) -> Saturation:
    """Find the saturation from the pixels, and hold it against the header's.

    Parameters
    ----------
    pixels : (ny, nx), finite, sky included, any unit
    bad : (ny, nx), True = not to be looked at
    card : the header's level, or None
    given : the request's level; nothing is looked for then
    unit : for the sentences

    Returns
    -------
    Saturation
        The lower one of what is found and the card, unless the card is contradicted: by stars above it whose cores are as
        sharp as those below.
    """
    nothing = np.empty(0, np.intp)
    if given is not None:
        return Saturation(given, nothing, given)
    sky, sigma = sky_of(pixels, bad)
    if not sigma > 0:
        return Saturation(card or inf, nothing, card or inf)
    bright = _bright(pixels, bad, sky + BRIGHT_SIGMA * sigma)
    piles = _pile_ups(pixels, bright, sky)
    tops = star_tops(pixels, bad, bright, sky)
    flat = _plateaus(tops, piles, pixels.shape)
    levels, told = np.concatenate([piles, tops.low[flat]]), np.concatenate([piles, tops.height[flat] + sky])
    sharp = tops.take(~tops.flat)
    if levels.size == 0:
        if card is not None and _contradicted(sharp, card, sky):
            return Saturation(inf, nothing, inf, (_says_not(card, unit, sharp, None),))
        return Saturation(card or inf, nothing, card or inf)
    lowest, highest = float(levels.min()), float(levels.max())
    sentences: tuple[FrameWarning, ...] = ()
    if card is None:
        words = f"the header gives no saturation, and {_told(told, unit)}: that is taken for it (input.saturation_adu)"
        sentences = (WarningCode.SATURATION_FROM_PIXELS(words),)
    elif lowest < CARD_BELOW * card:
        words = f"{_told(told, unit)}; the header says {card:g}: what piles up is taken for saturated (input.saturation_adu)"
        sentences = (WarningCode.SATURATION_FROM_PIXELS(words),)
    elif _contradicted(sharp, card, sky):
        sentences = (_says_not(card, unit, sharp, lowest),)
    else:
        highest, lowest = card, min(card, lowest)
    if isfinite(highest) and card is not None and highest > card and not sentences:
        highest = card
    lower = _on_lower(pixels, bright, tops.take(flat), piles[piles < highest], highest)
    return Saturation(highest, lower, lowest, sentences)


def level_saturated(pixels: NDArray[np.float32], saturation: Saturation) -> NDArray[np.float32]:
    """The pixels with all saturated ones at the same level or above, so that one number tells them; copied if changed.

    What a saturated pixel says has no meaning but that it is one.
    """
    if saturation.lower.size == 0:
        return pixels
    out = pixels.copy()
    out.ravel()[saturation.lower] = np.float32(saturation.level)
    return out


def _bright(pixels: NDArray[np.float32], bad: NDArray[np.bool_], above: float) -> NDArray[np.intp]:
    """Flat indices of the bright good pixels, at most ``MOST_BRIGHT`` of them, ascending."""
    index = np.flatnonzero(pixels > np.float32(above))
    index = index[~bad.ravel()[index]]
    if index.size > MOST_BRIGHT:
        values = pixels.ravel()[index]
        index = index[values >= np.partition(values, values.size - MOST_BRIGHT)[values.size - MOST_BRIGHT]]
    return index


def _pile_ups(pixels: NDArray[np.float32], bright: NDArray[np.intp], sky: float) -> NDArray[np.float64]:
    """Values at which pixels pile up, ascending."""
    of = pixels.ravel()[bright]
    values, counts = np.unique(of, return_counts=True)
    if values.size == 0:
        return np.empty(0)
    total = np.concatenate([[0], np.cumsum(counts)])
    near = np.searchsorted(values, values - PILE_NEAR * (values - sky))
    below = total[:-1] - total[near]
    full = np.isin(values, FULL_SCALES) & (np.arange(values.size) == values.size - 1)
    needed = np.where(full, FULL_SCALE_PIXELS, PILE_PIXELS)
    many = (counts >= needed) & ((counts > PILE_RATIO * below) | full)
    return np.array([v for v in values[many] if _is_plateau(pixels, bright[of == v], v)], dtype=np.float64)


def _is_plateau(pixels: NDArray[np.float32], index: NDArray[np.intp], value: float) -> bool:
    """Whether pixels of one value lie side by side with nothing higher beside them."""
    ny, nx = pixels.shape
    y, x = np.divmod(index, nx)
    dy, dx = np.array([(j, i) for j in (-1, 0, 1) for i in (-1, 0, 1) if (j, i) != (0, 0)]).T
    around = pixels[np.clip(y[:, None] + dy, 0, ny - 1), np.clip(x[:, None] + dx, 0, nx - 1)]
    touching, under = np.mean((around == value).any(axis=1)), np.mean((around > value).any(axis=1))
    return bool(touching >= PILE_TOUCHING and under <= PILE_UNDER)


def _plateaus(tops: StarTops, piles: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Rows of the flat tops whose neighbours are as high, or that lie on one smooth surface: stars differ in height,
    plateaus do not. Those at a pile are left out."""
    rows = np.flatnonzero(tops.flat)
    if rows.size < FEWEST_ALIKE:
        return rows[:0]
    good = _like_neighbours(tops.take(rows)) | _on_a_surface(tops.take(rows), shape)
    kept = rows[good]
    top = max(float(tops.high[kept].max(initial=-inf)), float(piles.max(initial=-inf)))
    above = np.count_nonzero(~tops.flat & tops.star_like & (tops.high > (1 + 2 * SAME_LEVEL) * top))
    if above > MOST_ABOVE * kept.size:
        return kept[:0]
    explained = (np.abs(tops.high[kept, None] / piles - 1) < AT_A_PILE).any(axis=1)
    return kept[~explained]


def _like_neighbours(flat: StarTops) -> NDArray[np.bool_]:
    """(n,): flat tops of which two of the four nearest are as high."""
    place = np.stack([flat.x, flat.y], axis=1)
    near = np.atleast_2d(cKDTree(place).query(place, k=min(5, flat.x.size))[1])[:, 1:]
    alike = np.abs(flat.height[near] / flat.height[:, None] - 1) < SAME_LEVEL
    good = alike.sum(axis=1) >= min(AGREEING, near.shape[1])
    return good if np.count_nonzero(good) >= FEWEST_FLAT or alike.all() else np.zeros_like(good)


def _on_a_surface(flat: StarTops, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """(n,): flat tops on a paraboloid of the logarithm of the height, if nearly all are: a flat field was divided by."""
    nothing = np.zeros(flat.x.size, dtype=bool)
    if flat.x.size < FEWEST_ON_SURFACE:
        return nothing
    u, v = 2 * flat.x / shape[1] - 1, 2 * flat.y / shape[0] - 1
    terms = np.stack([np.ones(u.size), u, v, u * u + v * v], axis=1)
    height = np.log(flat.height)
    weight = np.ones(u.size)
    for _ in range(20):  # least absolute deviations by repeated least squares
        root = np.sqrt(weight)[:, None]
        off = height - terms @ np.linalg.lstsq(terms * root, height * root[:, 0], rcond=None)[0]
        weight = 1 / np.maximum(np.abs(off), 0.1 * SAME_LEVEL)
    good = np.abs(off) < SAME_LEVEL
    return good if good.sum() >= max(FEWEST_ON_SURFACE, MOST_ON_SURFACE * good.size) else nothing


def _contradicted(sharp: StarTops, card: float, sky: float) -> bool:
    """Whether stars above the header's level are as sharp as those below: nothing has cut them off."""
    star = sharp.star_like
    above = star & (sharp.high - sky > CARD_MARGIN * (card - sky))
    below = star & (sharp.high < card) & (sharp.high - sky > 0.2 * (card - sky))
    if np.count_nonzero(above) < FEWEST_CONTRADICTING:
        return False
    if card <= sky or np.count_nonzero(below) < FEWEST_CONTRADICTING:
        return True
    return bool(np.median(sharp.half_area[above]) < 1.25 * np.median(sharp.half_area[below]))


def _on_lower(
    pixels: NDArray[np.float32], bright: NDArray[np.intp], flat: StarTops, piles: NDArray[np.float64], level: float
) -> NDArray[np.intp]:
    """Flat indices of saturated pixels below ``level``: of the value of a lower pile, or as high as the nearest flat top."""
    values = pixels.ravel()[bright]
    hit = np.isin(values, piles)
    if flat.x.size:
        y, x = np.divmod(bright, pixels.shape[1])
        nearest = cKDTree(np.stack([flat.x, flat.y], axis=1)).query(np.stack([x, y], axis=1))[1]
        hit |= values >= flat.low[nearest]
    return bright[hit & (values < level)]


def _told(levels: NDArray[np.float64], unit: str) -> str:
    """Where pixels pile up, in words."""
    distinct = np.unique(levels)
    low, high = float(distinct[0]), float(distinct[-1])
    if distinct.size == 1:
        return f"pixels pile up at {high:g} {unit}"
    if high - low <= ABOUT * abs(high):
        return f"pixels pile up at about {_short(float(np.median(levels)))} {unit}"
    if distinct.size == 2:
        return f"pixels pile up at {low:g} and {high:g} {unit}"
    return f"pixels pile up between {_short(low)} and {_short(high)} {unit}"


def _short(value: float) -> str:
    """Four digits, without an exponent where it can be."""
    return f"{float(f'{value:.4g}'):g}"


def _says_not(card: float, unit: str, sharp: StarTops, found: float | None) -> FrameWarning:
    """A level of the header that is not believed."""
    count = int(np.count_nonzero(sharp.star_like & (sharp.high > card)))
    told = "none is used" if found is None else f"{found:g} {unit} is used, where pixels pile up"
    return WarningCode.SATURATION_FROM_PIXELS(
        f"the header says that pixels saturate at {card:g} {unit}, but {count} stars are brighter and as sharp as the "
        f"others: {told} (input.saturation_adu)"
    )
