"""The distortion of a camera, in pixels of its detector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["DistortionSample"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DistortionSample:
    """The distortion that one frame showed.

    Attributes
    ----------
    nx, ny : pixel, size of the frame
    terms_px : (2, k), pixel, coefficients of the Legendre products of degree two and more
    covariance_px2 : (k, k), pixel^2, of one axis
    """

    nx: int
    ny: int
    terms_px: Floats
    covariance_px2: Floats
