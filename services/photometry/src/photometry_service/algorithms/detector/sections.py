"""Sections of a detector: overscan, trimming, and amplifiers put together.

Section texts are those of the headers (``BIASSEC``, ``TRIMSEC``, ``DATASEC``, ``DETSEC``): ``[x1:x2,y1:y2]``, counted from
one, both ends included, the second smaller than the first where an amplifier is read backwards.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astro_shared.errors import InvalidRequestError
from astro_shared.science.robust_statistics import mad_std

__all__ = [
    "Amplifier",
    "DetectorSection",
    "SectionError",
    "join_amplifiers",
    "parse_section",
    "subtract_overscan",
    "trim",
]

SECTION = re.compile(r"^\s*\[\s*(\d+)\s*:\s*(\d+)\s*,\s*(\d+)\s*:\s*(\d+)\s*\]\s*$")

OVERSCAN_ORDER = 3
"""Order of the polynomial along the overscan: follows a slow drift and averages the read noise of the rows."""

CLIP_SIGMA = 3.0

MAX_MOSAIC_PIXELS = 150_000_000


class SectionError(InvalidRequestError):
    """A detector section does not fit the image or another section."""

    code = "detector_section_invalid"


@dataclass(frozen=True)
class DetectorSection:
    """A rectangle of pixels.

    Attributes
    ----------
    x0, x1, y0, y1 : zero-based, end not included
    flip_x, flip_y : read backwards
    """

    x0: int
    x1: int
    y0: int
    y1: int
    flip_x: bool = False
    flip_y: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.y1 - self.y0, self.x1 - self.x0

    @property
    def window(self) -> tuple[slice, slice]:
        """Index of the rectangle in an array ``[y, x]``."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def inside(self, shape: tuple[int, ...]) -> bool:
        """Whether the rectangle lies within an image."""
        return self.y1 <= shape[0] and self.x1 <= shape[1]


@dataclass(frozen=True, eq=False)
class Amplifier:
    """One readout channel, calibrated on its own.

    Attributes
    ----------
    data, variance : (ny, nx), electron and electron^2
    mask : (ny, nx), True = bad
    place : where it lies on the detector, in unbinned pixels (``DETSEC``)
    """

    data: NDArray[np.float32]
    variance: NDArray[np.float32]
    mask: NDArray[np.bool_]
    place: DetectorSection


def parse_section(text: str | None) -> DetectorSection | None:
    """Read a section of a header; None for absent or meaningless texts (``UNKNOWN``, zeros).

    A range of pixels read backwards gives ``flip_x`` or ``flip_y``.
    """
    found = SECTION.match(text or "")
    if not found:
        return None
    x1, x2, y1, y2 = (int(number) for number in found.groups())
    if min(x1, x2, y1, y2) < 1:
        return None
    return DetectorSection(min(x1, x2) - 1, max(x1, x2), min(y1, y2) - 1, max(y1, y2), x2 < x1, y2 < y1)


def trim(plane: NDArray[np.generic], section: DetectorSection) -> NDArray[np.generic]:
    """The part of an image inside a section, as a copy.

    Raises
    ------
    SectionError
        It reaches beyond the image.
    """
    if not section.inside(plane.shape):
        raise SectionError(f"section {section} leaves the image of {plane.shape[1]} x {plane.shape[0]} px")
    return np.ascontiguousarray(plane[section.window])


