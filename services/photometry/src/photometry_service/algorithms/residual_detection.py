"""Stars hidden by others: detection on the frame from which the known stars are subtracted.

No PSF is perfect, and what it leaves around bright stars looks like faint companions. A candidate must therefore stand
out from the noise of what was subtracted, and from the residuals that bright stars leave at that distance, as measured
on the frame itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from photometry_service.algorithms.detection import MatchedFilter, detect_sources, filter_flux, snr_map
from photometry_service.algorithms.fit_frame import FitFrame
from photometry_service.algorithms.surroundings import circle_levels
from photometry_service.domain.psf import FloatArray, PsfModel, Sources

__all__ = ["ResidualDetectionOptions", "find_companions", "noise_factor", "residual_contrast", "residual_snr"]

SMALLEST_EXCESS = 0.05

RING_ANGLES = np.radians(np.arange(60.0, 301.0, 20.0))
"""Directions from a source, relative to that of a candidate, in which its surroundings are sampled."""

RING_QUANTILE = 0.7


@dataclass(frozen=True)
class ResidualDetectionOptions:
    """Rules for sources on the residual image.

    Attributes
    ----------
    model_error : fraction of the subtracted model that counts as noise
    closest_fwhm : no candidate nearer than this to a known source
    contrast_factor : a candidate near a bright star needs this many times the residual level of such stars
    contrast_stars : stars from which that level is taken, the brightest that are not saturated
    contrast_fwhm : how far from a star the rule reaches
    bright_peak_rms : model peak above which a star is bright, in units of the noise
    fewest_stars : with fewer bright stars than this there is no rule
    ring_factor
        A candidate needs this many times the residual at the same distance all around any brighter source; 0 = no rule.
    """

    model_error: float = 0.03
    closest_fwhm: float = 0.6
    contrast_factor: float = 4.0
    contrast_stars: int = 60
    contrast_fwhm: float = 4.4
    bright_peak_rms: float = 150.0
    fewest_stars: int = 8
    ring_factor: float = 2.0


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


def noise_factor(snr: NDArray[np.float32], kernel: MatchedFilter) -> float:
    """How much wider the noise of an S/N map is than it should be; 1 unless that is significant.

    The distance from the median to the lower 15.87 %: sources that are not subtracted, and what is left of those that
    are, make the upper side wider. Correlated noise (resampled, stacked or compressed frames) and a noise map that is
    too low make it exceed 1. An excess of less than 5 %, or of 5 errors of this estimate, does not count.
    """
    rows = snr[:: max(1, snr.shape[0] // 256)]
    values = rows[rows != 0]
    independent = snr.size / kernel.noise_factor**2
    if values.size == 0 or independent < 100:
        return 1.0
    low, middle = np.percentile(values, [15.8655, 50.0])
    factor = float(middle - low)
    return factor if factor > 1 + max(SMALLEST_EXCESS, 5 / np.sqrt(independent)) else 1.0


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
    found = _above_contrast(frame, residual, psf, kernel, known, found, options)
    return _no_part_of_a_ring(frame, residual, psf, kernel, known, found, options)


def residual_contrast(
    residual: NDArray[np.float32], frame: FitFrame, kernel: MatchedFilter, stars: Sources, reach_px: int
) -> FloatArray:
    """Residual level around stars at each distance, in units of their flux.

    Parameters
    ----------
    stars : bright, unsaturated
    reach_px : largest distance

    Returns
    -------
    (reach_px + 1,)
        1.4826 times the median of ``|filter flux| / F`` on the pixels at each rounded distance; what a perfect PSF
        leaves by noise alone is part of it.
    """
    offset = np.arange(-reach_px, reach_px + 1)
    ring = np.rint(np.hypot(offset[None], offset[:, None])).astype(np.intp).ravel()
    iy, ix = np.rint(stars.y).astype(np.intp), np.rint(stars.x).astype(np.intp)
    shape = (len(stars), offset.size, offset.size)
    rows = np.broadcast_to(iy[:, None, None] + offset[:, None], shape)
    columns = np.broadcast_to(ix[:, None, None] + offset, shape)
    level = filter_flux(residual, frame.state, kernel, rows.ravel(), columns.ravel()).reshape(len(stars), -1)
    relative = np.abs(level / stars.flux[:, None])
    return np.array([1.4826 * np.nanmedian(relative[:, ring == r]) for r in range(reach_px + 1)])


def _above_contrast(
    frame: FitFrame, residual: NDArray[np.float32], psf: PsfModel, kernel: MatchedFilter, known: Sources,
    found: Sources, options: ResidualDetectionOptions,
) -> Sources:  # fmt: skip
    """Candidates that no bright star's residuals explain."""
    centre = kernel.half_px
    peak = known.flux * float(kernel.kernel[centre, centre])
    bright = known.take(peak > options.bright_peak_rms * frame.typical_rms)
    reach = int(np.ceil(options.contrast_fwhm * psf.fwhm_px))
    margin = reach + centre
    ny, nx = frame.shape
    inside = (bright.x > margin) & (bright.y > margin) & (bright.x < nx - 1 - margin) & (bright.y < ny - 1 - margin)
    iy = np.clip(np.rint(bright.y), 0, ny - 1).astype(np.intp)
    ix = np.clip(np.rint(bright.x), 0, nx - 1).astype(np.intp)
    clean = np.flatnonzero(inside & (frame.state[iy, ix] == 0))
    if clean.size < options.fewest_stars or len(found) == 0:
        return found
    brightest = clean[np.argsort(-bright.flux[clean], kind="stable")[: options.contrast_stars]]
    level = residual_contrast(residual, frame, kernel, bright.take(brightest), reach)
    candidates = cKDTree(np.stack([found.x, found.y], axis=1))
    stars = cKDTree(np.stack([bright.x, bright.y], axis=1))
    pairs = candidates.sparse_distance_matrix(stars, float(reach), output_type="ndarray")
    needed = options.contrast_factor * level[np.rint(pairs["v"]).astype(np.intp)] * bright.flux[pairs["j"]]
    spurious = np.zeros(len(found), dtype=bool)
    spurious[pairs["i"][found.flux[pairs["i"]] < needed]] = True
    return found.take(~spurious)


def _no_part_of_a_ring(
    frame: FitFrame, residual: NDArray[np.float32], psf: PsfModel, kernel: MatchedFilter, known: Sources,
    found: Sources, options: ResidualDetectionOptions,
) -> Sources:  # fmt: skip
    """Candidates that stand out of what is left all around a brighter source at the same distance.

    An extended object (a galaxy) leaves a ring where a star leaves noise.
    """
    if len(found) == 0 or options.ring_factor <= 0:
        return found
    reach = options.contrast_fwhm * psf.fwhm_px
    candidates = cKDTree(np.stack([found.x, found.y], axis=1))
    hosts = cKDTree(np.stack([known.x, known.y], axis=1))
    pairs = candidates.sparse_distance_matrix(hosts, reach, output_type="ndarray")
    pairs = pairs[known.flux[pairs["j"]] > found.flux[pairs["i"]]]
    c, h = pairs["i"], pairs["j"]
    towards = np.arctan2(found.y[c] - known.y[h], found.x[c] - known.x[h])
    level = circle_levels(
        frame, residual, kernel, known.x[h], known.y[h], pairs["v"][:, None], towards[:, None] + RING_ANGLES
    )
    around = np.quantile(np.nan_to_num(level), RING_QUANTILE, axis=1)
    part = np.zeros(len(found), dtype=bool)
    part[c[found.flux[c] < options.ring_factor * around]] = True
    return found.take(~part)
