"""Centroids of stars with covariances: isophotal, Gaussian-windowed, and by a PSF fit.

Against the Cramer-Rao bound, in standard deviations: isophotal barycentres 1.2 to 2.0; windowed within 8 per cent for
a Moffat of FWHM >= 2.6 pixels and far off below 2.4; PSF fits 0.95 to 1.05 for every width (docs/algorithms/centroids.md).

References
----------
Mendez et al. 2013, PASP 125, 580 (the bound); SExtractor manual, "windowed positional parameters".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_shared.science import _centroids

__all__ = [
    "Centroids",
    "PsfTable",
    "floor_covariance",
    "half_light_radius",
    "half_light_sigma",
    "isophotal_covariance",
    "moffat_table",
    "pixel_windows",
    "psf_fit",
    "psf_fit_together",
    "windowed",
]

Floats = NDArray[np.float64]

_PASSES = 25
_STEP_PX = 1e-4
# Steps of a PSF fit shrink by a hundred each: the place is good to a hundredth of the last one.
_FIT_STEP_PX = 1e-3
# Stars fitted together are fitted again while they move by more than this.
_STILL_PX = 2e-3
_FWHM_PER_SIGMA = 2.3548


@dataclass(frozen=True)
class Centroids:
    """Positions with covariances.

    Attributes
    ----------
    x, y : (n,), pixel, 0-based; NaN where the method failed
    covariance : (n, 2, 2), pixel^2
    flux : (n,), the unit of the image; only from a PSF fit, else NaN
    reduced_chi2 : (n,), of a PSF fit, else NaN
    rejected : (n,), pixels that a PSF fit left out, far beyond noise and 5 per cent of the model: cosmic rays, neighbours
    """

    x: Floats
    y: Floats
    covariance: Floats
    flux: Floats
    reduced_chi2: Floats
    rejected: NDArray[np.int32]


@dataclass(frozen=True)
class PsfTable:
    """A PSF integrated over pixels, tabulated on a grid finer than the pixel; the middle sample is its centre.

    Attributes
    ----------
    values : (m, m), m odd, per pixel, sum over one pixel grid = 1
    oversampling : samples per pixel
    """

    values: Floats
    oversampling: int

    @property
    def reach_px(self) -> int:
        """Largest distance in pixels at which the table can be interpolated."""
        return (self.values.shape[0] // 2 - 2) // self.oversampling - 1


def half_light_sigma(half_light_radius_px: float) -> float:
    """Sigma of the Gaussian window that suits stars of this half-light radius, in pixels."""
    return 2.0 * half_light_radius_px / _FWHM_PER_SIGMA


def half_light_radius(image: NDArray[np.float32], x: Floats, y: Floats, *, reach_px: float) -> Floats:
    """Radii (n,) in pixels that hold half of the light within ``reach_px`` of each place; NaN where there is no light."""
    out = np.empty(x.size)
    _centroids.half_light(np.ascontiguousarray(image, np.float32), _contiguous(x), _contiguous(y), reach_px, out)
    return out


def windowed(
    image: NDArray[np.float32],
    x: Floats,
    y: Floats,
    *,
    window_sigma_px: float,
    background_variance: Floats,
    gain: float,
    mask: NDArray[np.bool_] | None = None,
) -> Centroids:
    """Gaussian-windowed centroids with covariances.

    Parameters
    ----------
    image : (ny, nx), background subtracted, any unit
    x, y : (n,), pixel, starting places within a pixel or so
    window_sigma_px : pixel, see `half_light_sigma`
    background_variance : (n,), variance of a pixel without the star, image unit squared
    gain : electron / image unit; infinite for no photon noise
    mask : (ny, nx), True = left out

    Returns
    -------
    Centroids
        NaN where the place leaves the frame or the windowed flux is not positive.

    Notes
    -----
    The place solves m = sum w I d = 0. With the slope A = sum w I (1 - d d^T / sigma^2) of m,

        C = A^-1 [ sum w^2 s^2 d d^T ] A^-T,     s^2 = background + max(I, 0) / gain.

    SExtractor's form takes A = 1/2 sum w I, which holds for a Gaussian star of the window's width only and makes C
    too large by 20 per cent for others; it is the fall-back where A is lost in noise.
    """
    n = x.size
    out_x, out_y = np.empty(n), np.empty(n)
    covariance, ok = np.empty((n, 3)), np.empty(n, np.uint8)
    _centroids.windowed(
        np.ascontiguousarray(image, np.float32), _mask(image, mask), _contiguous(x), _contiguous(y),
        _contiguous(np.broadcast_to(background_variance, n)), 1.0 / gain, float(window_sigma_px), _PASSES, _STEP_PX,
        out_x, out_y, covariance, ok,
    )  # fmt: skip
    nothing = np.full(n, np.nan)
    return Centroids(out_x, out_y, _matrices(covariance), nothing, nothing.copy(), np.zeros(n, np.int32))


def psf_fit(
    image: NDArray[np.float32],
    x: Floats,
    y: Floats,
    psf: PsfTable,
    *,
    reach_px: int,
    background_variance: Floats,
    gain: float,
    mask: NDArray[np.bool_] | None = None,
) -> Centroids:
    """Weighted fits of flux and place; the background is taken as known and subtracted.

    Parameters
    ----------
    image, x, y, background_variance, gain, mask : as for `windowed`
    psf : table of the profile, integrated over pixels
    reach_px : half side of the fitted square, pixels

    Returns
    -------
    Centroids
        Covariances are the inverse Fisher matrix with the flux free. NaN where a fit leaves its start by two pixels,
        turns negative or has fewer than six pixels.
    """
    n = x.size
    out_x, out_y, flux, chi2 = (np.empty(n) for _ in range(4))
    covariance, rejected, ok = np.empty((n, 3)), np.zeros(n, np.int32), np.empty(n, np.uint8)
    _centroids.psf_fit(
        np.ascontiguousarray(image, np.float32), _mask(image, mask), _contiguous(x), _contiguous(y),
        _contiguous(np.broadcast_to(background_variance, n)), 1.0 / gain, _contiguous(psf.values), psf.oversampling,
        int(reach_px), _PASSES, _FIT_STEP_PX, out_x, out_y, flux, chi2, covariance, rejected, ok,
    )  # fmt: skip
    bad = ok == 0
    covariance[bad] = np.nan
    return Centroids(out_x, out_y, _matrices(covariance), flux, chi2, rejected)


def psf_fit_together(
    image: NDArray[np.float32],
    x: Floats,
    y: Floats,
    psf: PsfTable,
    *,
    reach_px: int,
    background_variance: Floats,
    gain: float,
    mask: NDArray[np.bool_] | None = None,
    rounds: int = 10,
    work: NDArray[np.float32] | None = None,
) -> Centroids:
    """`psf_fit` of stars in each other's light: every fit is made with the models of all the others taken off.

    Their light is in the noise of the pixels, so that the core of a neighbour, known to a per cent, has no say.

    Parameters
    ----------
    image, x, y, psf, reach_px, background_variance, gain, mask : as for `psf_fit`, brightest first
    rounds : at most, through the stars that still move by 0.002 pixel
    work : (ny, nx), C order, overwritten with the light of all stars; made where it is not given

    Returns
    -------
    Centroids
        As of `psf_fit`; the covariances take the neighbours as known.
    """
    n = x.size
    out_x, out_y, flux, chi2 = (np.empty(n) for _ in range(4))
    covariance, rejected, ok = np.empty((n, 3)), np.zeros(n, np.int32), np.zeros(n, np.uint8)
    light = np.empty(image.shape, np.float32) if work is None else work
    light.fill(0.0)
    _centroids.psf_fit_together(
        np.ascontiguousarray(image, np.float32), light, _mask(image, mask), _contiguous(x), _contiguous(y),
        _contiguous(np.broadcast_to(background_variance, n)), 1.0 / gain, _contiguous(psf.values), psf.oversampling,
        int(reach_px), psf.reach_px, rounds, _PASSES, _FIT_STEP_PX, _STILL_PX, out_x, out_y, flux, chi2, covariance,
        rejected, ok, np.full(n, np.inf),
    )  # fmt: skip
    covariance[ok == 0] = np.nan
    return Centroids(out_x, out_y, _matrices(covariance), flux, chi2, rejected)


def pixel_windows(
    x: NDArray[Any], y: NDArray[Any], shape: tuple[int, ...], half: int
) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Indices (n, side, side) of the pixels around places; beyond an edge, its last pixels again."""
    offsets = np.arange(-half, half + 1)
    row = np.clip(np.rint(y).astype(int)[:, None] + offsets, 0, shape[0] - 1)
    column = np.clip(np.rint(x).astype(int)[:, None] + offsets, 0, shape[1] - 1)
    return row[:, :, None], column[:, None, :]


