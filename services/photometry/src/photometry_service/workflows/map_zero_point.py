"""The zero point and the limiting magnitude over the frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from astro_shared.contracts.photometry import CalibrateRequest
from photometry_service.algorithms.zero_point import ZeroPointFit
from photometry_service.workflows.frame_extinction import center_airmass

Array = NDArray[np.float64]

FIELD_CELLS = 90
"""Cells along the longer side of the map of the zero point."""


def zero_point_field(fit: ZeroPointFit, shape: tuple[int, int]) -> Array:
    """Zero point over a frame of ``shape`` (ny, nx) minus its value, mag, on a coarse grid; for the reference colour."""
    scale = FIELD_CELLS / max(shape)
    return _zero_points(fit, (max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale)))) - fit.value


def _zero_points(fit: ZeroPointFit, cells: tuple[int, int]) -> Array:
    """Zero point at the middles of a grid of cells over the frame."""
    my, mx = cells
    y, x = (2 * np.arange(my) + 1)[:, None] / my - 1, (2 * np.arange(mx) + 1)[None, :] / mx - 1
    color = np.full(my * mx, fit.color_zero if fit.has_color else np.nan)
    zero, _ = fit.at(np.broadcast_to(x, (my, mx)).ravel(), np.broadcast_to(y, (my, mx)).ravel(), color)
    return zero.reshape(my, mx)


def limiting_magnitudes(request: CalibrateRequest, fit: ZeroPointFit, depth_e: Array) -> Array:
    """(my, mx), magnitude of a point source whose flux is ``depth_e`` (my, mx), for stars of the reference colour."""
    my, mx = depth_e.shape
    extinction = 0.0
    if request.zero_point.extinction == "fixed":
        extinction = request.zero_point.extinction_mag * (center_airmass(request)[0] or 0.0)
    exposure_s = request.measure.frame.exposure_s or 1.0
    return _zero_points(fit, (my, mx)) - extinction - 2.5 * np.log10(depth_e / exposure_s)
