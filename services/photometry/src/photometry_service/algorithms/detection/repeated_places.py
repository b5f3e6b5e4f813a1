"""Sources that stand at the same place beside several bright stars: spikes, ghosts and arcs, not stars.

Vanes, mirrors' edges and reflections leave light at fixed offsets from every bright star, in proportion to its flux and
often far outside what a PSF holds. What a candidate shows beside one star the other bright stars must not show at the
same offset, nor its own star at the turns of a pattern of four or six spikes; real companions are nowhere twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import binom

from photometry_service.algorithms.detection.fit_frame import FitFrame
from photometry_service.algorithms.detection.matched_filter import MatchedFilter, filter_flux
from photometry_service.domain.psf import FloatArray, PsfModel, Sources

__all__ = ["RepeatOptions", "repeated_places"]

TURNS = (np.radians([90.0, 180.0, 270.0]), np.radians([60.0, 120.0, 180.0, 240.0, 300.0]))
"""Where else around its star a spike of four, and of six (or three vanes), has its like."""

SAME_FWHM = 0.75
"""A source this near to a place, in FWHM, is the light there."""

ITS_LIKE = 1.0
"""Light beyond that of the candidate says no more than its like: it may be a star that is there by chance."""


@dataclass(frozen=True)
class RepeatOptions:
    """When a source is taken for a part of its bright neighbour.

    Attributes
    ----------
    stars : the brightest beside which places are compared
    reach_px : largest distance from such a star
    largest_share, halo : only sources below this share, and below ``halo F (FWHM / r)^3`` of a star of flux F
    smallest_snr : other stars are asked where the like of the candidate would have this S/N
    variation : error of the like by itself, as a share
    needed, significance : the mean of what is found, in units of the candidate, and in its errors
    fewest, chance : places that must show it, and how often so many of them may hold a star in a field as full as this
    """

    stars: int = 30
    reach_px: float = 60.0
    largest_share: float = 0.02
    halo: float = 12.0
    smallest_snr: float = 1.5
    variation: float = 0.3
    needed: float = 0.5
    significance: float = 4.0
    fewest: int = 2
    chance: float = 5e-4


def repeated_places(
    frame: FitFrame, residual: NDArray[np.float32], psf: PsfModel, kernel: MatchedFilter, sources: Sources,
    options: RepeatOptions | None = None,
) -> NDArray[np.bool_]:  # fmt: skip
    """Which sources stand where the other bright stars, or their own one elsewhere around it, show the same light.

    Parameters
    ----------
    residual : (ny, nx), the frame without the models of ``sources``
    sources : all that were fitted; those of the kind in question may be among them

    Returns
    -------
    (n,), bool

    Notes
    -----
    The light at a place is the filter flux of the residual and that of the fitted sources there. Over the flux of its
    star and that of the candidate it is 1 for a spike and 0 for nothing; its mean over the stars has weights
    1 / (s^2 + ``variation``^2), with s the noise.
    """
    options = options or RepeatOptions()
    part = np.zeros(len(sources), dtype=bool)
    usable = np.flatnonzero(np.isfinite(sources.x) & np.isfinite(sources.y) & (sources.flux > 0))
    if usable.size < 2:
        return part
    stars = usable[np.argsort(-sources.flux[usable], kind="stable")[: options.stars]]
    c, h = _pairs(sources, usable, stars, psf.fwhm_px, options)
    if c.size == 0:
        return part
    light = _Light(frame, residual, kernel, sources.take(usable), SAME_FWHM * psf.fwhm_px)
    dx, dy = sources.x[c] - sources.x[stars[h]], sources.y[c] - sources.y[stars[h]]
    share = sources.flux[c] / sources.flux[stars[h]]
    expected = share[:, None] * sources.flux[stars]
    asked = (np.arange(stars.size) != h[:, None]) & (expected > options.smallest_snr * light.typical_noise)
    p, k = np.nonzero(asked)
    like = np.full(expected.shape, np.nan)
    error = np.full(expected.shape, np.nan)
    like[p, k], error[p, k] = light.at(
        sources.x[stars[k]] + dx[p], sources.y[stars[k]] + dy[p], expected[p, k], sources.flux[stars[k]]
    )
    filled = _filled(
        sources, usable, stars, h, options.needed * sources.flux[c], options.reach_px, SAME_FWHM * psf.fwhm_px
    )
    found = _confirmed(like, error, filled, options)
    for turns in TURNS:
        cosine, sine = np.cos(turns), np.sin(turns)
        at_x = sources.x[stars[h], None] + dx[:, None] * cosine - dy[:, None] * sine
        at_y = sources.y[stars[h], None] + dx[:, None] * sine + dy[:, None] * cosine
        size = np.broadcast_to(sources.flux[c, None], at_x.shape)
        own = np.broadcast_to(sources.flux[stars[h], None], at_x.shape)
        like, error = (v.reshape(at_x.shape) for v in light.at(at_x.ravel(), at_y.ravel(), size.ravel(), own.ravel()))
        found |= _confirmed(like, error, filled, options)
    part[c[found]] = True
    return part


def _pairs(
    sources: Sources, usable: NDArray[np.intp], stars: NDArray[np.intp], fwhm_px: float, options: RepeatOptions
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Sources and the bright stars (by number) whose parts they may be."""
    away = np.hypot(sources.x[usable, None] - sources.x[stars], sources.y[usable, None] - sources.y[stars])
    share = sources.flux[usable, None] / sources.flux[stars]
    limit = np.minimum(options.largest_share, options.halo * (fwhm_px / np.maximum(away, fwhm_px)) ** 3)
    row, star = np.nonzero((away < options.reach_px) & (share < limit))
    return usable[row], star.astype(np.intp)


