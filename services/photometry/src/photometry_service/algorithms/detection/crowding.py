"""How much of the light in an aperture belongs to somebody else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

__all__ = ["MAX_NEIGHBOUR_SHARE", "neighbour_share"]

MAX_NEIGHBOUR_SHARE = 0.1
"""Share of a source's flux that neighbours may add to its aperture before it is flagged as crowded."""


def neighbour_share(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    flux_e: NDArray[np.float64],
    *,
    radius_px: float,
    fwhm_px: float,
    beta: float = 3.0,
) -> NDArray[np.float64]:
    """Light of other sources in each source's aperture, as a share of its own total flux.

    Parameters
    ----------
    x, y, flux_e : (n,), pixels and electron; sources without a position or with a flux of zero or less give no light
    radius_px : of the aperture
    fwhm_px, beta : of the Moffat profile that stands for all sources

    Returns
    -------
    (n,)
        Above 0.1 the source is ``CROWDED``; infinite where a source without flux lies in another's light.
        Neighbours beyond radius + 5 FWHM are not counted.
    """
    light = np.where(np.isfinite(x + y) & (flux_e > 0), flux_e, 0.0)
    reach = radius_px + 5 * fwhm_px
    positions = np.column_stack([np.nan_to_num(x, nan=-1e9), np.nan_to_num(y, nan=-1e9)])
    pairs = (
        cKDTree(positions).query_pairs(reach, output_type="ndarray") if len(positions) > 1 else np.empty((0, 2), int)
    )
    first, second = pairs.T
    distance = np.hypot(*(positions[first] - positions[second]).T)
    grid = np.linspace(0.0, reach, 65)
    share = np.interp(distance, grid, _enclosed(grid, radius_px, fwhm_px, beta))
    received = np.bincount(first, share * light[second], light.size) + np.bincount(
        second, share * light[first], light.size
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(received > 0, received / light, 0.0)


def _enclosed(distance: NDArray[np.float64], radius: float, fwhm: float, beta: float) -> NDArray[np.float64]:
    """Share of a Moffat's flux inside a circle whose centre is ``distance`` away, by quadrature over the circle."""
    alpha = fwhm / (2 * np.sqrt(2 ** (1 / beta) - 1))
    nodes, weights = np.polynomial.legendre.leggauss(24)
    r = 0.5 * radius * (nodes + 1)
    angle = 2 * np.pi * (np.arange(48) + 0.5) / 48
    from_star = (
        distance[:, None, None] ** 2 + r[:, None] ** 2 + 2 * distance[:, None, None] * r[:, None] * np.cos(angle)
    )
    profile = (beta - 1) / (np.pi * alpha**2) * (1 + from_star / alpha**2) ** -beta
    return np.asarray((profile.mean(axis=2) * r * weights).sum(axis=1) * np.pi * radius)
