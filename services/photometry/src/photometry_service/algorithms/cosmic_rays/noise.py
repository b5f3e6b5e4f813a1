"""Noise for the cosmic-ray search where gain and read noise can not be right.

L.A.Cosmic takes the noise from the pixel values. On a sky-subtracted, rescaled or biased frame, or with a wrong gain,
that noise is far from the true one and the search flags everything or nothing. There the measured noise is used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astro_shared.frame_warnings import FrameWarning, WarningCode
from photometry_service.algorithms.background.estimate import BackgroundOptions, NoGoodPixelsError, estimate_background
from photometry_service.algorithms.background.map import Background
from photometry_service.algorithms.detector.noise import SUSPECT_RATIO, model_rms
from photometry_service.domain.frame import Frame, NoiseModel

__all__ = ["SearchPixels", "search_pixels"]

ASSUMED_SKY_NOISE_E = 10.0
"""Noise of the sky, electron, to which a frame of unknown gain is scaled: sets how much its stars add."""


MIN_EXPLAINED_SHARE = 0.7
"""Share of the meshes whose noise the header must explain."""


@dataclass(frozen=True, eq=False)
class SearchPixels:
    """What the search works on.

    Attributes
    ----------
    data : (ny, nx), electron times ``scale``
    variance : (ny, nx), square of that, or None for the noise of the pixel values themselves
    read_noise_e, saturation_e : in the unit of ``data``
    scale : 1 unless the gain is unknown and wrong
    warnings : a sentence where the measured noise replaces the header's
    """

    data: NDArray[np.float32]
    variance: NDArray[np.float32] | None
    read_noise_e: float
    saturation_e: float
    scale: float = 1.0
    warnings: tuple[FrameWarning, ...] = ()


def search_pixels(frame: Frame) -> SearchPixels:
    """Pixels and noise for the search: the frame's own while its noise is within a factor of two of the measured one.

    Notes
    -----
    Otherwise V = rms^2 + max(data - sky, 0); when the gain was only assumed, in units in which the rms is 10. Frames
    with a variance plane, and frames without any noise, are left as they are.
    """
    plain = SearchPixels(frame.data, frame.variance, frame.read_noise_e, frame.saturation_e)
    if frame.variance is not None:
        return plain
    for thorough in (False, True):  # one pass takes a steep sky for noise
        try:
            background = estimate_background(frame.data, frame.mask, BackgroundOptions(mask_sources=thorough))
        except NoGoodPixelsError:
            return plain
        if not background.rms_median > 0 or _explains(background, frame):
            return plain
    unknown_gain = frame.noise_model is NoiseModel.ASSUMED
    scale = ASSUMED_SKY_NOISE_E / background.rms_median if unknown_gain else 1.0
    factor = np.float32(scale)
    light = background.subtract_from(frame.data)
    light *= factor
    np.maximum(light, 0, out=light)
    light += (background.rms_map() * factor) ** 2
    warning = WarningCode.COSMIC_RAY_SEARCH_ADAPTED(
        f"gain and read noise do not explain the noise of the sky ({background.rms_median:.3g} per pixel): cosmic rays "
        "were searched with the measured noise"
    )
    data = frame.data if scale == 1.0 else frame.data * factor
    return SearchPixels(data, light, 0.0, frame.saturation_e * scale, scale, (warning,))


def _explains(background: Background, frame: Frame) -> bool:
    """Whether the header's noise is within a factor of two of the measured one over most of the frame."""
    model = model_rms(background.mesh, read_noise_e=frame.read_noise_e, gain_e_per_adu=frame.gain_e_per_adu)
    model = np.where(background.mesh > 0, model, np.inf)
    ratio = background.mesh_rms / np.maximum(model, np.finfo(np.float64).tiny)
    return bool(np.mean((ratio >= SUSPECT_RATIO[0]) & (ratio <= SUSPECT_RATIO[1])) >= MIN_EXPLAINED_SHARE)
