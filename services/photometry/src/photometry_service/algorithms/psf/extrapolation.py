"""Fluxes and places of saturated stars, which only their wings tell, held against whole stars that lost their cores too.

A saturated star is fitted with the pixels that are left. How much flux and place then depend on the profile is measured:
bright stars that are whole are fitted again without the pixels nearer than the saturated star's, with its weights. What
all of them are off by is taken off the saturated star's flux; their scatter, and how well the mean is known, is its error.

References
----------
DerSimonian & Laird (1986), Controlled Clinical Trials 7, 177 (scatter beyond known errors). Huber (1981), Robust Statistics.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astro_shared.science.robust_statistics import mad_std
from photometry_service.algorithms.detection.fit_frame import FitFrame
from photometry_service.algorithms.psf.fit import PsfFit, bright_stars
from photometry_service.algorithms.psf.model import MARGIN_PX, evaluate_psf
from photometry_service.domain.psf import FloatArray, PsfModel

__all__ = ["Extrapolation", "ExtrapolationOptions", "extrapolated"]

HOLE_STEP_PX = 0.5
FLUX_STEP = 4.0
"""Saturated stars whose holes and fluxes lie within these steps are held against whole stars together."""

OUTLIER_SIGMA, ROUNDS = 4.0, 12


@dataclass(frozen=True)
class ExtrapolationOptions:
    """How saturated stars are judged.

    Attributes
    ----------
    stars, fewest : whole stars, the brightest, that are fitted without their cores; how many are needed
    smallest_snr : of such a star
    fewest_pixels : that a fit needs
    largest_error : relative; a flux that is known worse is not told
    largest_change : logarithm of the factor beyond which the profile tells nothing
    """

    stars: int = 40
    fewest: int = 5
    smallest_snr: float = 50.0
    fewest_pixels: int = 12
    largest_error: float = 0.3
    largest_change: float = 0.5


@dataclass(frozen=True, eq=False)
class Extrapolation:
    """What the wings of saturated stars are good for; 1 and zeros for all others.

    Attributes
    ----------
    factor : (n,), by which the fitted flux is multiplied
    flux_err : (n,), relative error that the profile adds, one sigma; NaN where nothing tells the flux
    place_err_px : (n, 2), the same for x and y
    misfit : (n,), by which the variances of the fit are multiplied
    """

    factor: FloatArray
    flux_err: FloatArray
    place_err_px: FloatArray
    misfit: FloatArray


@dataclass(frozen=True, eq=False)
class _Whole:
    """Stamps of whole stars, (n, pixels): the design matrix (n, pixels, 3), what the fit left, sky variance, radius."""

    flux: FloatArray
    value: FloatArray
    design: FloatArray
    left: FloatArray
    sky_variance: FloatArray
    radius: FloatArray


def extrapolated(
    frame: FitFrame, psf: PsfModel, fit: PsfFit, reach_px: int, weight_floor: float,
    options: ExtrapolationOptions | None = None,
) -> Extrapolation:  # fmt: skip
    """Hold saturated stars against whole ones.

    Parameters
    ----------
    frame, psf, fit : the frame and its stars as fitted with ``psf``
    reach_px : radius of the fit of a saturated star
    weight_floor : fraction of the model in the weights, as in the fit

    Returns
    -------
    Extrapolation
        ``flux_err`` is NaN for saturated stars with too few pixels, where too few whole stars tell, and where it exceeds
        the largest that is worth telling.

    Notes
    -----
    A hole counts with the radius of a circle of its area. For whole star i let d_i be the change of its flux over the
    flux, s_i the noise of that. The mean change m weights with 1 / (s_i^2 + t^2), t being the scatter that s_i do not
    explain; the factor is 1 / (1 + m) and the relative error (t^2 + 1 / sum 1 / (s_i^2 + t^2))^(1/2).
    """
    options = options or ExtrapolationOptions()
    n = fit.x.size
    factor, place, misfit = np.ones(n), np.zeros((n, 2)), np.ones(n)
    flux_err = np.zeros(n)
    cut = np.flatnonzero((fit.saturated > 0) & (fit.flux > 0))
    if cut.size == 0:
        return Extrapolation(factor, flux_err, place, misfit)
    flux_err[cut] = np.nan
    misfit[cut] = np.maximum(1.0, np.nan_to_num(fit.chi2_red[cut], nan=1.0))
    enough = cut[fit.pixels[cut] >= options.fewest_pixels]
    chosen = bright_stars(fit, options.smallest_snr, options.stars, with_saturated=False)
    if enough.size == 0 or chosen.size < options.fewest:
        return Extrapolation(factor, flux_err, place, misfit)
    whole = _stamps(frame, psf, fit, chosen, min(reach_px, psf.half_px - MARGIN_PX))
    hole = np.rint(np.sqrt(fit.saturated[enough] / np.pi) / HOLE_STEP_PX)
    level = np.rint(np.log(fit.flux[enough]) / np.log(FLUX_STEP))
    for key in np.unique(np.stack([hole, level], axis=1), axis=0):
        rows = enough[(hole == key[0]) & (level == key[1])]
        flux = float(np.median(fit.flux[rows]))
        change, noise = _without_core(frame, whole, key[0] * HOLE_STEP_PX, flux, weight_floor)
        mean, scatter = _mean_and_scatter(change[:, 0] / whole.flux, noise[:, 0] / whole.flux, options.fewest)
        factor[rows], flux_err[rows] = (1 / (1 + mean), scatter / (1 + mean)) if mean > -1 else (1.0, np.nan)
        for axis in (0, 1):
            off, wide = _mean_and_scatter(change[:, 1 + axis], noise[:, 1 + axis], options.fewest)
            place[rows, axis] = np.hypot(off, wide)
    unknown = ~(
        (flux_err < options.largest_error) & (np.abs(np.log(np.maximum(factor, 1e-9))) < options.largest_change)
    )
    flux_err[unknown], factor[unknown] = np.nan, 1.0
    return Extrapolation(factor, flux_err, np.nan_to_num(place), misfit)


def _stamps(frame: FitFrame, psf: PsfModel, fit: PsfFit, chosen: NDArray[np.intp], half: int) -> _Whole:
    """What a fit of each star reads; weightless pixels have an infinite variance."""
    x, y, flux = fit.x[chosen], fit.y[chosen], fit.flux[chosen]
    cx, cy = np.floor(x + 0.5).astype(np.intp), np.floor(y + 0.5).astype(np.intp)
    offset = np.arange(-half, half + 1)
    rows, columns = cy[:, None, None] + offset[:, None], cx[:, None, None] + offset
    ny, nx = frame.shape
    usable = (rows >= 0) & (rows < ny) & (columns >= 0) & (columns < nx)
    rows, columns = np.clip(rows, 0, ny - 1), np.clip(columns, 0, nx - 1)
    usable &= frame.state[rows, columns] == 0
    usable &= np.hypot(offset[:, None], offset) < half + 0.5
    values = [part.reshape(x.size, -1).astype(np.float64) for part in evaluate_psf(psf, x, y, half)]
    design = np.stack([values[0], flux[:, None] * values[1], flux[:, None] * values[2]], axis=2)
    u, v = offset - (x - cx)[:, None, None], offset[:, None] - (y - cy)[:, None, None]
    variance = np.where(usable, frame.rms[rows, columns].astype(np.float64) ** 2, np.inf)
    left = np.where(usable, fit.residual[rows, columns], 0.0)
    flat = (x.size, -1)
    return _Whole(
        flux, values[0], design, left.reshape(flat), variance.reshape(flat), np.hypot(u, v).reshape(flat)
    )  # fmt: skip


def _without_core(
    frame: FitFrame, whole: _Whole, hole_px: float, flux: float, weight_floor: float
) -> tuple[FloatArray, FloatArray]:
    """(n, 3): change of flux, x and y of whole stars fitted without their cores, as a star of ``flux`` is; its noise.

    NaN where the pixels left do not tell.
    """
    model = flux * np.maximum(whole.value, 0.0)
    weight = 1 / (whole.sky_variance + frame.shot_noise * model + (weight_floor * model) ** 2)
    weight = np.where(whole.radius > hole_px, weight, 0.0)
    weighted = weight[:, :, None] * whole.design
    normal = np.einsum("npi,npj->nij", weighted, whole.design)
    own = whole.flux[:, None] * np.maximum(whole.value, 0.0)
    variance = np.where(weight > 0, whole.sky_variance + frame.shot_noise * own, 0.0)
    middle = np.einsum("npi,np,npj->nij", weighted, variance, weighted)
    solvable = np.linalg.cond(normal / _size(normal)) < 1e10
    inverse = np.linalg.inv(np.where(solvable[:, None, None], normal, np.eye(3)))
    change = np.einsum("nij,npj,np->ni", inverse, weighted, whole.left)
    noise = np.sqrt(np.einsum("nij,njk,nki->ni", inverse, middle, inverse))
    bad = ~solvable[:, None] | ~np.isfinite(noise)
    return np.where(bad, np.nan, change), np.where(bad, np.nan, noise)


def _size(normal: FloatArray) -> FloatArray:
    """(n, 3, 3): product of the square roots of the diagonal, which makes a matrix independent of units."""
    root = np.sqrt(np.maximum(np.einsum("nii->ni", normal), 1e-300))
    return np.asarray(root[:, :, None] * root[:, None, :])


def _mean_and_scatter(value: FloatArray, noise: FloatArray, fewest: int) -> tuple[float, float]:
    """Weighted mean without outliers, and what one more value of no noise differs from it by; NaN of too few."""
    good = np.isfinite(value) & np.isfinite(noise) & (noise > 0)
    value, noise = value[good], noise[good]
    if value.size < fewest:
        return 0.0, float("nan")
    mean = float(np.median(value))
    scatter2 = max(0.0, float(mad_std(value, mean)) ** 2 - float(np.median(noise**2)))
    weight = np.zeros(0)
    for _ in range(ROUNDS):
        variance = noise**2 + scatter2
        keep = np.abs(value - mean) < OUTLIER_SIGMA * np.sqrt(variance)
        weight = np.where(keep, 1 / variance, 0.0)
        if keep.sum() < fewest:
            return 0.0, float("nan")
        mean = float((weight * value).sum() / weight.sum())
        degrees = 1 - 1 / keep.sum()
        excess = float((weight**2 * ((value - mean) ** 2 / degrees - noise**2)).sum() / (weight**2).sum())
        scatter2 = max(0.0, excess)
    return mean, float(np.sqrt(scatter2 + 1 / weight.sum()))
