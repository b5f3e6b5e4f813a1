"""A frame in electrons, ready for the algorithms: pixels, mask and what is known of the detector."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf, isfinite

import numpy as np
from numpy.typing import NDArray

from astro_shared.frame_warnings import FrameWarning

__all__ = ["Frame", "NoiseModel"]


class NoiseModel(StrEnum):
    """Where gain and read noise came from."""

    HEADER = "header"
    REQUEST = "request"
    ASSUMED = "assumed"


@dataclass(frozen=True, eq=False)
class Frame:
    """One image plane in electrons with its bad pixels and the detector's constants.

    Attributes
    ----------
    data : (ny, nx), electron, float32 in native byte order, C-contiguous
        Indexed ``[y, x]``, background included. Values of masked pixels have no meaning but are finite.
    mask : (ny, nx), bool
        True where a pixel must not be used.
    gain_e_per_adu : electron / ADU, positive
    read_noise_e : electron, one sigma per pixel
    saturation_e : electron
        A pixel at or above this level is saturated; infinite when nothing is known.
    noise_model
        ``assumed`` when gain or read noise were in neither request nor header.
    variance : (ny, nx), electron^2, or None
        Variance carried along by a calibration with master frames.
    exposure_s : s, or None
    filter_name : as in the header, or None
    mid_time_mjd : day, UTC modified Julian date of mid-exposure, or None
    warnings : what had to be assumed or mended on the way here, one sentence each
    """

    data: NDArray[np.float32]
    mask: NDArray[np.bool_]
    gain_e_per_adu: float = 1.0
    read_noise_e: float = 0.0
    saturation_e: float = inf
    noise_model: NoiseModel = NoiseModel.ASSUMED
    variance: NDArray[np.float32] | None = None
    exposure_s: float | None = None
    filter_name: str | None = None
    mid_time_mjd: float | None = None
    warnings: tuple[FrameWarning, ...] = ()

    def __post_init__(self) -> None:
        """Refuse arrays that a kernel could not read and constants without meaning."""
        if self.data.ndim != 2 or self.data.dtype != np.float32 or not self.data.dtype.isnative:
            raise ValueError(f"frame data must be 2-D native float32, not {self.data.ndim}-D {self.data.dtype}")
        if not self.data.flags.c_contiguous:
            raise ValueError("frame data must be C-contiguous")
        planes = [("mask", self.mask, np.bool_), ("variance", self.variance, np.float32)]
        for name, plane, dtype in planes:
            if plane is not None and (plane.shape != self.data.shape or plane.dtype != dtype):
                raise ValueError(f"{name} is {plane.shape} {plane.dtype}, the data {self.data.shape}")
        if not (isfinite(self.gain_e_per_adu) and self.gain_e_per_adu > 0):
            raise ValueError(f"gain must be positive, not {self.gain_e_per_adu}")
        if not (isfinite(self.read_noise_e) and self.read_noise_e >= 0):
            raise ValueError(f"read noise must not be negative, not {self.read_noise_e}")
        if not self.saturation_e > 0:
            raise ValueError(f"saturation must be positive, not {self.saturation_e}")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns, (ny, nx)."""
        return (self.data.shape[0], self.data.shape[1])

    def with_pixels(self, data: NDArray[np.float32], mask: NDArray[np.bool_] | None = None) -> Frame:
        """Return the same frame with other pixels, and another mask if given."""
        return replace(self, data=data, mask=self.mask if mask is None else mask)

    def with_warning(self, *warnings: FrameWarning) -> Frame:
        """Return the same frame with warnings added."""
        return replace(self, warnings=(*self.warnings, *warnings))