def isophotal_covariance(errx2: Floats, erry2: Floats, errxy: Floats) -> Floats:
    """Covariances (n, 2, 2) of isophotal barycentres from SEP's ``errx2, erry2, errxy``."""
    return _matrices(np.stack([errx2, erry2, errxy], axis=1).astype(np.float64))


def floor_covariance(covariance: Floats, n_pixels: Floats) -> Floats:
    """Add 1/12 / N_eff pixel^2 to the diagonal of singular covariances, such as those of one-pixel detections."""
    out = covariance.copy()
    det = out[:, 0, 0] * out[:, 1, 1] - out[:, 0, 1] ** 2
    singular = ~(det > 1e-3 * out[:, 0, 0] * out[:, 1, 1]) | ~(out[:, 0, 0] > 0) | ~(out[:, 1, 1] > 0)
    extra = np.where(singular, 1.0 / 12.0 / np.maximum(n_pixels, 1.0), 0.0)
    out[:, 0, 0] += extra
    out[:, 1, 1] += extra
    return out


def moffat_table(
    fwhm_px: float, beta: float, *, e1: float = 0.0, e2: float = 0.0, reach_px: int = 12, oversampling: int = 8
) -> PsfTable:
    """Table of an elliptical Moffat profile integrated over pixels.

    Parameters
    ----------
    fwhm_px : pixel, geometric mean of the axes, before integration over the pixel
    beta : exponent, above 1
    e1, e2 : ellipticity, positive e1 elongates along x, positive e2 along x = y
    reach_px : pixel
    oversampling : samples per pixel

    Notes
    -----
    Gauss-Legendre quadrature over each pixel, 4 x 4 points, 8 x 8 for a FWHM below 2 pixels.
    """
    half = (reach_px + 1) * oversampling + 3
    grid = np.arange(-half, half + 1) / oversampling
    nodes, weights = np.polynomial.legendre.leggauss(8 if fwhm_px < 2.0 else 4)
    alpha2 = (fwhm_px / 2.0) ** 2 / (2.0 ** (1.0 / beta) - 1.0)
    norm = alpha2 * np.sqrt(1.0 - e1**2 - e2**2)
    total = np.zeros((grid.size, grid.size))
    # the profile is the same at -x, -y: half of the table gives the other half
    upper = grid[half:]
    for node_y, weight_y in zip(nodes / 2, weights / 2, strict=True):
        y = (upper + node_y)[:, None]
        for node_x, weight_x in zip(nodes / 2, weights / 2, strict=True):
            x = (grid + node_x)[None, :]
            q = ((1 - e1) * x * x - 2 * e2 * x * y + (1 + e1) * y * y) / norm
            total[half:] += weight_x * weight_y * (1.0 + q) ** -beta
    total[:half] = total[:half:-1, ::-1]
    return PsfTable(total * (beta - 1.0) / (np.pi * alpha2), oversampling)


def _mask(image: NDArray[np.float32], mask: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
    if mask is None:
        return np.zeros(image.shape, np.uint8)
    return np.ascontiguousarray(mask).view(np.uint8)


def _contiguous(values: Floats) -> Floats:
    return np.ascontiguousarray(values, dtype=np.float64)


def _matrices(three: Floats) -> Floats:
    """Symmetric matrices (n, 2, 2) from columns xx, yy, xy."""
    return np.ascontiguousarray(three[:, [0, 2, 2, 1]].reshape(-1, 2, 2))
