"""Which of several gains the noise of the sky fits: a mean and a sum of frames differ in nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["noise_ratio", "told_apart"]

FITS, FITS_NOT = 1.25, 1.5
"""A ratio within the first of 1 is right; beyond the second it is not. Between them, nothing is told."""
LEAST_PHOTONS = 0.5
"""Share of the predicted variance that must come from the sky's own light: a sky that was taken off tells nothing."""


def noise_ratio(sky: float, sigma: float, gain_e_per_unit: float, read_noise_e: float) -> float | None:
    """Noise seen over noise expected; None where the level of the sky does not tell it.

    Parameters
    ----------
    sky, sigma : level and standard deviation of the sky, in the unit of the pixels
    gain_e_per_unit : electrons per unit
    read_noise_e : electrons
    """
    if not (sky > 0 and sigma > 0 and gain_e_per_unit > 0):
        return None
    photons, reading = sky / gain_e_per_unit, (read_noise_e / gain_e_per_unit) ** 2
    if photons < LEAST_PHOTONS * (photons + reading):
        return None
    return sigma / math.sqrt(photons + reading)


def told_apart(ratios: Sequence[float | None]) -> int | None:
    """The one hypothesis that fits while all others do not; None where there is none."""
    if any(ratio is None for ratio in ratios):
        return None
    off = [max(ratio, 1 / ratio) for ratio in ratios if ratio is not None]
    best = min(range(len(off)), key=off.__getitem__)
    others = [value for index, value in enumerate(off) if index != best]
    return best if off[best] < FITS and all(value > FITS_NOT for value in others) else None
