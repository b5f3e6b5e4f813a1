"""One elliptical Moffat profile for a frame, fitted to its bright isolated stars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from astro_shared.science.centroids import PsfTable, moffat_table, psf_fit

__all__ = ["MoffatShape", "fit_moffat"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MoffatShape:
    """Shape of the stars of a frame.

    Attributes
    ----------
    fwhm_px : pixel, geometric mean of the axes, before integration over the pixel
    beta : exponent
    e1, e2 : ellipticity, positive e1 elongates along x, positive e2 along x = y
    stars : number of stars that it was fitted to
    """

    fwhm_px: float
    beta: float
    e1: float
    e2: float
    stars: int

    def table(self, *, oversampling: int = 8) -> PsfTable:
        """The profile integrated over pixels."""
        reach = int(np.ceil(3.0 * self.fwhm_px)) + 4
        return moffat_table(self.fwhm_px, self.beta, e1=self.e1, e2=self.e2, reach_px=reach, oversampling=oversampling)


def fit_moffat(
    image: NDArray[np.float32],
    x: Floats,
    y: Floats,
    background_variance: Floats,
    *,
    mask: NDArray[np.bool_] | None = None,
    max_stars: int = 40,
    rounds: int = 2,
) -> MoffatShape | None:
    """Fit width, exponent and ellipticity to the first ``max_stars`` stars.

    Parameters
    ----------
    image : (ny, nx), electron, background subtracted
    x, y : (n,), pixel, brightest first
    background_variance : (n,), electron^2
    mask : (ny, nx), True = bad
    rounds : shape fits, with new centroids between them; all but the last on a quarter of the stars

    Returns
    -------
    MoffatShape or None where fewer than three stars keep clear of the edge and of bad pixels.

    Notes
    -----
    Each star's flux is solved for inside (variable projection); pixels are weighted by their noise plus 2 per cent of
    the star's peak, so that the brightest star does not decide alone; the loss is soft (Huber) against neighbours.
    """
    half = 7
    stamps, variance, px, py = _stamps(image, x[: 4 * max_stars], y[: 4 * max_stars], background_variance, mask, half)
    if px.size < 3:
        return None
    stamps, variance, px, py = stamps[:max_stars], variance[:max_stars], px[:max_stars], py[:max_stars]
    start = np.array([np.log(_rough_fwhm(stamps, half)), np.log(2.5), 0.0, 0.0])
    for turn in range(rounds):
        last = turn + 1 == rounds
        few = slice(None if last else max(max_stars // 4, 3))
        fitted = least_squares(
            _residuals, start, _slopes, args=(stamps[few], variance[few], px[few], py[few], half), loss="huber", f_scale=2.0,
            max_nfev=12, xtol=1e-4, ftol=1e-5, x_scale=0.1,
            bounds=([np.log(0.8), np.log(1.1), -0.6, -0.6], [np.log(30.0), np.log(12.0), 0.6, 0.6]),
        )  # fmt: skip
        start = fitted.x
        if not last:
            px, py = _recentre(stamps, variance, px, py, start, half)
    return MoffatShape(float(np.exp(start[0])), float(np.exp(start[1])), float(start[2]), float(start[3]), px.size)


def _stamps(
    image: NDArray[np.float32], x: Floats, y: Floats, variance: Floats, mask: NDArray[np.bool_] | None, half: int
) -> tuple[Floats, Floats, Floats, Floats]:
    """Stamps of the stars that are whole, with the place of each star in its stamp."""
    ny, nx = image.shape
    ix, iy = np.rint(x).astype(int), np.rint(y).astype(int)
    inside = np.flatnonzero((ix >= half) & (iy >= half) & (ix < nx - half) & (iy < ny - half))
    offsets = np.arange(-half, half + 1)
    rows = iy[inside, None, None] + offsets[None, :, None]
    columns = ix[inside, None, None] + offsets[None, None, :]
    stamps = image[rows, columns].astype(np.float64)
    if mask is not None:
        whole = ~mask[rows, columns].any(axis=(1, 2))
        inside, stamps = inside[whole], stamps[whole]
    return stamps, variance[inside], x[inside] - ix[inside], y[inside] - iy[inside]


def _rough_fwhm(stamps: Floats, half: int) -> float:
    """Width from the area above half of the peak, median over stars."""
    peak = stamps.max(axis=(1, 2), keepdims=True)
    area = (stamps[:, half - 4 : half + 5, half - 4 : half + 5] > 0.5 * peak).sum(axis=(1, 2))
    return float(np.clip(2.0 * np.sqrt(np.median(area) / np.pi), 1.0, 12.0))


def _profile(shape: Floats, dx: Floats, dy: Floats, nodes: int, *, slopes: bool = False) -> Floats:
    """Pixel-integrated profiles of unit central density, and their derivatives.

    Parameters
    ----------
    shape : (4,), log FWHM, log beta, e1, e2
    dx, dy : (n, side), pixel, offsets from the stars
    nodes : of the quadrature over a pixel, per axis

    Returns
    -------
    (n, side, side), with ``slopes`` (5, n, side, side): the profile and its derivatives by ``shape``
    """
    beta, e1, e2 = np.exp(shape[1]), shape[2], shape[3]
    root = 2.0 ** (1.0 / beta)
    round_ = max(1.0 - e1 * e1 - e2 * e2, 1e-3)
    norm = (np.exp(shape[0]) / 2.0) ** 2 / (root - 1.0) * np.sqrt(round_)
    by_beta = np.log(2.0) / beta * root / (root - 1.0)
    points, weights = np.polynomial.legendre.leggauss(nodes)
    total = np.zeros((5 if slopes else 1, dx.shape[0], dy.shape[1], dx.shape[1]))
    for node_y, weight_y in zip(points / 2, weights / 2, strict=True):
        v = (dy + node_y)[:, :, None]
        for node_x, weight_x in zip(points / 2, weights / 2, strict=True):
            u = (dx + node_x)[:, None, :]
            uu, vv, uv = u * u, v * v, u * v
            q = ((1 - e1) * uu - 2 * e2 * uv + (1 + e1) * vv) / norm
            log = np.log1p(q)
            value = weight_x * weight_y * np.exp(-beta * log)
            total[0] += value
            if slopes:
                by_q = beta * value / (1.0 + q)
                total[1] += 2.0 * q * by_q
                total[2] += by_beta * q * by_q - beta * log * value
                total[3] += by_q * ((uu - vv) / norm - q * (e1 / round_))
                total[4] += by_q * ((2.0 / norm) * uv - q * (e2 / round_))
    return total if slopes else total[0]


def _weight(stamps: Floats, variance: Floats) -> Floats:
    peak = stamps.max(axis=(1, 2), keepdims=True)
    return np.asarray(
        1.0 / np.sqrt(variance[:, None, None] + np.maximum(stamps, 0.0) + (0.02 * peak) ** 2), dtype=np.float64
    )


def _residuals(shape: Floats, stamps: Floats, variance: Floats, px: Floats, py: Floats, half: int) -> Floats:
    grid, weight = np.arange(-half, half + 1), _weight(stamps, variance)
    wm = weight * _profile(shape, grid - px[:, None], grid - py[:, None], _nodes(shape))
    flux = np.sum(wm * weight * stamps, axis=(1, 2)) / np.sum(wm * wm, axis=(1, 2))
    return np.asarray((weight * stamps - flux[:, None, None] * wm).ravel(), dtype=np.float64)


def _slopes(shape: Floats, stamps: Floats, variance: Floats, px: Floats, py: Floats, half: int) -> Floats:
    """Derivatives (n_pixels, 4) of the residuals, in Kaufman's form: the part along the profile belongs to the flux."""
    grid, weight = np.arange(-half, half + 1), _weight(stamps, variance)
    wm, *ws = weight * _profile(shape, grid - px[:, None], grid - py[:, None], _nodes(shape), slopes=True)
    square = np.sum(wm * wm, axis=(1, 2))
    flux = np.sum(wm * weight * stamps, axis=(1, 2)) / square
    out = [s - (np.sum(wm * s, axis=(1, 2)) / square)[:, None, None] * wm for s in ws]
    return np.stack([(-flux[:, None, None] * s).ravel() for s in out], axis=1)


def _nodes(shape: Floats) -> int:
    """Quadrature points over a pixel, per axis."""
    return 3 if shape[0] < np.log(2.5) else 2


def _recentre(
    stamps: Floats, variance: Floats, px: Floats, py: Floats, shape: Floats, half: int
) -> tuple[Floats, Floats]:
    """Places from PSF fits with the present shape; a star whose fit fails keeps its place."""
    table = moffat_table(
        float(np.exp(shape[0])), float(np.exp(shape[1])), e1=float(shape[2]), e2=float(shape[3]), reach_px=half + 2
    )
    side = 2 * half + 1
    image = np.ascontiguousarray(stamps.reshape(-1, side), np.float32)
    rows = np.arange(px.size) * side + half
    fit = psf_fit(image, px + half, py + rows, table, reach_px=half - 2, background_variance=variance, gain=1.0)
    return (
        np.where(np.isfinite(fit.x), fit.x - half, px),
        np.where(np.isfinite(fit.y), fit.y - rows, py),
    )
