"""What the subtraction of bright stars leaves around them: the PSF's own error, by distance, direction and place.

No PSF is perfect, and what it leaves beside a star looks like a faint companion. The brightest stars of the frame show
how much that is; a companion beside any star must stand out of what their neighbours in the field leave at the same
distance and in the same direction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from photometry_service.algorithms.detection.fit_frame import FitFrame
from photometry_service.algorithms.detection.matched_filter import MatchedFilter
from photometry_service.algorithms.detection.surroundings import circle_levels
from photometry_service.domain.psf import FloatArray, Sources

__all__ = ["PatternOptions", "ResidualPattern", "noisy_levels", "residual_pattern", "share_explained"]

DIRECTIONS = 32
BESIDE = np.array([(dr, da) for dr in (-1, 0, 1) for da in (-1, 0, 1)])
"""Steps to the places around one, in pixels outwards and in directions, that count as the same place."""

CORRELATED = 4.0
"""Filter fluxes of neighbouring places share their pixels: so many of them count as one."""


@dataclass(frozen=True)
class PatternOptions:
    """How the pattern is used.

    Attributes
    ----------
    stars, fewest : the brightest that show it, and how many are needed
    near : of these, as many as are nearest to a host count for it; all of them do as well
    mean_factor, spread_factor : a companion must exceed these multiples of the mean and of the spread that stars leave
    """

    stars: int = 80
    fewest: int = 8
    near: int = 12
    mean_factor: float = 1.5
    spread_factor: float = 4.0


@dataclass(frozen=True, eq=False)
class ResidualPattern:
    """Residual level around bright stars.

    Attributes
    ----------
    x, y : (n,), pixels
    level, noise : (n, reach + 1, directions)
        Filter flux over the star's flux, and one sigma of it by noise alone; NaN off the frame.
    """

    x: FloatArray
    y: FloatArray
    level: FloatArray
    noise: FloatArray

    @property
    def reach_px(self) -> int:
        """Largest distance."""
        return self.level.shape[1] - 1

    def explained(
        self, host_x: FloatArray, host_y: FloatArray, distance_px: FloatArray, direction: FloatArray,
        options: PatternOptions,
    ) -> FloatArray:  # fmt: skip
        """(n,): share of the host's flux that its own residuals explain at a distance and direction (radians)."""
        if distance_px.size == 0:
            return np.zeros(0)
        ring = np.rint(distance_px).astype(np.intp)[:, None] + BESIDE[:, 0]
        ring = np.clip(ring, 0, self.reach_px)
        sector = np.rint(direction / (2 * np.pi) * DIRECTIONS).astype(np.intp)[:, None] + BESIDE[:, 1]
        sector %= DIRECTIONS
        place = ring[:, 4] * DIRECTIONS + sector[:, 4]
        _, first, back = np.unique(place, return_index=True, return_inverse=True)
        stars = np.arange(self.x.size)[None, :, None]
        everywhere = self._share(stars, ring[first][:, None], sector[first][:, None], options)[back]
        near = self._nearest(host_x, host_y, options.near)
        return np.maximum(everywhere, self._share(near[:, :, None], ring[:, None], sector[:, None], options))

    def _nearest(self, host_x: FloatArray, host_y: FloatArray, count: int) -> NDArray[np.intp]:
        """(n, count): stars nearest to hosts, themselves not among them."""
        places = np.stack([self.x, self.y], axis=1)
        count = min(count, self.x.size - 1)
        away, near = cKDTree(places).query(np.stack([host_x, host_y], axis=1), k=count + 1)
        own = away[:, :1] < 1.0
        return np.where(own, near[:, 1:], near[:, :-1]).astype(np.intp)

    def _share(
        self, star: NDArray[np.intp], ring: NDArray[np.intp], sector: NDArray[np.intp], options: PatternOptions
    ) -> FloatArray:
        """(n,): from stars and neighbouring places (n, stars, places)."""
        count = ring.shape[0]
        level = self.level[star, ring, sector].reshape(count, -1)
        return share_explained(level, self.noise[star, ring, sector].reshape(count, -1), options)


