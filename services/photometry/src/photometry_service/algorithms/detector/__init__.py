"""From what a detector wrote to a frame in electrons, and what is wrong with it.

In: raw pixels, header values, bias, dark and flat frames. Out: a calibrated frame with its variance, the level at which
it saturates, the noise that gain and read noise predict, and words about what does not fit (`frame_checks`, `noise`).
"""

from photometry_service.algorithms.detector.calibration_frames import CalibratedImage, apply_calibration
from photometry_service.algorithms.detector.correlated_noise import correlated_noise, resampled_words
from photometry_service.algorithms.detector.cut_off_pixels import visible_light, working_noise, working_pixels
from photometry_service.algorithms.detector.frame_checks import check_image
from photometry_service.algorithms.detector.master_frames import (
    CalibrationError,
    Hold,
    MasterFrame,
    MasterKind,
    Rows,
    build_bias,
    build_dark,
    build_flat,
)
from photometry_service.algorithms.detector.mosaic import blend_mosaic, mosaic_pattern
from photometry_service.algorithms.detector.noise import assess_noise
from photometry_service.algorithms.detector.noise_hypotheses import noise_ratio, told_apart
from photometry_service.algorithms.detector.saturation import find_saturation, level_saturated
from photometry_service.algorithms.detector.sections import (
    Amplifier,
    DetectorSection,
    join_amplifiers,
    parse_section,
    subtract_overscan,
    trim,
)
from photometry_service.algorithms.detector.star_tops import sky_of

__all__ = [
    "Amplifier",
    "CalibratedImage",
    "CalibrationError",
    "DetectorSection",
    "Hold",
    "MasterFrame",
    "MasterKind",
    "Rows",
    "apply_calibration",
    "assess_noise",
    "blend_mosaic",
    "build_bias",
    "build_dark",
    "build_flat",
    "check_image",
    "correlated_noise",
    "find_saturation",
    "join_amplifiers",
    "level_saturated",
    "mosaic_pattern",
    "noise_ratio",
    "parse_section",
    "resampled_words",
    "sky_of",
    "subtract_overscan",
    "told_apart",
    "trim",
    "visible_light",
    "working_noise",
    "working_pixels",
]
