"""A fitted zero point as other services hold it, and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from astro_shared.contracts.photometry import ZeroPointTerms
from photometry_service.algorithms.calibration import ZeroPointModel

Array = NDArray[np.float64]


def normalised(x: Array, y: Array, width_px: int, height_px: int) -> tuple[Array, Array]:
    """Places in -1..1 over the frame, as `ZeroPointModel.at` wants them."""
    return 2 * (x + 0.5) / width_px - 1, 2 * (y + 0.5) / height_px - 1


def as_terms(fit: ZeroPointModel) -> ZeroPointTerms:
    return ZeroPointTerms(
        coefficients=tuple(fit.coefficients.tolist()),
        covariance=tuple(tuple(row) for row in fit.covariance.tolist()),
        has_color=fit.has_color,
        spatial_order=fit.spatial_order,
        color_zero=fit.color_zero,
        color_scatter=fit.color_scatter,
        sigma_int=fit.sigma_int,
    )


def as_model(terms: ZeroPointTerms) -> ZeroPointModel:
    return ZeroPointModel(
        coefficients=np.array(terms.coefficients),
        covariance=np.array(terms.covariance),
        has_color=terms.has_color,
        spatial_order=terms.spatial_order,
        color_zero=terms.color_zero,
        color_scatter=terms.color_scatter,
        sigma_int=terms.sigma_int,
    )
