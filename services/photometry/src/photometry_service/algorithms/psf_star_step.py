"""One Gauss-Newton step of the stars that make a PSF; shared by the fits of its shape and of its residual table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photometry_service.algorithms import _psf_build
from photometry_service.algorithms.fit_frame import FitFrame
from photometry_service.algorithms.psf_model import EvaluationTables
from photometry_service.domain.psf import FloatArray

__all__ = ["StarStep", "star_step"]


@dataclass(frozen=True, eq=False)
class StarStep:
    """Stars after a step, and what they say about the shape.

    Attributes
    ----------
    star : (n, 4), flux, x, y, sky
    matrix, vector : (n, 4, 4), (n, 4)
        Normal equations of d ln s, d e1, d e2, d beta at each star with its own unknowns eliminated; zero if not asked.
    chi2_red : (n,), before the step; NaN for stars that were left alone (fewer than 8 good pixels, or singular)
    """

    star: FloatArray
    matrix: FloatArray
    vector: FloatArray
    chi2_red: FloatArray


def star_step(
    frame: FitFrame,
    star: FloatArray,
    tables: EvaluationTables,
    mix: FloatArray,
    *,
    radius_px: float,
    clip_sigma: float,
    weight_floor: float,
    derivatives: NDArray[np.float32] | None = None,
) -> StarStep:
    """Improve flux, position and sky of each star once.

    Parameters
    ----------
    star : (n, 4), flux, x, y, sky
    mix : (n, k), weights of the tables' terms at each star
    clip_sigma : pixels further from the model are ignored
    derivatives : (4, m), flat planes of ``evaluation_tables`` of dP/d(ln s, e1, e2, beta), or None
    """
    half = min(int(np.ceil(radius_px)), tables.largest_stamp_px)
    n = star.shape[0]
    out = StarStep(star.copy(), np.zeros((n, 4, 4)), np.zeros((n, 4)), np.full(n, np.nan))
    none = np.zeros((4, 1), dtype=np.float32)
    _psf_build.star_equations(
        frame.data, frame.state, frame.rms, frame.shot_noise, tables.planes, tables.terms, tables.pad(mix),
        none if derivatives is None else derivatives, tables.oversampling, tables.half_px, half,
        min(radius_px, half + 0.5), weight_floor, clip_sigma, derivatives is not None,
        out.star, out.matrix, out.vector, out.chi2_red,
    )  # fmt: skip
    return out
