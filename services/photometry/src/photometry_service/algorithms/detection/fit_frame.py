"""The pixels that a PSF fit reads, in the form its kernels want them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import frexp, isfinite, ldexp

import numpy as np
from numpy.typing import NDArray

from photometry_service.domain.noise import NoiseCorrelation

__all__ = ["BAD", "SATURATED", "FitFrame", "fit_frame", "saturated_centre"]

BAD, SATURATED = 1, 2
"""Bits of ``FitFrame.state``."""

COMFORTABLE = (-10, 20)
"""Binary exponents of the noise within which single precision needs no scaling."""


@dataclass(frozen=True, eq=False)
class FitFrame:
    """Pixels, noise and what is wrong with them.

    Attributes
    ----------
    data : (ny, nx), background subtracted, in units of ``unit``; may be NaN where ``state`` is bad
    rms : (ny, nx), the same unit; one sigma per pixel without the sources, 1 where it was not positive
    state : (ny, nx), uint8, 0 good, ``BAD``, ``SATURATED``
        Neither bad nor saturated pixels have weight in a fit; saturated ones count in detection.
    shot_noise : variance per unit of signal, both in ``unit``
    unit : size of the unit in that of the input; a power of two, so that scaling does not round
    correlation : of the noise, where neighbouring pixels share it; ``rms`` and ``shot_noise`` are those of single pixels
    """

    data: NDArray[np.float32]
    rms: NDArray[np.float32]
    state: NDArray[np.uint8]
    shot_noise: float = 1.0
    unit: float = 1.0
    correlation: NoiseCorrelation | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx)."""
        return (self.data.shape[0], self.data.shape[1])

    @property
    def bad(self) -> NDArray[np.uint8]:
        """(ny, nx), uint8: not zero where a pixel must not be read at all."""
        return self.state & np.uint8(BAD)

    @property
    def saturated(self) -> NDArray[np.bool_]:
        """(ny, nx), bool."""
        return (self.state & np.uint8(SATURATED)) != 0

    @cached_property
    def typical_rms(self) -> float:
        """Median noise of the good pixels (every seventh row)."""
        rows = slice(None, None, 7 if self.shape[0] > 700 else 1)
        good = self.rms[rows][self.state[rows] == 0]
        return float(np.median(good)) if good.size else 1.0

    def without(self, level: NDArray[np.float32]) -> FitFrame:
        """Return the frame minus another background level (in the same unit)."""
        return replace(self, data=self.data - level)

    def noise_width(self, weights: NDArray[np.floating]) -> float:
        """Noise of a weighted sum (k, k) of pixels of the sky over that of independent ones."""
        return 1.0 if self.correlation is None else float(np.sqrt(self.correlation.variance_factor(weights)))

    def resampled(self, correlation: NoiseCorrelation) -> FitFrame:
        """Return the frame as one whose photons went through the kernel that correlates its noise."""
        return replace(self, shot_noise=self.shot_noise / correlation.total, correlation=correlation)


def fit_frame(
    data: NDArray[np.float32],
    rms: NDArray[np.float32],
    mask: NDArray[np.bool_] | None = None,
    saturated: NDArray[np.bool_] | None = None,
    shot_noise: float = 1.0,
) -> FitFrame:
    """Prepare a frame for detection and fits.

    Parameters
    ----------
    data : (ny, nx), background subtracted; not finite = bad
    rms : (ny, nx), one sigma per pixel without the sources; not positive or not finite = bad
    mask, saturated : (ny, nx), bool
    shot_noise : variance per unit of signal: 1 for electrons, 0 for a frame of unknown gain, limited by its background

    Notes
    -----
    Frames whose noise is far from 1 (calibrated fluxes of 1e-11, say) are scaled by a power of two.
    """
    if data.shape != rms.shape or data.ndim != 2:
        raise ValueError(f"data are {data.shape}, their noise {rms.shape}")
    if not (isfinite(shot_noise) and shot_noise >= 0):
        raise ValueError(f"shot noise must not be negative, not {shot_noise}")
    usable = np.isfinite(data) & np.isfinite(rms) & (rms > 0)
    if mask is not None:
        usable &= ~mask
    state = np.where(usable, np.uint8(0), np.uint8(BAD))
    if saturated is not None:
        state[saturated & usable] |= np.uint8(SATURATED)
    if not (np.isfinite(rms).all() and rms.min() > 0):
        rms = np.where(np.isfinite(rms) & (rms > 0), rms, np.float32(0))
    frame = FitFrame(
        np.ascontiguousarray(data, dtype=np.float32), np.ascontiguousarray(rms, dtype=np.float32), state, shot_noise
    )
    typical = frame.typical_rms
    exponent = frexp(typical)[1] if isfinite(typical) and typical > 0 else 0
    if COMFORTABLE[0] <= exponent <= COMFORTABLE[1]:
        return frame
    scale = np.float32(ldexp(1.0, -exponent))
    return FitFrame(frame.data * scale, frame.rms * scale, state, shot_noise * float(scale), unit=1.0 / float(scale))


def saturated_centre(frame: FitFrame, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n,): whether the pixel nearest to a position is saturated."""
    iy = np.clip(np.rint(y), 0, frame.shape[0] - 1).astype(np.intp)
    ix = np.clip(np.rint(x), 0, frame.shape[1] - 1).astype(np.intp)
    return np.asarray((frame.state[iy, ix] & SATURATED) != 0)
