"""Pixels of a sky that was cut off below, in a form in which sums and fits are right.

A pixel that stands at the lowest value says only that it was not above it. In the mean over all such pixels it lies at the
expectation of what is below; with that in its place, deviations from the expected light have the mean zero, but they answer to
a change of the light by a share I < 1 only, the information that is left of a pixel. Divided by it they are working values of
Fisher's scoring: a weighted least-squares fit to them is a step to the maximum of the likelihood. I depends on how
far the light lifts a pixel above the lowest value: 0.82 where sky and lowest value agree, 1 in a bright star.

References
----------
Tobin (1958), Econometrica 26, 24; Amemiya (1973), Econometrica 41, 997 (likelihood and information of the censored model).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter
from scipy.special import log_ndtr, ndtr

from photometry_service.algorithms.background.map import Background

__all__ = ["information_left", "visible_light", "working_noise", "working_pixels"]

FloatImage = NDArray[np.float32]
VISIBLE_SIGMA = 3.0
"""S/N of a 3x3 block whose light counts as known before there are models of stars."""


def information_left(above: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the information on its expectation that a pixel keeps which is cut off ``above`` sigmas below it."""
    density = np.exp(-0.5 * above**2) / np.sqrt(2 * np.pi)
    lost = density * (_hazard(above) - above)
    return np.clip(ndtr(above) + lost, 1e-6, 1.0)


def working_noise(background: Background) -> Background:
    """The sky with the noise of working values in place of its own: larger, as information was lost."""
    if background.floor is None:
        return background
    above = (background.mesh - background.floor.edge) / np.maximum(background.mesh_rms, 1e-300)
    return background.with_noise(background.mesh_rms / np.sqrt(information_left(above)))


def visible_light(data: FloatImage, background: Background) -> FloatImage:
    """(ny, nx): light of sources that stand out by themselves, zero elsewhere."""
    values, rms = working_pixels(data, background, np.zeros_like(data))
    smooth = uniform_filter(values, 3, mode="nearest")
    return np.where(smooth > VISIBLE_SIGMA / 3 * rms, smooth, np.float32(0))


def working_pixels(data: FloatImage, background: Background, light: FloatImage) -> tuple[FloatImage, FloatImage]:
    """Values above the sky, and one sigma of the sky per pixel, with which fits are right.

    Parameters
    ----------
    data : (ny, nx), electron, sky included
    background : with its ``floor``
    light : (ny, nx), electron, not negative: what is known of the sources

    Returns
    -------
    values, rms : (ny, nx), electron
        The variance of a value is rms^2 + light.
    """
    floor = background.floor
    assert floor is not None  # noqa: S101
    level, rms = background.level_map(), background.rms_map()
    sigma = np.sqrt(rms**2 + light)
    above = ((level + light - floor.edge) / sigma).astype(np.float64)
    off = np.where(data <= np.float32(floor.value), -sigma * _hazard(above), data - level - light)
    left = information_left(above)
    noise2 = np.maximum((rms**2 + light) / left - light, rms**2)
    return (light + off / left).astype(np.float32), np.sqrt(noise2).astype(np.float32)


def _hazard(above: NDArray[np.float64]) -> NDArray[np.float64]:
    """Density over probability of being cut off."""
    return np.exp(-0.5 * above**2 - log_ndtr(-above)) / np.sqrt(2 * np.pi)