def share_explained(level: FloatArray, noise: FloatArray, options: PatternOptions) -> FloatArray:
    """What residuals at places (n, m) explain, beyond what noise explains: (n,), the unit of ``level``."""
    independent = np.maximum(np.isfinite(level).sum(axis=1) / CORRELATED, 1.0)
    mean = _median(level)
    spread = 1.4826 * _median(np.abs(level - mean[:, None]))
    noise2 = _median(noise**2)
    beyond = np.sqrt(np.maximum(spread**2 - noise2 * (1 + 3 * np.sqrt(2 / independent)), 0.0))
    mean = np.maximum(mean - 2 * np.sqrt(np.maximum(noise2, spread**2) / independent), 0.0)
    return np.asarray(options.mean_factor * mean + options.spread_factor * beyond)


def noisy_levels(
    frame: FitFrame, residual: NDArray[np.float32], kernel: MatchedFilter, x: FloatArray, y: FloatArray,
    radius_px: FloatArray, angles: FloatArray,
) -> tuple[FloatArray, FloatArray]:  # fmt: skip
    """``circle_levels``, and one sigma of them by noise alone, NaN where there is no level."""
    level = circle_levels(frame, residual, kernel, x, y, radius_px, angles)
    ny, nx = frame.shape
    py = np.clip(np.rint(y[:, None] + radius_px * np.sin(angles)), 0, ny - 1).astype(np.intp)
    px = np.clip(np.rint(x[:, None] + radius_px * np.cos(angles)), 0, nx - 1).astype(np.intp)
    model = np.maximum(np.nan_to_num(frame.data[py, px] - residual[py, px]), 0.0)
    noise = (
        frame.noise_width(kernel.kernel)
        * kernel.noise_factor
        * np.sqrt(frame.rms[py, px] ** 2 + frame.shot_noise * model)
    )
    return level, np.where(np.isfinite(level), noise, np.nan)


def residual_pattern(
    frame: FitFrame,
    residual: NDArray[np.float32],
    kernel: MatchedFilter,
    stars: Sources,
    reach_px: int,
    options: PatternOptions | None = None,
) -> ResidualPattern | None:
    """Measure the pattern on the brightest stars; the saturated ones show it where they are not.

    Parameters
    ----------
    stars : fitted
    reach_px : largest distance

    Returns
    -------
    ResidualPattern or None
        None from too few stars.
    """
    options = options or PatternOptions()
    usable = np.flatnonzero(stars.flux > 0)
    if usable.size < options.fewest:
        return None
    chosen = stars.take(usable[np.argsort(-stars.flux[usable], kind="stable")[: options.stars]])
    radius = np.repeat(np.arange(reach_px + 1.0), DIRECTIONS)[None]
    angles = np.tile(np.arange(DIRECTIONS) * 2 * np.pi / DIRECTIONS, reach_px + 1)
    level, noise = noisy_levels(frame, residual, kernel, chosen.x, chosen.y, radius, angles)
    shape, flux = (len(chosen), reach_px + 1, DIRECTIONS), chosen.flux[:, None]
    return ResidualPattern(chosen.x, chosen.y, (level / flux).reshape(shape), (noise / flux).reshape(shape))


def _median(values: FloatArray) -> FloatArray:
    """Median along the last axis without NaN; 0 where there is nothing."""
    ordered = np.sort(values, axis=1)
    count = np.isfinite(values).sum(axis=1)
    row = np.arange(values.shape[0])
    low, high = np.maximum((count - 1) // 2, 0), np.minimum(count // 2, values.shape[1] - 1)
    return np.where(count > 0, 0.5 * (ordered[row, low] + ordered[row, high]), 0.0)
