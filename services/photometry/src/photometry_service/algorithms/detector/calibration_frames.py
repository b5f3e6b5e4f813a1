"""Bias, dark and flat applied to a frame, with its variance.

Masters (``master_frames``) are in ADU, the calibrated image in electrons. Overscan and trimming come first
(``detector_sections``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astro_shared.frame_warnings import FrameWarning
from photometry_service.algorithms.detector.master_frames import MIN_FLAT, MasterFrame, check_shape, pedestal

__all__ = ["CalibratedImage", "apply_calibration"]


@dataclass(frozen=True, eq=False)
class CalibratedImage:
    """A frame after calibration.

    Attributes
    ----------
    data, variance : (ny, nx), electron and electron^2
    mask : (ny, nx), bad before or made bad by a master
    saturated : (ny, nx), at or above the saturation of the raw frame
    saturation_e : electron, saturation carried through the calibration (99 % of the pixels saturate above it);
        infinite when unknown
    warnings : sentences
    """

    data: NDArray[np.float32]
    variance: NDArray[np.float32]
    mask: NDArray[np.bool_]
    saturated: NDArray[np.bool_]
    saturation_e: float
    warnings: tuple[FrameWarning, ...]


def apply_calibration(
    raw: NDArray[np.float32],
    mask: NDArray[np.bool_],
    *,
    gain_e_per_adu: float,
    read_noise_e: float,
    exposure_s: float | None = None,
    saturation_adu: float = np.inf,
    bias: MasterFrame | None = None,
    dark: MasterFrame | None = None,
    flat: MasterFrame | None = None,
) -> CalibratedImage:
    """Calibrate a frame: (raw - bias - (t / t_dark) dark) / flat, in electrons, with its variance.

    Parameters
    ----------
    raw : (ny, nx), ADU
    mask : (ny, nx), True = bad
    exposure_s : s, needed with a dark

    Returns
    -------
    CalibratedImage
        Pixels whose flat is below 0.1 or whose masters have no value are masked; they keep their undivided value.

    Raises
    ------
    CalibrationError
        Shapes differ, or a dark can not be scaled.

    Notes
    -----
    With n = G (raw - bias) the electrons of light and dark, f the flat and S the calibrated value:
    V = [max(n, 0) + R^2 + G^2/12 + G^2 (V_bias + (t/t_d)^2 V_dark) + S^2 V_flat] / f^2.
    The bias in a bias-subtracted dark is taken as independent of the master bias.
    """
    for master in (bias, dark, flat):
        check_shape(raw.shape, master)
    gain = np.float32(gain_e_per_adu)
    level, level_variance, bias_level, warnings = pedestal(raw.shape, exposure_s, bias, dark)
    signal = (raw - level) * gain
    variance = np.maximum((raw - bias_level) * gain, 0) + gain**2 * level_variance
    variance += np.float32(read_noise_e**2 + gain_e_per_adu**2 / 12)
    bad = mask.copy()
    for master in (bias, dark):
        if master is not None:
            bad |= master.mask
    divisor = np.ones(raw.shape, np.float32)
    if flat is not None:
        bad |= flat.mask | ~(flat.data >= MIN_FLAT)
        divisor = np.where(bad, np.float32(1), flat.data)
        signal = signal / divisor
        variance = (variance + signal**2 * np.where(bad, np.float32(0), flat.variance)) / divisor**2
    lowest = (saturation_adu - float(np.median(level))) * gain_e_per_adu / float(np.quantile(divisor, 0.99))
    return CalibratedImage(
        data=np.ascontiguousarray(signal, dtype=np.float32),
        variance=np.ascontiguousarray(variance, dtype=np.float32),
        mask=bad,
        saturated=raw >= saturation_adu,
        saturation_e=float(lowest),
        warnings=warnings,
    )
