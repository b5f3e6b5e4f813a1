"""Sanity of an image before any algorithm sees it.

One infinite pixel in a thousand makes a mesh background infinite and a detection empty without an error, and a
constant frame has no noise to compare with: such frames end here with a reason, and what can be mended is masked.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import ArrayLike, NDArray

from astro_shared.frame_warnings import FrameWarning, WarningCode
from astro_shared.science.robust_statistics import mad_std
from photometry_service.algorithms.background.estimate import BackgroundOptions, NoGoodPixelsError, estimate_background
from photometry_service.errors import ImageUnusableError, ShapeMismatchError

__all__ = ["CheckedImage", "ImageLimits", "check_image"]


DEAD_SIGMA, SKY_SIGMA = 10.0, 3.0
MOST_DEAD = 0.05
"""A single pixel so far below the sky, among neighbours of the sky, is dead; more than this share are not defects."""


@dataclass(frozen=True)
class ImageLimits:
    """What an image must satisfy.

    Attributes
    ----------
    min_side_px, max_pixels : size
    min_usable_fraction : share of finite, unmasked pixels
    max_abs_value : larger values are no measurements
    max_saturated_fraction : share of pixels at or above saturation
    """

    min_side_px: int = 32
    max_pixels: int = 150_000_000
    min_usable_fraction: float = 0.5
    max_abs_value: float = 1e30
    max_saturated_fraction: float = 0.5


@dataclass(frozen=True, eq=False)
class CheckedImage:
    """Pixels that every step can work with.

    Attributes
    ----------
    data : (ny, nx), float32, native, C-contiguous, finite everywhere
        Pixels that were not finite hold the local background.
    mask : (ny, nx), bool
        The mask given and every pixel that was not finite or absurdly large.
    not_finite : number of such pixels
    saturated_fraction : share of unmasked pixels at or above saturation
    warnings : sentences
    """

    data: NDArray[np.float32]
    mask: NDArray[np.bool_]
    not_finite: int
    saturated_fraction: float
    warnings: tuple[FrameWarning, ...]


def check_image(
    data: ArrayLike,
    mask: NDArray[np.bool_] | None = None,
    *,
    saturation: float = np.inf,
    limits: ImageLimits | None = None,
) -> CheckedImage:
    """Make an image safe to work on, or say why nothing can be measured on it.

    Parameters
    ----------
    data : (ny, nx), any real type and byte order; not changed
    mask : (ny, nx), True = bad
    saturation : in the unit of ``data``

    Returns
    -------
    CheckedImage

    Raises
    ------
    ImageUnusableError
        ``reason`` is ``not_two_axes``, ``not_numbers``, ``too_small``, ``too_large``, ``not_finite`` (fewer than half
        of the pixels usable), ``constant`` or ``saturated``.
    ShapeMismatchError
        The mask has another shape.
    """
    limits = limits or ImageLimits()
    raw = np.asarray(data)
    _check_form(raw, limits)
    if mask is not None and mask.shape != raw.shape:
        raise ShapeMismatchError(f"the mask is {mask.shape}, the image {raw.shape}", mask=mask.shape, image=raw.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        pixels = np.array(raw, dtype=np.float32, order="C")
        absurd = ~(np.abs(pixels) < limits.max_abs_value)
    bad = absurd if mask is None else absurd | mask
    usable = 1 - np.count_nonzero(bad) / bad.size
    if usable < limits.min_usable_fraction:
        raise ImageUnusableError(
            f"only {100 * usable:.1f} % of the pixels are usable, need {100 * limits.min_usable_fraction:.0f} %",
            reason="not_finite",
            usable_fraction=usable,
        )
    count = int(np.count_nonzero(absurd))
    if count:
        pixels[absurd] = 0.0
        pixels[absurd] = _local_level(pixels, bad)[absurd]
    saturated = _check_values(pixels, bad, saturation, limits)
    dead = dead_pixels(pixels, bad)
    if dead.size:
        bad = bad.copy()
        bad.ravel()[dead] = True
        pixels.ravel()[dead] = _local_level(pixels, bad).ravel()[dead]
    return CheckedImage(pixels, bad, count, saturated, _warnings(count, dead.size, bad.size, saturated))


def dead_pixels(pixels: NDArray[np.float32], bad: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Flat indices of single pixels far below the sky around them.

    Parameters
    ----------
    pixels : (ny, nx), finite
    bad : (ny, nx), True = known to be bad

    Notes
    -----
    ``DEAD_SIGMA`` below the median of a sample of the frame, while the median of the eight neighbours is less than
    ``SKY_SIGMA`` below it: nothing in the sky is dark and sharper than a star, and sources of a difference image have
    dark neighbours.
    """
    sample = pixels[::4, ::4][~bad[::4, ::4]]
    if sample.size < 100:
        return np.empty(0, np.intp)
    level = np.median(sample)
    sigma = mad_std(sample, level)
    ny, nx = pixels.shape
    low = np.flatnonzero((pixels < level - DEAD_SIGMA * sigma) & ~bad)
    if low.size == 0 or low.size > MOST_DEAD * pixels.size:
        return np.empty(0, np.intp)
    y, x = np.divmod(low, nx)
    dy, dx = np.array([(j, i) for j in (-1, 0, 1) for i in (-1, 0, 1) if (j, i) != (0, 0)]).T
    around = pixels[np.clip(y[:, None] + dy, 0, ny - 1), np.clip(x[:, None] + dx, 0, nx - 1)]
    return low[np.median(around, axis=1) > level - SKY_SIGMA * sigma]


