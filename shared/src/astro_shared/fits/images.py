"""Whether anything can be measured on an image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from astro_shared.fits.errors import ImageUnusableError
from astro_shared.fits.limits import DEFAULT_LIMITS, FitsLimits

BAND_PIXELS = 4_000_000
SMALLEST_RANGE = 1e-30  # below this float32 arithmetic on squares of the values loses them


def mask_and_fill(data: NDArray[np.float32], *, limits: FitsLimits = DEFAULT_LIMITS) -> NDArray[np.bool_]:
    """Mask what is not a number or absurdly large; the pixels under the mask get the median of the others, in place.

    Parameters
    ----------
    data : (ny, nx), changed where masked

    Returns
    -------
    (ny, nx), True where the value in the file can not be used
    """
    mask = np.empty(data.shape, dtype=bool)
    rows = max(1, BAND_PIXELS // max(data.shape[-1], 1))
    for start in range(0, len(data), rows):  # in bands: no second image in memory
        mask[start : start + rows] = ~(np.abs(data[start : start + rows]) < limits.max_abs_value)
    if mask.any():
        step = max(1, int(np.sqrt(data.size / 250_000)))
        sample = data[::step, ::step][~mask[::step, ::step]]
        if sample.size == 0:
            sample = data[~mask]
        data[mask] = np.median(sample) if sample.size else 0.0
    return mask


def check_image(data: NDArray[np.float32], mask: NDArray[np.bool_], *, limits: FitsLimits = DEFAULT_LIMITS) -> None:
    """Raise `ImageUnusableError` (attribute ``reason``) unless something can be measured on the image.

    Notes
    -----
    Two axes, each side at least 32 pixels, at least half of the pixels usable, and more than one value among them.
    """
    if data.ndim != 2:
        raise ImageUnusableError(f"The image has {data.ndim} axes, two are needed.", reason="not_two_axes")
    ny, nx = data.shape
    if min(ny, nx) < limits.min_side_px:
        raise ImageUnusableError(
            f"The image has {nx} x {ny} pixels, at least {limits.min_side_px} along each side are needed.",
            reason="too_small",
        )
    usable = 1.0 - np.count_nonzero(mask) / data.size
    if usable < limits.min_finite_fraction:
        raise ImageUnusableError(
            f"Only {100 * usable:.1f} per cent of the pixels hold usable numbers.", reason="not_finite", usable=usable
        )
    good = ~mask
    lowest, highest = float(data.min(initial=np.inf, where=good)), float(data.max(initial=-np.inf, where=good))
    if highest == lowest:
        raise ImageUnusableError(f"All pixels have the same value, {lowest:g}.", reason="constant", value=lowest)
    if highest - lowest < SMALLEST_RANGE:
        raise ImageUnusableError(
            f"The pixels span only {highest - lowest:g}: below what can be computed with.", reason="constant"
        )
