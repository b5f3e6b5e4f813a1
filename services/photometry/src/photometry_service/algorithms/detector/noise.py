"""Noise of sky and of sums over pixels: the CCD equation in electrons.

References
----------
Merline & Howell (1995), Experimental Astronomy 6, 163.
Howell (2006), Handbook of CCD Astronomy, section 4.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import numpy as np
from numpy.typing import ArrayLike, NDArray

from astro_shared.frame_warnings import FrameWarning, WarningCode
from photometry_service.algorithms.background.estimate import Background
from photometry_service.domain.frame import Frame, NoiseModel

__all__ = [
    "NoiseQuality",
    "assess_noise",
    "model_rms",
    "sum_variance",
]

PEDESTAL = ", or a pedestal in the level that the header does not name (then fluxes and errors are right as they are)"
"""A constant in the sky raises the noise that its photons would have, and not the noise."""

HEALTHY_RATIO = (0.9, 1.1)
SUSPECT_RATIO = (0.5, 2.0)

MEDIAN_PENALTY = pi / 2
"""Variance of a median over that of a mean of the same Gaussian values."""


@dataclass(frozen=True)
class NoiseQuality:
    """Measured noise of the sky against what gain and read noise say.

    Attributes
    ----------
    measured_e, model_e : medians over the frame, electron, one sigma per pixel
    rms_ratio : measured / model; NaN when the model is zero, the sky below zero, or cut off below
    healthy : the ratio lies in 0.9..1.1
    warnings : a sentence when the ratio lies outside 0.5..2
    """

    measured_e: float
    model_e: float
    rms_ratio: float
    healthy: bool
    warnings: tuple[FrameWarning, ...]


def model_rms(
    sky_e: ArrayLike, *, read_noise_e: float, gain_e_per_adu: float, dark_e: ArrayLike = 0.0
) -> NDArray[np.float64]:
    """One sigma per pixel from the header's constants.

    Parameters
    ----------
    sky_e, dark_e : scalar or (ny, nx), electron per pixel; a negative sky counts as zero
    read_noise_e : electron
    gain_e_per_adu : electron / ADU

    Returns
    -------
    scalar or (ny, nx), electron

    Notes
    -----
    sigma^2 = B + D + R^2 + G^2 / 12, the last term for the digitisation.
    """
    light = np.maximum(np.asarray(sky_e, np.float64), 0.0) + np.asarray(dark_e, np.float64)
    return np.sqrt(light + read_noise_e**2 + gain_e_per_adu**2 / 12)


def assess_noise(background: Background, frame: Frame, correlation_sum: float = 1.0) -> NoiseQuality:
    """Compare the measured rms with the model; the measured one is used, never the sum of both.

    Parameters
    ----------
    correlation_sum : variance of a wide sum of the sky over that of as many independent pixels; resampling took this off
        the variance of a single one

    Returns
    -------
    NoiseQuality
        The model is the frame's variance where a calibration carried one.
        A ratio far from 1 means a wrong gain or read noise, a subtracted sky, or a stacked or resampled frame.
    """
    if frame.variance is not None:
        # carried along by the calibration: it knows the sky before masters and overscan were taken off
        expected = np.full(1, np.sqrt(np.median(frame.variance[~frame.mask])))
    else:
        expected = model_rms(background.mesh, read_noise_e=frame.read_noise_e, gain_e_per_adu=frame.gain_e_per_adu)
    expected = expected / np.sqrt(correlation_sum)
    measured, model = background.rms_median, float(np.median(expected))
    meaningful = background.median > 0 and model > 0 and background.floor is None
    ratio = float(np.median(background.mesh_rms / expected)) if meaningful else float("nan")
    warnings: tuple[FrameWarning, ...] = ()
    if meaningful and not SUSPECT_RATIO[0] <= ratio <= SUSPECT_RATIO[1]:
        origin = "assumed" if frame.noise_model is NoiseModel.ASSUMED else "given"
        warnings = (
            WarningCode.NOISE_UNEXPLAINED(
                f"sky noise is {measured:.3g} e per pixel, {ratio:.2g} times what the {origin} gain "
                f"({frame.gain_e_per_adu:g} e/ADU) and read noise ({frame.read_noise_e:g} e) predict: gain suspect"
                + (PEDESTAL if ratio < SUSPECT_RATIO[0] else "")
            ),
        )
    healthy = meaningful and HEALTHY_RATIO[0] <= ratio <= HEALTHY_RATIO[1]
    return NoiseQuality(measured, model, ratio, healthy, warnings)


def sum_variance(
    flux_e: ArrayLike,
    area_px: ArrayLike,
    sigma_e: ArrayLike,
    sky_pixels: ArrayLike,
    *,
    sky_is_median: bool,
    flat_error: float = 0.0,
    width2: ArrayLike = 1.0,
    widest2: float = 1.0,
) -> NDArray[np.float64]:
    """Variance of the sum over an aperture.

    Parameters
    ----------
    flux_e : (n, ...) source flux in the aperture, electron; negative counts as zero
    area_px : (n, ...) pixels summed
    sigma_e : (n, ...) sky noise per pixel, electron
    sky_pixels : (n, ...) pixels that gave the sky level, positive
    sky_is_median : the level was a median (k = pi / 2) and not a mean (k = 1)
    flat_error : relative error of the flat field, added only when given
    width2 : (n, ...) where neighbouring pixels share noise: variance of the sum over that of independent pixels
    widest2 : the same of wide sums

    Returns
    -------
    (n, ...), electron^2

    Notes
    -----
    var = v (F / R + n sigma^2) + R k n^2 sigma^2 / n_B + (flat_error F)^2 with v = ``width2`` and R = ``widest2``.
    """
    flux = np.maximum(np.asarray(flux_e, np.float64), 0.0)
    area, sigma2 = np.asarray(area_px, np.float64), np.square(np.asarray(sigma_e, np.float64))
    penalty = MEDIAN_PENALTY if sky_is_median else 1.0
    sky = penalty * area**2 * sigma2 / np.asarray(sky_pixels, np.float64)
    return np.asarray(width2) * (flux / widest2 + area * sigma2) + widest2 * sky + (flat_error * flux) ** 2