def _check_form(raw: NDArray[np.generic], limits: ImageLimits) -> None:
    """Axes, type and size."""
    if raw.ndim != 2:
        raise ImageUnusableError(f"the image has {raw.ndim} axes, need 2", reason="not_two_axes", axes=raw.ndim)
    if raw.dtype.kind not in "fiu":
        raise ImageUnusableError(f"pixels of type {raw.dtype} are no real numbers", reason="not_numbers")
    if min(raw.shape) < limits.min_side_px:
        raise ImageUnusableError(
            f"the image is {raw.shape[1]} x {raw.shape[0]} px, need {limits.min_side_px} on each side",
            reason="too_small",
            shape=raw.shape,
        )
    if raw.size > limits.max_pixels:
        raise ImageUnusableError(
            f"the image has {raw.size / 1e6:.0f} Mpix, at most {limits.max_pixels / 1e6:.0f}",
            reason="too_large",
            shape=raw.shape,
        )


def _check_values(pixels: NDArray[np.float32], bad: NDArray[np.bool_], saturation: float, limits: ImageLimits) -> float:
    """Refuse constant and saturated images; return the saturated share of the good pixels."""
    good = pixels[~bad] if bad.any() else pixels.ravel()
    low, high = float(good.min()), float(good.max())
    if not high > low:
        raise ImageUnusableError(f"every pixel is {low:g}", reason="constant", value=low)
    saturated = float(np.count_nonzero(good >= saturation) / good.size) if isfinite(saturation) else 0.0
    if saturated > limits.max_saturated_fraction:
        raise ImageUnusableError(
            f"{100 * saturated:.0f} % of the pixels are at or above saturation ({saturation:g})",
            reason="saturated",
            saturated_fraction=saturated,
        )
    return saturated


def _local_level(pixels: NDArray[np.float32], bad: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Level map of the good pixels, in one pass."""
    try:
        return estimate_background(pixels, bad, BackgroundOptions(mask_sources=False)).level_map()
    except NoGoodPixelsError:
        return np.full(pixels.shape, np.median(pixels[~bad]), np.float32)


def _warnings(not_finite: int, dead: int, size: int, saturated: float) -> tuple[FrameWarning, ...]:
    """What the reader should know."""
    warnings = []
    if not_finite:
        told = f"{not_finite} pixels ({100 * not_finite / size:.2g} %) are not finite and were masked"
        warnings.append(WarningCode.PIXELS_MASKED(told))
    if dead:
        told = f"{dead} pixels ({100 * dead / size:.2g} %) far below the sky around them were masked"
        warnings.append(WarningCode.PIXELS_MASKED(told))
    if saturated > 0.05:
        warnings.append(WarningCode.MANY_SATURATED(f"{100 * saturated:.0f} % of the pixels are saturated"))
    return tuple(warnings)
