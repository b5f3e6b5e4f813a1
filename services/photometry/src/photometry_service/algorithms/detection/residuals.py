"""Stars hidden by others: detection on the frame from which the known stars are subtracted.

No PSF is perfect, and what it leaves around bright stars looks like faint companions. A candidate must therefore stand
out from the noise of what was subtracted, and from the residuals that bright stars leave at that distance, as measured
on the frame itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from photometry_service.algorithms.detection.fit_frame import FitFrame
from photometry_service.algorithms.detection.matched_filter import MatchedFilter, detect_sources, snr_map
from photometry_service.algorithms.detection.residual_pattern import (
    PatternOptions,
    noisy_levels,
    residual_pattern,
    share_explained,
)
from photometry_service.domain.psf import PsfModel, Sources

__all__ = ["ResidualDetectionOptions", "find_companions", "noise_factor", "residual_snr"]

SMALLEST_EXCESS = 0.05
LARGEST_PATTERN_PX = 40

RING_ANGLES = np.radians(np.arange(60.0, 301.0, 20.0))
"""Directions from a source, relative to that of a candidate, in which its surroundings are sampled."""

RING_STEPS_PX = np.array([-1.0, 0.0, 1.0])
RING_QUANTILE = 0.7
HALO = 3.0
"""Beyond ``ring_fwhm`` only sources below 3 F (FWHM / r)^3 of a star of flux F can be part of its halo."""


@dataclass(frozen=True)
class ResidualDetectionOptions:
    """Rules for sources on the residual image.

    Attributes
    ----------
    model_error : fraction of the subtracted model that counts as noise
    closest_fwhm : no candidate nearer than this to a known source
    pattern : a candidate must stand out of what bright stars leave around them
    pattern_fwhm : how far from a star that rule reaches, in widths of the major axis; at least as far as the PSF's tables
    ring_factor, ring_fwhm
        A candidate needs this many times the residual at the same distance, up to this, all around any brighter source;
        0 = no rule.
    """

    model_error: float = 0.03
    closest_fwhm: float = 0.6
    pattern: PatternOptions = field(default_factory=PatternOptions)
    pattern_fwhm: float = 4.4
    ring_factor: float = 2.0
    ring_fwhm: float = 4.4


def residual_snr(
    frame: FitFrame,
    residual: NDArray[np.float32],
    kernel: MatchedFilter,
    *,
    options: ResidualDetectionOptions | None = None,
    buffer: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """S/N map of the residual image, the noise of the subtracted models M included: (ny, nx).

    The variance per pixel is ``rms^2 + shot_noise M + (model_error M)^2``; ``buffer`` is memory for the map. Centres on
    bad or saturated pixels are zero where too little of the kernel is left.
    """
    options = options or ResidualDetectionOptions()
    return snr_map(
        residual, frame.rms, kernel, frame.state, frame=frame.data,
        shot_noise=frame.shot_noise, model_error=options.model_error, out=buffer,
    )  # fmt: skip


def noise_factor(snr: NDArray[np.float32], kernel: MatchedFilter, expected: float = 1.0) -> float:
    """How wide the noise of an S/N map is; as expected unless it is significantly wider.

    The distance from the median to the lower 15.87 %: sources that are not subtracted, and what is left of those that
    are, make the upper side wider. Independent pixels of known noise give 1, correlated ones (resampled, stacked or
    compressed frames) and a noise map that is too low more. An excess of less than 5 %, or of 5 errors of this estimate,
    does not count.
    """
    rows = snr[:: max(1, snr.shape[0] // 256)]
    values = rows[rows != 0]
    independent = snr.size / kernel.noise_factor**2
    if values.size == 0 or independent < 100:
        return expected
    low, middle = np.percentile(values, [15.8655, 50.0])
    factor = float(middle - low)
    return factor if factor > expected * (1 + max(SMALLEST_EXCESS, 5 / np.sqrt(independent))) else expected


def find_companions(
    frame: FitFrame,
    residual: NDArray[np.float32],
    psf: PsfModel,
    kernel: MatchedFilter,
    known: Sources,
    threshold: float,
    *,
    snr: NDArray[np.float32] | None = None,
    options: ResidualDetectionOptions | None = None,
) -> Sources:
    """Find sources that are not known yet.

    Parameters
    ----------
    residual : (ny, nx), the frame without the models of ``known``
    known : fitted sources; ``flux`` as fitted
    threshold : in the map of ``residual_snr``
    snr : (ny, nx), that map, when it is there already

    Returns
    -------
    Sources
        New ones only, in reading order. Centres on saturated pixels are not searched.
    """
    options = options or ResidualDetectionOptions()
    snr = residual_snr(frame, residual, kernel, options=options) if snr is None else snr
    found = detect_sources(residual, snr, kernel, frame.state, threshold)
    found = found.take(np.isfinite(found.flux))
    usable = np.isfinite(known.x) & np.isfinite(known.y) & np.isfinite(known.flux)
    known = known.take(usable)
    if len(found) == 0 or len(known) == 0:
        return found
    distance = cKDTree(np.stack([known.x, known.y], axis=1)).query(np.stack([found.x, found.y], axis=1))[0]
    found = found.take(distance > options.closest_fwhm * psf.fwhm_px)
    found = _above_pattern(frame, residual, psf, kernel, known, found, options)
    return _no_part_of_a_ring(frame, residual, psf, kernel, known, found, options)


def _above_pattern(
    frame: FitFrame, residual: NDArray[np.float32], psf: PsfModel, kernel: MatchedFilter, known: Sources,
    found: Sources, options: ResidualDetectionOptions,
) -> Sources:  # fmt: skip
    """Candidates that the residuals of no brighter star explain."""
    if len(found) == 0 or options.pattern.spread_factor <= 0:
        return found
    reach = int(np.clip(ceil(options.pattern_fwhm * psf.major_fwhm_px), psf.half_px, LARGEST_PATTERN_PX))
    pattern = residual_pattern(frame, residual, kernel, known, reach, options.pattern)
    if pattern is None:
        return found
    bright = known.take(known.flux > 0)
    candidates = cKDTree(np.stack([found.x, found.y], axis=1))
    stars = cKDTree(np.stack([bright.x, bright.y], axis=1))
    pairs = candidates.sparse_distance_matrix(stars, float(reach), output_type="ndarray")
    c, h = pairs["i"], pairs["j"]
    largest = np.nanmax(np.abs(pattern.level), axis=(0, 2))[np.rint(pairs["v"]).astype(np.intp)]
    doubtful = found.flux[c] < (options.pattern.mean_factor + options.pattern.spread_factor) * largest * bright.flux[h]
    c, h, distance = c[doubtful], h[doubtful], pairs["v"][doubtful]
    direction = np.arctan2(found.y[c] - bright.y[h], found.x[c] - bright.x[h])
    share = pattern.explained(bright.x[h], bright.y[h], distance, direction, options.pattern)
    spurious = np.zeros(len(found), dtype=bool)
    spurious[c[found.flux[c] < share * bright.flux[h]]] = True
    return found.take(~spurious)


def _no_part_of_a_ring(
    frame: FitFrame, residual: NDArray[np.float32], psf: PsfModel, kernel: MatchedFilter, known: Sources,
    found: Sources, options: ResidualDetectionOptions,
) -> Sources:  # fmt: skip
    """Candidates that stand out of what is left all around a brighter source at the same distance.

    An extended object (a galaxy) leaves a ring where a star leaves noise, and a star brighter than all that show the
    pattern leaves more than these.
    """
    if len(found) == 0 or options.ring_factor <= 0:
        return found
    near, far = options.ring_fwhm * psf.fwhm_px, float(LARGEST_PATTERN_PX)
    candidates = cKDTree(np.stack([found.x, found.y], axis=1))
    hosts = cKDTree(np.stack([known.x, known.y], axis=1))
    pairs = candidates.sparse_distance_matrix(hosts, max(near, far), output_type="ndarray")
    ratio = found.flux[pairs["i"]] / known.flux[pairs["j"]]
    limit = np.where(pairs["v"] <= near, 1.0, np.minimum(1.0, HALO * (psf.fwhm_px / pairs["v"]) ** 3))
    pairs = pairs[(ratio > 0) & (ratio < limit)]
    c, h = pairs["i"], pairs["j"]
    towards = np.arctan2(found.y[c] - known.y[h], found.x[c] - known.x[h])
    angle, step = (v.ravel() for v in np.meshgrid(RING_ANGLES, RING_STEPS_PX))
    level, noise = noisy_levels(
        frame, residual, kernel, known.x[h], known.y[h], pairs["v"][:, None] + step, towards[:, None] + angle
    )
    same = level[:, step == 0]
    around = np.quantile(np.nan_to_num(same), RING_QUANTILE, axis=1)
    needed = np.maximum(options.ring_factor * around, share_explained(level, noise, options.pattern))
    part = np.zeros(len(found), dtype=bool)
    part[c[found.flux[c] < needed]] = True
    return found.take(~part)
