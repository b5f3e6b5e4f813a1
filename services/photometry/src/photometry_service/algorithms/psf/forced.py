"""Fluxes at given positions, detected or not, with upper limits; and the error of a flux of zero.

The PSF is fixed, the position is fixed, so the fit is linear: flux and error are unbiased and signed however faint the
source is. Known sources are fitted along with it.

References
----------
Naylor (1998), MNRAS 296, 339 (optimal weights, noise of an unresolved source on the sky).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from photometry_service.algorithms.detection.fit_frame import fit_frame
from photometry_service.algorithms.detection.matched_filter import start_flux
from photometry_service.algorithms.psf.fit import FitOptions, PsfFit, fit_psf
from photometry_service.algorithms.psf.matched_filter import filter_of_psf
from photometry_service.algorithms.psf.model import psf_values
from photometry_service.domain.flags import SourceFlag
from photometry_service.domain.psf import FloatArray, PsfModel, PsfPhotometry, Sources

__all__ = ["ForcedOptions", "ForcedPhotometry", "measure_forced", "zero_flux_error"]


@dataclass(frozen=True)
class ForcedOptions:
    """How fluxes at given positions are measured.

    Attributes
    ----------
    detection_snr : below this S/N an upper limit is given
    limit_sigma : the limit is max(flux, 0) plus this many errors
    replaces_fwhm : a known source nearer than this to a given position is taken to be the source itself
    same_fwhm : a position nearer than this to an earlier one gets the flux of that: they can not be told apart
    flat_error : relative error of the flat field, added to the errors of fluxes
    """

    detection_snr: float = 3.0
    limit_sigma: float = 3.0
    replaces_fwhm: float = 0.6
    same_fwhm: float = 0.1
    flat_error: float = 0.0
    fit: FitOptions = field(default_factory=FitOptions)


@dataclass(frozen=True, eq=False)
class ForcedPhotometry:
    """Fluxes in the order of the positions given; NaN where the frame has no usable pixel.

    Attributes
    ----------
    x, y : (n,), pixels, 0-based, as given
    flux, flux_err : (n,), electrons, signed; one sigma
    snr : (n,)
    upper_limit : (n,), electrons; NaN where the source is detected or could not be measured
    chi2_red : (n,)
    flags : (n,), int32, bits of ``SourceFlag``
    """

    x: FloatArray
    y: FloatArray
    flux: FloatArray
    flux_err: FloatArray
    snr: FloatArray
    upper_limit: FloatArray
    chi2_red: FloatArray
    flags: NDArray[np.int32]

    def __len__(self) -> int:
        return int(self.x.size)


def measure_forced(
    data: NDArray[np.float32],
    rms: NDArray[np.float32],
    psf: PsfModel,
    x: FloatArray,
    y: FloatArray,
    *,
    mask: NDArray[np.bool_] | None = None,
    saturated: NDArray[np.bool_] | None = None,
    shot_noise: float = 1.0,
    known: PsfPhotometry | Sources | None = None,
    options: ForcedOptions | None = None,
) -> ForcedPhotometry:
    """Measure fluxes at positions.

    Parameters
    ----------
    data, rms, mask, saturated, shot_noise : as ``measure_psf``
    x, y : (n,), pixels, 0-based; not finite or off the frame = NaN in the result
    known : sources of the frame, whose fluxes are fitted together with the new ones
        A known source within ``replaces_fwhm`` of a given position is left out: it is the same source.

    Notes
    -----
    ``upper_limit = max(F, 0) + limit_sigma sigma_F`` where F / sigma_F < ``detection_snr``. The errors do not contain
    that of the position: an offset d from the true place lowers the flux by about 1.1 (d / FWHM)^2.
    """
    options = options or ForcedOptions()
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    frame = fit_frame(data, rms, mask, saturated, shot_noise)
    ny, nx = frame.shape
    usable = np.isfinite(x) & np.isfinite(y)
    usable &= (np.nan_to_num(x, nan=-1.0) > -0.5) & (np.nan_to_num(y, nan=-1.0) > -0.5)
    usable &= (np.nan_to_num(x, nan=nx) < nx - 0.5) & (np.nan_to_num(y, nan=ny) < ny - 0.5)
    own, which = _apart(x[usable], y[usable], options.same_fwhm * psf.fwhm_px)
    own_x, own_y = x[usable][own], y[usable][own]
    others = _others(known, own_x, own_y, options.replaces_fwhm * psf.fwhm_px)
    all_x, all_y = np.concatenate([own_x, others[0]]), np.concatenate([own_y, others[1]])
    guess = start_flux(frame.data, frame.state, filter_of_psf(psf), own_x, own_y)
    start = np.concatenate([guess, others[2] / frame.unit])
    fit = fit_psf(frame, psf, all_x, all_y, start, options.fit, fit_position=False)
    return _collect(fit, usable, which, x, y, frame.unit, frame.shape, psf, options)


def zero_flux_error(psf: PsfModel, rms: FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    """Error of the PSF flux of nothing at positions, limited by the background: rms / sqrt(sum P^2).

    Parameters
    ----------
    rms : (n,), electrons, one sigma per pixel at the positions
    x, y : (n,), pixels, 0-based
    """
    half = int(min(max(3, np.ceil(2.0 * psf.major_fwhm_px)), psf.half_px - 3))
    value = psf_values(psf, x, y, half).astype(np.float64)
    return np.asarray(rms / np.sqrt((value**2).sum(axis=(1, 2))))


def _apart(x: FloatArray, y: FloatArray, radius: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Positions farther than ``radius`` from every earlier one that is kept, and which of them each position takes."""
    first = np.arange(x.size)
    if x.size > 1:
        places = np.stack([x, y], axis=1)
        tree = cKDTree(places)
        crowded = np.flatnonzero(tree.query(places, k=2)[0][:, 1] <= radius)
        for n in crowded:  # in order: a position is known to be kept before later ones take its flux
            if first[n] == n:
                near = np.array(tree.query_ball_point(places[n], radius))
                first[near[(near > n) & (first[near] == near)]] = n
    own, which = np.unique(first, return_inverse=True)
    return own, which


