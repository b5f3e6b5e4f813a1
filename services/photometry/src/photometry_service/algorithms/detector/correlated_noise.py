"""Noise that neighbouring pixels share, as in frames that were shifted, drizzled, registered or smoothed.

A kernel of sum 1 leaves the noise of wide sums as it was and makes that of a single pixel smaller. What the pixels of the
sky show between neighbours tells by how much: the correlations rho of all lags add up to R, the variance of a wide sum over
that of as many independent pixels. The photons of a star went through the same kernel, so that a pixel has 1 / R of their
number as variance.

References
----------
Fruchter & Hook (2002), PASP 114, 144, section 6 (correlated noise of drizzled images).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from astro_shared.frame_warnings import FrameWarning, WarningCode
from photometry_service.domain.noise import NoiseCorrelation, overlap

__all__ = ["correlated_noise", "resampled_words"]

FloatArray = NDArray[np.float64]
FloatImage = NDArray[np.float32]

REACH_PX = 4
"""Lags beyond this are not those of a resampling; what pixels so far apart share is structure of the sky."""

SAMPLE_PIXELS, FEWEST_PAIRS = 150_000, 3_000
CLIP_SIGMA, MOST_LIGHT_SIGMA = 4.0, 0.5
"""Pixels of the sky: so near to zero, and with no more light of models than this much of the noise."""

LEAST_CORRELATION, LEAST_SUM = 0.02, 1.15
"""Correlations below the first are chance; a sum below the second changes no error by more than 7 %."""

LEAST_EXCESS = 0.05
"""Light of faint stars is correlated as stars are wide: what pixels two apart share tells how much of it there is. Neighbours
must share that much more than it explains; in crowded fields and globular clusters they share 0.02 more at most."""


def correlated_noise(
    residual: FloatImage, light: FloatImage, rms: FloatImage, good: NDArray[np.bool_], kernel: NDArray[np.floating]
) -> NoiseCorrelation | None:
    """Correlation of the noise of a frame; None where there is none, or where light of faint stars explains it.

    Parameters
    ----------
    residual : (ny, nx), the frame without sky and sources
    light : (ny, nx), the models of the sources
    rms : (ny, nx), one sigma of the sky per pixel, the same unit
    good : (ny, nx), pixels to be used
    kernel : (k, k), a star
    """
    lags = _correlations(residual, light, rms, good)
    if lags is None:
        return None
    found = NoiseCorrelation(np.where(np.abs(lags) < LEAST_CORRELATION, 0.0, lags))
    if found.total < LEAST_SUM:
        return None
    stars = overlap(kernel, REACH_PX)
    explained = _at_distance(lags, 2) * _at_distance(stars, 1) / _at_distance(stars, 2)
    return found if _at_distance(lags, 1) - explained >= LEAST_EXCESS else None


def resampled_words(correlation: NoiseCorrelation | None) -> tuple[FrameWarning, ...]:
    """A sentence where the noise of neighbours is correlated."""
    if correlation is None:
        return ()
    along_x, along_y = correlation.neighbours
    return (
        WarningCode.NOISE_CORRELATED(
            f"the noise of neighbouring pixels is correlated ({along_x:.2f} along x, {along_y:.2f} along y): the frame was "
            "resampled or smoothed (registered, drizzled, stacked). Errors allow for it"
        ),
    )


def _at_distance(lags: FloatArray, px: int) -> float:
    """Mean of the correlations so many pixels apart along x and along y."""
    return float(lags[REACH_PX, REACH_PX + px] + lags[REACH_PX + px, REACH_PX]) / 2


def _correlations(
    residual: FloatImage, light: FloatImage, rms: FloatImage, good: NDArray[np.bool_]
) -> FloatArray | None:
    """(9, 9), from pairs of pixels of the sky, less what pixels beyond these lags share; sampled on large frames."""
    ny, nx = residual.shape
    reach = REACH_PX + 1
    if min(ny, nx) <= 4 * reach:
        return None
    first = np.arange(0, ny - reach, max(1, residual.size // SAMPLE_PIXELS))

    def sky(offset: int) -> tuple[FloatArray, NDArray[np.bool_]]:
        at = first + offset
        noise = np.where(rms[at] > 0, rms[at], np.inf).astype(np.float64)
        value = residual[at] / noise
        usable = good[at] & (np.abs(value) < CLIP_SIGMA) & (np.abs(light[at]) < MOST_LIGHT_SIGMA * noise)
        return np.where(usable, value, 0.0), usable

    planes = [sky(offset) for offset in range(reach + 1)]
    here, is_sky = planes[0]
    if np.count_nonzero(is_sky) < FEWEST_PAIRS:
        return None
    mean, variance = here[is_sky].mean(), here[is_sky].var()
    if not variance > 0:
        return None
    centred = [(np.where(usable, value - mean, 0.0), usable) for value, usable in planes]
    lags = np.zeros((2 * reach + 1, 2 * reach + 1))
    here, is_sky = centred[0]
    for dy, (there, also) in enumerate(centred):
        for dx in range(-reach, reach + 1):
            left, right = slice(max(0, -dx), nx - max(0, dx)), slice(max(0, dx), nx + min(0, dx))
            pairs = np.count_nonzero(is_sky[:, left] & also[:, right])
            value = np.vdot(here[:, left], there[:, right]) / (pairs * variance) if pairs >= FEWEST_PAIRS else 0.0
            lags[reach + dy, reach + dx] = lags[reach - dy, reach - dx] = value
    inner = lags[1:-1, 1:-1]
    far = (lags.sum() - inner.sum()) / (lags.size - inner.size)
    inner = (inner - far) / (1 - far)
    inner[REACH_PX, REACH_PX] = 1.0
    return np.asarray(inner)
