"""Pixel-integrated Moffat stars, and the Cramer-Rao bounds of measuring them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

FAINTEST_WING_E = 0.02  # electrons per pixel at which a star's stamp ends
CHUNK_PIXELS = 400_000


def moffat_alpha(fwhm: FloatArray | float, beta: float) -> FloatArray:
    """Core radius of a Moffat of the given full width at half maximum."""
    return np.asarray(fwhm, dtype=np.float64) / (2 * np.sqrt(2 ** (1 / beta) - 1))


def stamp_radius(flux_e: FloatArray, fwhm: FloatArray, beta: float) -> NDArray[np.int64]:
    """Half sizes of stamps: out to ``FAINTEST_WING_E``, at least 4 FWHM, in steps of 4 pixels."""
    alpha = moffat_alpha(fwhm, beta)
    peak = np.maximum(flux_e, 1e-9) * (beta - 1) / (np.pi * alpha**2)
    radius = alpha * np.maximum(peak / FAINTEST_WING_E, 1.0) ** (1 / (2 * beta))
    return (np.ceil(np.maximum(radius, 4 * fwhm) / 4) * 4).astype(np.int64)


def integrated_moffat(
    dx: FloatArray, dy: FloatArray, *, fwhm: FloatArray, e1: FloatArray, e2: FloatArray, beta: float, half: int
) -> FloatArray:
    """Integrate unit-flux Moffats over pixels.

    Parameters
    ----------
    dx, dy : (n,), pixels
        Centre of the star minus the centre of the middle pixel.
    fwhm, e1, e2 : (n,)
    half
        Stamps are (2 half + 1) pixels wide.

    Returns
    -------
    (n, 2 half + 1, 2 half + 1), fraction of the flux in each pixel

    Notes
    -----
    Gauss-Legendre quadrature: 2 x 2 nodes in the wings, 4 x 4 to 10 x 10 (the narrower, the more) within 2.5 FWHM.
    """
    widest, narrowest = float(np.max(fwhm)), float(np.min(fwhm))
    nodes = int(np.clip(np.ceil(9.0 / narrowest), 4, 10))
    core = min(half, int(np.ceil(2.5 * widest)) + 1)
    shape = _shape_matrix(fwhm, e1, e2, beta)
    stamps = _quadrature(dx, dy, shape, beta, half, 2)
    middle = slice(half - core, half + core + 1)
    stamps[:, middle, middle] = _quadrature(dx, dy, shape, beta, core, nodes)
    return stamps


def add_stars(
    image: FloatArray,
    x: FloatArray,
    y: FloatArray,
    flux_e: FloatArray,
    *,
    fwhm: FloatArray,
    e1: FloatArray,
    e2: FloatArray,
    beta: float,
) -> FloatArray:
    """Add stars to ``image`` (ny, nx) in place; return the brightest pixel of each (n,), electrons."""
    peaks = np.zeros(x.size)
    for members, half in _groups(stamp_radius(flux_e, fwhm, beta)):
        ix, iy = np.rint(x[members]).astype(int), np.rint(y[members]).astype(int)
        stamps = integrated_moffat(
            x[members] - ix, y[members] - iy, fwhm=fwhm[members], e1=e1[members], e2=e2[members], beta=beta, half=half
        )
        stamps *= flux_e[members, None, None]
        peaks[members] = stamps[:, half, half]
        for stamp, cx, cy in zip(stamps, ix, iy, strict=True):
            _add(image, stamp, cx - half, cy - half)
    return peaks


def crlb(
    flux_e: FloatArray, background_e: FloatArray, fwhm: FloatArray, *, beta: float
) -> tuple[FloatArray, FloatArray]:
    """Cramer-Rao bounds of flux [e] and of position [pixels per axis] for Poisson noise on a known background.

    Parameters
    ----------
    flux_e : (n,), electrons
    background_e : (n,), electrons^2 per pixel
        Variance without the star: sky, read noise, digitisation.
    fwhm : (n,), pixels

    Notes
    -----
    1/var(F) = sum P^2 / (F P + B); 1/var(x) = sum (F dP/dx)^2 / (F P + B) (Mendez et al. 2013, PASP 125, 580), the
    information averaged over four places of the star within its pixel. Flux and place of a symmetric star are
    uncorrelated, so the bounds also hold when all three are free. Both sums depend on F/B alone, up to a factor,
    and are interpolated in it.
    """
    if flux_e.size == 0:
        return np.zeros(0), np.zeros(0)
    ratio = np.geomspace(1e-4, 1e7, 331)
    widths = np.linspace(fwhm.min(), fwhm.max(), 5) if np.ptp(fwhm) > 1e-3 * fwhm.min() else fwhm[:1]
    tables = np.log(np.stack([_information(ratio, float(w), beta) for w in widths]))
    u = np.log(np.maximum(flux_e, 1e-3 * background_e) / background_e)
    each = np.stack([[np.interp(u, np.log(ratio), row) for row in table] for table in tables])
    if len(widths) > 1:
        place = np.clip((fwhm - widths[0]) / (widths[1] - widths[0]), 0, len(widths) - 1 - 1e-9)
        k, t = place.astype(int), place % 1
        star = np.arange(u.size)
        log_information = each[k, :, star].T * (1 - t) + each[k + 1, :, star].T * t
    else:
        log_information = each[0]
    flux_information, place_information = np.exp(log_information) / background_e
    return flux_information**-0.5, (np.maximum(flux_e, 1e-9) ** 2 * place_information) ** -0.5


def _shape_matrix(fwhm: FloatArray, e1: FloatArray, e2: FloatArray, beta: float) -> tuple[FloatArray, ...]:
    """Quadratic form (a, 2b, c) and central density of unit-flux Moffats."""
    area = moffat_alpha(fwhm, beta) ** 2
    norm = area * np.sqrt(1 - e1**2 - e2**2)
    return (1 + e1) / norm, 2 * e2 / norm, (1 - e1) / norm, (beta - 1) / (np.pi * area)


def _quadrature(
    dx: FloatArray, dy: FloatArray, shape: tuple[FloatArray, ...], beta: float, half: int, nodes: int
) -> FloatArray:
    """Integrate with ``nodes`` x ``nodes`` Gauss-Legendre points in every pixel."""
    points, weights = np.polynomial.legendre.leggauss(nodes)
    a, b, c, density = (s[:, None, None] for s in shape)
    grid = np.arange(-half, half + 1, dtype=np.float64)
    total = np.zeros((dx.size, grid.size, grid.size))
    for point_y, weight_y in zip(points / 2, weights / 2, strict=True):
        v = (grid + point_y)[None, :, None] - dy[:, None, None]
        for point_x, weight_x in zip(points / 2, weights / 2, strict=True):
            u = (grid + point_x)[None, None, :] - dx[:, None, None]
            total += (weight_x * weight_y) * _power(1 + (a * u + b * v) * u + c * v * v, beta)
    return total * density


def _power(base: FloatArray, beta: float) -> FloatArray:
    """base ** -beta, with multiplications alone where the exponent allows."""
    if beta == 3.0:
        return 1 / (base * base * base)
    return np.exp(-beta * np.log(base))


def _groups(radius: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Indices of stars with the same stamp size, in chunks that stay in the cache."""
    for half in np.unique(radius):
        members = np.flatnonzero(radius == half)
        step = max(1, CHUNK_PIXELS // int(2 * half + 1) ** 2)
        for start in range(0, members.size, step):
            yield members[start : start + step], int(half)


def _add(image: FloatArray, stamp: FloatArray, x0: int, y0: int) -> None:
    """Add the part of a stamp that lies in the image."""
    ny, nx = image.shape
    left, bottom = max(0, -x0), max(0, -y0)
    right, top = min(stamp.shape[1], nx - x0), min(stamp.shape[0], ny - y0)
    if left < right and bottom < top:
        image[y0 + bottom : y0 + top, x0 + left : x0 + right] += stamp[bottom:top, left:right]


def _information(ratio: FloatArray, fwhm: float, beta: float) -> FloatArray:
    """(2, k): sum P^2/(u P + 1) and the mean over both axes of sum P_x^2/(u P + 1) for u = F/B."""
    half, step = max(15, int(np.ceil(5 * fwhm))), 1e-3
    one, zero = np.array([fwhm]), np.zeros(1)

    def stamp(px: float, py: float) -> FloatArray:
        return integrated_moffat(
            np.array([px]), np.array([py]), fwhm=one, e1=zero, e2=zero, beta=beta, half=half
        ).ravel()

    sums = np.zeros((2, ratio.size))
    for px, py in ((0.0, 0.0), (0.25, 0.25), (0.5, 0.0), (0.5, 0.5)):
        profile = stamp(px, py)
        along_x = (stamp(px + step, py) - stamp(px - step, py)) / (2 * step)
        along_y = (stamp(px, py + step) - stamp(px, py - step)) / (2 * step)
        weight = 1 / (ratio[:, None] * profile + 1)
        sums[0] += (weight * profile**2).sum(1) / 4
        sums[1] += (weight * (along_x**2 + along_y**2) / 2).sum(1) / 4
    return sums