def _others(
    known: PsfPhotometry | Sources | None, x: FloatArray, y: FloatArray, radius: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Positions and fluxes of the known sources that are not among the given ones."""
    none = np.empty(0)
    if known is None or len(known) == 0:
        return none, none, none
    keep = np.ones(len(known), dtype=bool)
    if x.size:
        tree = cKDTree(np.stack([x, y], axis=1))
        keep = tree.query(np.stack([known.x, known.y], axis=1))[0] > radius
    return known.x[keep], known.y[keep], known.flux[keep]


def _collect(
    fit: PsfFit, usable: NDArray[np.bool_], which: NDArray[np.intp], x: FloatArray, y: FloatArray, unit: float,
    shape: tuple[int, int], psf: PsfModel, options: ForcedOptions,
) -> ForcedPhotometry:  # fmt: skip
    """Put the fits of the usable positions into their places; ``which`` fit each of them takes."""
    n = x.size
    flux, error, chi2 = np.full(n, np.nan), np.full(n, np.nan), np.full(n, np.nan)
    measured = fit.pixels[which] > 0
    flux[usable] = np.where(measured, fit.flux[which] * unit, np.nan)
    error[usable] = np.where(measured, np.sqrt(fit.flux_var[which]) * unit, np.nan)
    error = np.hypot(error, options.flat_error * flux)
    chi2[usable] = fit.chi2_red[which]
    snr = flux / error
    flags = np.zeros(n, dtype=np.int32)
    reach = max(options.fit.smallest_radius_px, round(options.fit.radius_fwhm * psf.major_fwhm_px)) - 0.5
    on_frame = np.zeros(n, dtype=bool)
    on_frame[usable] = (x[usable] >= reach) & (y[usable] >= reach)
    on_frame[usable] &= (x[usable] <= shape[1] - 1 - reach) & (y[usable] <= shape[0] - 1 - reach)
    flags[~on_frame] |= SourceFlag.TRUNCATED.value
    flags[flux < 0] |= SourceFlag.NEGATIVE_FLUX.value
    for flag, where in (
        (SourceFlag.BLENDED, fit.group[which] > 0),
        (SourceFlag.SATURATED, fit.saturated[which] > 0),
        (SourceFlag.STAMP_INCOMPLETE, fit.missing[which] > 0),
    ):
        flags[np.flatnonzero(usable)[where]] |= flag.value
    limit = np.where(snr < options.detection_snr, np.maximum(flux, 0) + options.limit_sigma * error, np.nan)
    return ForcedPhotometry(x.copy(), y.copy(), flux, error, snr, limit, chi2, flags)