def subtract_overscan(
    data: NDArray[np.float32], section: DetectorSection, *, order: int = OVERSCAN_ORDER
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Take the level of the overscan off every row (or every column, when the strip lies along them).

    Parameters
    ----------
    data : (ny, nx), ADU
    section : the overscan strip
    order : of the Legendre polynomial fitted to the medians along the strip; 0 for one level

    Returns
    -------
    data : (ny, nx), ADU
    level : (ny,) or (nx,), ADU, what was taken off

    Raises
    ------
    SectionError
        The strip reaches beyond the image or is shorter than the polynomial needs.
    """
    strip = trim(data, section).astype(np.float64)
    along_rows = strip.shape[0] >= strip.shape[1]
    start, count = (section.y0, data.shape[0]) if along_rows else (section.x0, data.shape[1])
    levels = np.median(strip, axis=1 if along_rows else 0)
    if levels.size < 3 * (order + 1):
        raise SectionError(f"an overscan of {levels.size} lines is too short for order {order}")
    t = 2 * (np.arange(count) + 0.5) / count - 1
    own = t[start : start + levels.size]
    good = np.isfinite(levels)
    for _ in range(10):
        coefficients = np.polynomial.legendre.legfit(own[good], levels[good], order)
        residual = levels - np.polynomial.legendre.legval(own, coefficients)
        sigma = mad_std(residual[good], 0.0)
        kept = np.isfinite(levels) & (np.abs(residual) <= max(CLIP_SIGMA * sigma, 1e-9))
        if np.array_equal(kept, good) or kept.sum() < 3 * (order + 1):
            break
        good = kept
    level = np.polynomial.legendre.legval(np.clip(t, own[0], own[-1]), coefficients)
    taken = level[:, None] if along_rows else level[None, :]
    return (data - taken).astype(np.float32), level


def join_amplifiers(amplifiers: Sequence[Amplifier]) -> Amplifier:
    """Put the channels of a detector side by side.

    Returns
    -------
    Amplifier
        The smallest rectangle that holds all; pixels between channels are masked, with value 0 and variance 1.

    Raises
    ------
    SectionError
        No channels, different binning, or channels that overlap.

    Notes
    -----
    Binning is the detector section's extent over that of the data, and must be the same whole number everywhere.
    """
    if not amplifiers:
        raise SectionError("no amplifiers to join")
    factors = {_binning(a) for a in amplifiers}
    if len(factors) > 1:
        raise SectionError(f"amplifiers are binned differently: {sorted(factors)}")
    by, bx = factors.pop()
    x0, y0 = min(a.place.x0 for a in amplifiers), min(a.place.y0 for a in amplifiers)
    shape = (max(a.place.y1 - y0 for a in amplifiers) // by, max(a.place.x1 - x0 for a in amplifiers) // bx)
    if shape[0] * shape[1] > MAX_MOSAIC_PIXELS:
        raise SectionError(f"a mosaic of {shape[1]} x {shape[0]} px is too large")
    data, variance = np.zeros(shape, np.float32), np.ones(shape, np.float32)
    mask, filled = np.ones(shape, np.bool_), np.zeros(shape, np.bool_)
    for a in amplifiers:
        top, left = (a.place.y0 - y0) // by, (a.place.x0 - x0) // bx
        window = (slice(top, top + a.data.shape[0]), slice(left, left + a.data.shape[1]))
        if filled[window].any() or filled[window].shape != a.data.shape:
            raise SectionError(f"the amplifier at {a.place} overlaps another")
        turn = (slice(None, None, -1 if a.place.flip_y else 1), slice(None, None, -1 if a.place.flip_x else 1))
        data[window], variance[window], mask[window] = a.data[turn], a.variance[turn], a.mask[turn]
        filled[window] = True
    return Amplifier(data, variance, mask, DetectorSection(x0, x0 + shape[1] * bx, y0, y0 + shape[0] * by))


def _binning(amplifier: Amplifier) -> tuple[int, int]:
    """Binning in y and x of one channel."""
    extent = amplifier.place.shape
    sizes = amplifier.data.shape
    factors = tuple(e // n for e, n in zip(extent, sizes, strict=True))
    if any(f < 1 or f * n != e for f, n, e in zip(factors, sizes, extent, strict=True)):
        raise SectionError(f"{sizes[1]} x {sizes[0]} px do not divide the detector section {amplifier.place}")
    return factors[0], factors[1]
