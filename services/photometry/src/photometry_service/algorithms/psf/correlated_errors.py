"""By how much correlated noise widens the errors of fits, which count pixels as independent.

A fit is a weighted sum of pixels. Its variance over that of independent ones depends on the weights times the noise of the
pixels: of a faint star they follow the profile, of a bright one they are wider, and those of a place change sign.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from photometry_service.algorithms.detection.fit_frame import FitFrame
from photometry_service.algorithms.psf.fit import FitOptions
from photometry_service.algorithms.psf.model import evaluate_psf
from photometry_service.domain.psf import FloatArray, PsfModel

__all__ = ["ErrorFactors", "error_factors"]

FLUX_OVER_NOISE = np.geomspace(1.0, 1e6, 13)
"""Fluxes over the noise of a pixel for which the factors are computed; others lie between."""


@dataclass(frozen=True, eq=False)
class ErrorFactors:
    """Errors over those of independent pixels, of flux, x and y, (n,) each."""

    flux: FloatArray
    x: FloatArray
    y: FloatArray


def error_factors(frame: FitFrame, psf: PsfModel, flux: FloatArray, options: FitOptions) -> ErrorFactors:
    """Factors of fitted stars, (n,) fluxes in the unit of the frame; those of the PSF at the centre of the field."""
    correlation = frame.correlation
    if correlation is None:
        same = np.ones(flux.size)
        return ErrorFactors(same, same, same)
    half = max(options.smallest_radius_px, round(options.radius_fwhm * psf.major_fwhm_px))
    middle = np.array([[frame.shape[1] // 2], [frame.shape[0] // 2]], dtype=np.float64)
    parts = [part[0].astype(np.float64) for part in evaluate_psf(psf, middle[0], middle[1], half)]
    offset = np.arange(-half, half + 1)
    inside = np.hypot(offset[:, None], offset) < half + 0.5
    factors = np.empty((3, FLUX_OVER_NOISE.size))
    for k, level in enumerate(FLUX_OVER_NOISE):
        model = level * frame.typical_rms * np.maximum(parts[0], 0.0)
        variance = frame.typical_rms**2 + frame.shot_noise * model
        weight = inside * np.sqrt(variance) / (variance + (options.weight_floor * model) ** 2)
        factors[:, k] = [np.sqrt(correlation.variance_factor(weight * part)) for part in parts]
    at = np.log(np.maximum(np.nan_to_num(flux) / frame.typical_rms, FLUX_OVER_NOISE[0]))
    return ErrorFactors(*(np.interp(at, np.log(FLUX_OVER_NOISE), row) for row in factors))
