"""The zero point and the limiting magnitude over the frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from photometry_service.algorithms.calibration import ZeroPointFit
from photometry_service.workflows.frame_extinction import FrameExtinction

Array = NDArray[np.float64]

FIELD_CELLS = 90
"""Cells along the longer side of the map of the zero point."""
MIN_FOR_PARABOLOID = 12


def zero_point_field(fit: ZeroPointFit, shape: tuple[int, int]) -> Array:
    """Zero point over a frame of ``shape`` (ny, nx) minus its value, mag, on a coarse grid; for the reference colour."""
    scale = FIELD_CELLS / max(shape)
    return _zero_points(fit, (max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale)))) - fit.value


def _zero_points(fit: ZeroPointFit, cells: tuple[int, ...]) -> Array:
    """Zero point at the middles of a grid of cells over the frame."""
    my, mx = cells
    y, x = (2 * np.arange(my) + 1)[:, None] / my - 1, (2 * np.arange(mx) + 1)[None, :] / mx - 1
    color = np.full(my * mx, fit.color_zero if fit.has_color else np.nan)
    zero, _ = fit.at(np.broadcast_to(x, (my, mx)).ravel(), np.broadcast_to(y, (my, mx)).ravel(), color)
    return zero.reshape(my, mx)


def limiting_magnitudes(
    fit: ZeroPointFit, depth_e: Array, *, exposure_s: float, extinction: FrameExtinction, x: Array, y: Array
) -> Array:
    """Magnitude of a point source over the frame, for stars of the reference colour.

    Parameters
    ----------
    depth_e : (my, mx), electron, flux of the source in each mesh
    extinction : of the frame and of the sources at ``x``, ``y``
    x, y : (n,), -1..1 over the frame

    Returns
    -------
    (my, mx), mag
    """
    air = _extinction(extinction, x, y, depth_e.shape)
    return _zero_points(fit, depth_e.shape) - air - 2.5 * np.log10(depth_e / exposure_s)


def _extinction(extinction: FrameExtinction, x: Array, y: Array, cells: tuple[int, ...]) -> Array:
    """(my, mx), mag: a paraboloid through the sources where these have airmasses of their own, else that of the centre."""
    my, mx = cells
    known = np.isfinite(x) & np.isfinite(y) & np.isfinite(extinction.source_mag)
    if not extinction.differential or known.sum() < MIN_FOR_PARABOLOID:
        return np.full((my, mx), extinction.center_mag)
    terms, *_ = np.linalg.lstsq(_paraboloid(x[known], y[known]), extinction.source_mag[known], rcond=None)
    v, u = (2 * np.arange(my) + 1)[:, None] / my - 1, (2 * np.arange(mx) + 1)[None, :] / mx - 1
    grid = _paraboloid(np.broadcast_to(u, (my, mx)).ravel(), np.broadcast_to(v, (my, mx)).ravel())
    return np.asarray(grid @ terms).reshape(my, mx)


def _paraboloid(u: Array, v: Array) -> Array:
    return np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=1)
