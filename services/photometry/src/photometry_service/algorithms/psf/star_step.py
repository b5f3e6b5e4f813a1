"""One Gauss-Newton step of the stars that make a PSF; shared by the fits of its shape and of its residual table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from photometry_service.algorithms.detection.fit_frame import FitFrame
from photometry_service.algorithms.psf import _build
from photometry_service.algorithms.psf.model import EvaluationTables, quadrature, shape_fwhm
from photometry_service.domain.psf import FloatArray

__all__ = ["StarStep", "moffat_step", "star_step"]


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
    misfit: float = 0.0,
) -> StarStep:
    """Improve flux, position and sky of each star once, with a tabulated PSF.

    Parameters
    ----------
    star : (n, 4), flux, x, y, sky
    mix : (n, k), weights of the tables' terms at each star
    clip_sigma : pixels further from the model are ignored
    misfit : error of the model in units of its peak, added to the noise in the weights
    """
    half = min(int(np.ceil(radius_px)), tables.largest_stamp_px)
    out, none = _nothing_yet(star), np.zeros((2, 1))
    _build.star_equations(
        frame.data, frame.state, frame.rms, frame.shot_noise, tables.planes, tables.terms, tables.pad(mix),
        tables.oversampling, tables.half_px, np.zeros((1, 4)), none, none, half,
        min(radius_px, half + 0.5), weight_floor, clip_sigma, misfit, False, out.star, out.matrix, out.vector, out.chi2_red,
    )  # fmt: skip
    return out


def moffat_step(
    frame: FitFrame,
    star: FloatArray,
    shapes: FloatArray,
    *,
    radius_px: float,
    clip_sigma: float,
    weight_floor: float,
    misfit: float = 0.0,
) -> StarStep:
    """The same with the Moffat of each star, (n, 4), and what the stars say about these shapes."""
    half, out = int(np.ceil(radius_px)), _nothing_yet(star)
    narrowest = min((mean**2 / major for mean, major in (shape_fwhm(tuple(row)) for row in shapes)), default=3.0)
    none = np.zeros((star.shape[0], 1), dtype=np.float32)
    _build.star_equations(
        frame.data, frame.state, frame.rms, frame.shot_noise, np.zeros(64, dtype=np.float32), 1, none, 1, half,
        np.ascontiguousarray(shapes), *quadrature(narrowest), half,
        radius_px, weight_floor, clip_sigma, misfit, True, out.star, out.matrix, out.vector, out.chi2_red,
    )  # fmt: skip
    return out


def _nothing_yet(star: FloatArray) -> StarStep:
    """Stars as they are, before a step."""
    n = star.shape[0]
    return StarStep(star.copy(), np.zeros((n, 4, 4)), np.zeros((n, 4)), np.full(n, np.nan))
