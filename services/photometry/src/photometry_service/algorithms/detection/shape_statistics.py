"""DAOFIND's sharpness and roundness of sources at given positions.

References
----------
Stetson (1987), PASP 99, 191; the definitions as in photutils 3.0 ``DAOStarFinder``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photometry_service.domain.psf import FloatArray

__all__ = ["ShapeStatistics", "gaussian_kernel", "shape_statistics"]

SIGMA_RADIUS = 1.5
"""DAOFIND's kernel ends at this many sigma, but not below 2 pixels."""

CHUNK = 4096


@dataclass(frozen=True, eq=False)
class ShapeStatistics:
    """Shape numbers of sources; NaN where the kernel touches the edge or a pixel that is not finite.

    Attributes
    ----------
    sharpness : (n,)
        Height of the central pixel above the mean of the others, over the height of the best-fitting Gaussian.
    roundness1 : (n,)
        Two-fold over four-fold symmetry of the filtered image.
    roundness2 : (n,)
        Difference over mean of the heights of Gaussians fitted to the marginal sums along x and y.
    """

    sharpness: FloatArray
    roundness1: FloatArray
    roundness2: FloatArray


def gaussian_kernel(covariance: FloatArray, half: int) -> FloatArray:
    """(2 half + 1, 2 half + 1): Gaussian of peak 1 with covariance (2, 2) in pixels^2, x first."""
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    inverse = np.linalg.inv(np.asarray(covariance, dtype=np.float64))
    return np.asarray(np.exp(-0.5 * (inverse[0, 0] * x * x + 2 * inverse[0, 1] * x * y + inverse[1, 1] * y * y)))


def shape_statistics(
    image: NDArray[np.float32], x: FloatArray, y: FloatArray, fwhm_px: float, mask: NDArray[np.uint8] | None = None
) -> ShapeStatistics:
    """Compute DAOFIND's statistics around the pixels nearest to positions.

    Parameters
    ----------
    image : (ny, nx), background subtracted
    x, y : (n,), pixels, 0-based
    fwhm_px : pixels, of the Gaussian kernel
    mask : (ny, nx), not zero = a source with such a pixel in its kernel gets NaN
    """
    sigma = fwhm_px / 2.3548200450309493
    half = int(max(2.0, SIGMA_RADIUS * sigma))
    reach = 2 * half
    ix, iy = np.rint(x).astype(np.intp), np.rint(y).astype(np.intp)
    ny, nx = image.shape
    inside = (ix >= reach) & (iy >= reach) & (ix < nx - reach) & (iy < ny - reach)
    out = np.full((3, x.size), np.nan)
    offset = np.arange(-reach, reach + 1)
    where = np.flatnonzero(inside)
    for part in (where[i : i + CHUNK] for i in range(0, where.size, CHUNK)):
        rows, columns = iy[part, None, None] + offset[:, None], ix[part, None, None] + offset
        stamps = image[rows, columns].astype(np.float64)
        if mask is not None:
            stamps[mask[rows, columns] != 0] = np.nan
        with np.errstate(divide="ignore", invalid="ignore"):
            out[:, part] = _statistics(stamps, half, sigma)
    return ShapeStatistics(*out)


def _statistics(stamps: FloatArray, half: int, sigma: float) -> FloatArray:
    """(3, n) from stamps (n, 4 half + 1, 4 half + 1)."""
    gaussian = gaussian_kernel(np.eye(2) * sigma**2, half)
    j, i = np.mgrid[-half : half + 1, -half : half + 1]
    footprint = ((i * i + j * j) / sigma**2 <= SIGMA_RADIUS**2) | (np.hypot(i, j) <= 2.0)
    pixels = footprint.sum()
    masked = gaussian * footprint
    kernel = (masked - masked.sum() / pixels) / ((masked**2).sum() - masked.sum() ** 2 / pixels) * footprint
    windows = np.lib.stride_tricks.sliding_window_view(stamps, kernel.shape, axis=(1, 2))
    filtered = np.einsum("nyxab,ab->nyx", windows, kernel, optimize=True)
    core = stamps[:, half:-half, half:-half]
    peak = core[:, half, half]
    others = ((core * footprint).sum(axis=(1, 2)) - peak) / (pixels - 1)
    sharpness = (peak - others) / filtered[:, half, half]
    height_x, height_y = (_marginal_height(core, gaussian, axis) for axis in (1, 2))
    roundness2 = 2 * (height_x - height_y) / (height_x + height_y)
    return np.stack([sharpness, _symmetry(filtered, half), roundness2])


def _symmetry(filtered: FloatArray, half: int) -> FloatArray:
    """Stetson's SROUND: quadrants right and left of the centre against those above and below."""
    f = filtered.copy()
    f[:, half, half] = 0
    quadrants = (
        -f[:, : half + 1, half + 1 :].sum(axis=(1, 2))
        + f[:, :half, : half + 1].sum(axis=(1, 2))
        - f[:, half:, :half].sum(axis=(1, 2))
        + f[:, half + 1 :, half:].sum(axis=(1, 2))
    )
    return np.asarray(2 * quadrants / np.abs(f).sum(axis=(1, 2)))


def _marginal_height(core: FloatArray, gaussian: FloatArray, axis: int) -> FloatArray:
    """Height of the Gaussian that fits the marginal sum over ``axis`` (1 = y, so along x), triangular weights."""
    half = gaussian.shape[0] // 2
    triangle = half + 1.0 - np.abs(np.arange(-half, half + 1))
    across = triangle[:, None] if axis == 1 else triangle[None, :]
    data = (core * across).sum(axis=axis)
    model = (gaussian * across).sum(axis=axis - 1)
    total = triangle.sum()
    top = (data * model * triangle).sum(axis=1) - (data * triangle).sum(axis=1) * (model * triangle).sum() / total
    bottom = (model**2 * triangle).sum() - (model * triangle).sum() ** 2 / total
    return np.asarray(np.where(top > 0, top / bottom, np.nan))