def _filled(
    sources: Sources, usable: NDArray[np.intp], stars: NDArray[np.intp], star: NDArray[np.intp], flux: FloatArray,
    reach_px: float, radius_px: float,
) -> FloatArray:  # fmt: skip
    """(n,): share of the field around bright stars, by number, that lies within a radius of a source above a flux."""
    brighter = np.zeros(star.size)
    for number, row in enumerate(stars):  # at most thirty
        here = star == number
        away = np.hypot(sources.x[usable] - sources.x[row], sources.y[usable] - sources.y[row])
        around = np.sort(sources.flux[usable[(away < reach_px) & (usable != row)]])
        brighter[here] = around.size - np.searchsorted(around, flux[here])
    return np.minimum(brighter * (radius_px / reach_px) ** 2, 1.0)


@dataclass(frozen=True, eq=False)
class _Light:
    """What is seen at places of a frame: what is left, and the faint sources that were fitted."""

    frame: FitFrame
    residual: NDArray[np.float32]
    kernel: MatchedFilter
    sources: Sources
    same_px: float

    @property
    def typical_noise(self) -> float:
        """One sigma of a filter flux on the sky."""
        return float(self.kernel.noise_factor * self.frame.typical_rms)

    def at(self, x: FloatArray, y: FloatArray, unit: FloatArray, below: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Light over ``unit`` and its error, (n,); NaN off the frame. Only sources fainter than ``below`` / 50 count."""
        ny, nx = self.frame.shape
        iy, ix = np.rint(y).astype(np.intp), np.rint(x).astype(np.intp)
        outside = (iy < 0) | (ix < 0) | (iy >= ny) | (ix >= nx)
        iy, ix = np.clip(iy, 0, ny - 1), np.clip(ix, 0, nx - 1)
        flux = filter_flux(self.residual, self.frame.state, self.kernel, iy, ix).astype(np.float64)
        tree = cKDTree(np.stack([self.sources.x, self.sources.y], axis=1))
        near, which = tree.query(np.stack([x, y], axis=1), distance_upper_bound=self.same_px)
        there = np.append(self.sources.flux, 0.0)[which]
        flux += np.where(np.isfinite(near) & (there < 0.02 * below), there, 0.0)
        light = np.maximum(np.nan_to_num(self.frame.data[iy, ix] - self.residual[iy, ix]), 0.0)
        noise = self.kernel.noise_factor * np.sqrt(self.frame.rms[iy, ix] ** 2 + self.frame.shot_noise * light)
        flux[outside | (self.frame.state[iy, ix] != 0)] = np.nan
        return flux / unit, np.where(np.isfinite(flux), noise / unit, np.nan)


def _confirmed(like: FloatArray, error: FloatArray, filled: FloatArray, options: RepeatOptions) -> NDArray[np.bool_]:
    """(n,): rows of light (n, places) that together show the like of the candidate, more than stars by chance would."""
    good = np.isfinite(like) & np.isfinite(error)
    seen = np.clip(np.where(good, like, 0.0), -ITS_LIKE, ITS_LIKE)
    weight = np.where(good, 1 / (np.where(good, error, 1.0) ** 2 + options.variation**2), 0.0)
    total = np.maximum(weight.sum(axis=1), 1e-300)
    mean = (weight * seen).sum(axis=1) / total
    by_noise = np.sqrt((weight**2 * np.where(good, error, 0.0) ** 2).sum(axis=1)) / total
    places = np.count_nonzero(good & (like > options.needed), axis=1)
    by_chance = binom.sf(places - 1, good.sum(axis=1), filled)
    seen_often = (places >= options.fewest) & (by_chance < options.chance)
    return np.asarray((mean > options.needed) & (mean > options.significance * by_noise) & seen_often)
