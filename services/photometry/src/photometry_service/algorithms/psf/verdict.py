"""Whether the PSF describes the stars of its frame: what it leaves of bright ones, against what noise allows.

The chi2 of a star exceeds its degrees of freedom by ``(misfit F)^2 / var(F)``, where the misfit is what the PSF leaves of
the star as a share of its light, both in units of the noise. Noise does not make that grow with the flux, a wrong
profile does. What it does to the flux is seen where light is left over around a star, and it is at least the projection
of the misfit on one of the elements of resolution that the fit has.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from astro_shared.frame_warnings import FrameWarning, WarningCode
from astro_shared.science.robust_statistics import mad_std
from photometry_service.algorithms.detection.fit_frame import FitFrame
from photometry_service.algorithms.psf.fit import PsfFit
from photometry_service.domain.psf import FloatArray, PsfModel, PsfSummary, PsfVerdict

__all__ = [
    "PARTS_OF_BRIGHT_STARS",
    "PSF_DOES_NOT_HOLD",
    "PsfMisfit",
    "VerdictOptions",
    "psf_misfit",
    "repeated_words",
    "verdict_words",
]

PSF_DOES_NOT_HOLD = "psf_does_not_hold"
"""The code that begins the warning."""

PARTS_OF_BRIGHT_STARS = "parts_of_bright_stars"
"""The code that begins the warning of spikes, ghosts and arcs."""

FEWEST_REPEATED, REPEATED_SHARE = 4, 0.005
"""Sources, and share of all, that stand at the same place beside bright stars before it is worth a word."""

ONE_SIGMA = 0.6827
"""Share of normal numbers whose square is below their variance."""

MEDIAN_ERROR = 1.2533
"""Standard error of a median of normal numbers, in units of sigma / sqrt(n)."""

CROWDED = 2.5
"""A ninth with so many times the usual number of sources is not looked at by itself."""

ZONES = (("lower", "middle", "upper"), ("left", "centre", "right"))


@dataclass(frozen=True)
class VerdictOptions:
    """When a PSF does not hold, and what that costs.

    Attributes
    ----------
    stars, fewest : the brightest that are looked at, and how many are needed
    smallest_snr : of such a star
    isolation_fwhm, neighbour_ratio : no neighbour within this distance above this fraction of the flux
    near : a source has the misfit of so many of these stars around it
    smallest_misfit, significance : the median misfit that counts, and by how many of its errors its square exceeds zero
    beyond_sigma : a star is beyond the noise by so many sigma of its chi2
    flux_share, place_share
        Error of a flux, and of a place in units of the noise, per misfit: its projection on one parameter, the misfit
        being spread over the ten or so elements of resolution in a fit.
    left_fwhm : light that is left over within this distance is that of the star
    zone_stars : how many a ninth of the frame must have to be looked at by itself
    uneven : zones are named where the worst has so many times the misfit of the best
    """

    stars: int = 60
    fewest: int = 3
    smallest_snr: float = 20.0
    isolation_fwhm: float = 2.5
    neighbour_ratio: float = 0.05
    near: int = 12
    smallest_misfit: float = 0.008
    significance: float = 4.0
    beyond_sigma: float = 3.0
    flux_share: float = 0.33
    place_share: float = 0.16
    left_fwhm: float = 2.5
    zone_stars: int = 5
    uneven: float = 1.5


@dataclass(frozen=True, eq=False)
class PsfMisfit:
    """The verdict, and what it adds to the errors of each source.

    Attributes
    ----------
    flux : (n,), error of the flux over the flux, one sigma
    place : (n,), factor on the variances of the place
    """

    verdict: PsfVerdict
    flux: FloatArray
    place: FloatArray


def psf_misfit(
    frame: FitFrame, fit: PsfFit, psf: PsfModel, options: VerdictOptions | None = None, *, noise_factor: float = 1.0
) -> PsfMisfit:
    """Judge a PSF by the bright stars that were fitted with it: by all of them, and by those of each ninth of the frame.

    Parameters
    ----------
    fit : all sources of the frame
    noise_factor : of the errors

    Returns
    -------
    PsfMisfit
        Nothing is added where the PSF holds, or where stars are too few to tell.
    """
    options = options or VerdictOptions()
    n = fit.flux.size
    snr = np.nan_to_num(fit.snr) / noise_factor
    rows = _bright(fit, snr, psf, options)
    if rows.size < options.fewest:
        return PsfMisfit(PsfVerdict(stars=rows.size), np.zeros(n), np.ones(n))
    freedom = np.maximum(fit.pixels[rows] - 3, 1)
    square = (fit.chi2_red[rows] / noise_factor**2 - 1) * freedom / snr[rows] ** 2
    noise = np.sqrt(2 * freedom) / snr[rows] ** 2
    beyond = square > options.beyond_sigma * noise
    zones = _zones(fit, rows, square, beyond, psf.frame_shape, options)
    if not _is_off(square, noise, options) and not any(zone.off for zone in zones):
        return PsfMisfit(PsfVerdict(stars=rows.size), np.zeros(n), np.ones(n))
    misfit = _around(fit, rows, square, options.near, 0.5)
    left_over = _left_over(frame, fit, rows, options.left_fwhm * psf.major_fwhm_px)
    left = _around(fit, rows, left_over, options.near, ONE_SIGMA)
    flux = np.hypot(options.flux_share * misfit, left)
    place = 1 + (options.place_share * misfit * snr) ** 2
    worst = max(zones, key=lambda zone: zone.misfit, default=_Zone("", _root(square), True))
    alike = not zones or worst.misfit < options.uneven * min(zone.misfit for zone in zones)
    verdict = PsfVerdict(
        holds=False, misfit=_root(square), stars=rows.size, beyond=int(np.count_nonzero(beyond)),
        worst_misfit=worst.misfit, worst_zone="" if alike else worst.name, flux_error=float(np.median(flux[rows])),
    )  # fmt: skip
    return PsfMisfit(verdict, flux, place)


def verdict_words(verdict: PsfVerdict) -> tuple[FrameWarning, ...]:
    """The warning that the PSF does not hold; nothing when it does."""
    if verdict.holds:
        return ()
    where = f", most in the {verdict.worst_zone} ({_percent(verdict.worst_misfit)})" if verdict.worst_zone else ""
    told = (
        f"{PSF_DOES_NOT_HOLD}: of {verdict.stars} bright stars {verdict.beyond} leave more than noise explains, "
        f"{_percent(verdict.misfit)} of their light in the median{where}: the profile does not follow these optics. "
        f"Errors of fluxes hold {_percent(verdict.flux_error)} of the flux for it; faint sources beside bright stars may "
        "be remains of these"
    )
    return (WarningCode.PSF_DOES_NOT_HOLD(told),)


def repeated_words(summary: PsfSummary, sources: int) -> tuple[FrameWarning, ...]:
    """The warning that bright stars have parts which look like stars; nothing for a chance one.

    Parameters
    ----------
    sources : how many the frame has without these
    """
    repeated = summary.n_repeated
    if repeated < max(FEWEST_REPEATED, REPEATED_SHARE * sources):
        return ()
    told = (
        f"{PARTS_OF_BRIGHT_STARS}: {repeated} detections beside bright stars were left out, because other bright stars show "
        "the same light at the same place, or the same star does all around it: diffraction spikes, rings or ghosts. Of "
        f"the {sources} sources, faint ones near bright stars may still be such"
    )
    return (WarningCode.PARTS_OF_BRIGHT_STARS(told),)


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _bright(fit: PsfFit, snr: FloatArray, psf: PsfModel, options: VerdictOptions) -> NDArray[np.intp]:
    """Whole stars alone, the brightest first; also those with neighbours where hardly any is alone."""
    whole = (snr > options.smallest_snr) & (fit.missing == 0) & (fit.saturated == 0) & (fit.group == 0)
    whole &= np.isfinite(fit.chi2_red) & np.isfinite(fit.x) & np.isfinite(fit.y)
    rows = np.flatnonzero(whole)
    rows = rows[np.argsort(-fit.flux[rows], kind="stable")][: 4 * options.stars]
    alone = _alone(fit, rows, options.isolation_fwhm * psf.major_fwhm_px, options.neighbour_ratio)
    chosen = rows[alone] if alone.sum() >= options.near else rows
    return chosen[: options.stars]


def _alone(fit: PsfFit, rows: NDArray[np.intp], radius: float, ratio: float) -> NDArray[np.bool_]:
    """Rows without a neighbour above a share of their flux."""
    usable = np.flatnonzero(np.isfinite(fit.x) & np.isfinite(fit.y) & np.isfinite(fit.flux))
    if rows.size == 0:
        return np.zeros(0, dtype=bool)
    one = cKDTree(np.stack([fit.x[rows], fit.y[rows]], axis=1))
    other = cKDTree(np.stack([fit.x[usable], fit.y[usable]], axis=1))
    pairs = one.sparse_distance_matrix(other, radius, output_type="ndarray")
    host, neighbour = rows[pairs["i"]], usable[pairs["j"]]
    disturbed = (host != neighbour) & (fit.flux[neighbour] > ratio * fit.flux[host])
    alone = np.ones(rows.size, dtype=bool)
    alone[pairs["i"][disturbed]] = False
    return alone


def _left_over(frame: FitFrame, fit: PsfFit, rows: NDArray[np.intp], radius_px: float) -> FloatArray:
    """(n,): squares of the light left over around stars as a share of theirs, beyond noise and what all have in
    common."""
    half = ceil(radius_px)
    x, y, flux = fit.x[rows], fit.y[rows], fit.flux[rows]
    cx, cy = np.rint(x).astype(np.intp), np.rint(y).astype(np.intp)
    offset = np.arange(-half, half + 1)
    line, column = cy[:, None, None] + offset[:, None], cx[:, None, None] + offset
    inside = np.hypot(column - x[:, None, None], line - y[:, None, None]) <= radius_px
    ny, nx = frame.shape
    inside &= (line >= 0) & (line < ny) & (column >= 0) & (column < nx)
    line, column = np.clip(line, 0, ny - 1), np.clip(column, 0, nx - 1)
    inside &= frame.state[line, column] == 0
    residual = fit.residual[line, column].astype(np.float64)
    light = np.maximum(frame.data[line, column] - residual, 0.0)
    variance = frame.rms[line, column].astype(np.float64) ** 2 + frame.shot_noise * light
    left = np.where(inside, residual, 0.0).sum(axis=(1, 2)) / flux
    shared = 1.0 if frame.correlation is None else frame.correlation.total
    noise2 = shared * np.where(inside, variance, 0.0).sum(axis=(1, 2)) / flux**2
    return np.asarray((left - np.median(left)) ** 2 - noise2)


def _around(fit: PsfFit, rows: NDArray[np.intp], square: FloatArray, near: int, share: float) -> FloatArray:
    """(n,): root of the square below which a share of the stars nearest to each source lies; of all without a place."""
    out = np.full(fit.flux.size, np.sqrt(max(float(np.quantile(square, share)), 0.0)))
    placed = np.flatnonzero(np.isfinite(fit.x) & np.isfinite(fit.y))
    tree = cKDTree(np.stack([fit.x[rows], fit.y[rows]], axis=1))
    count = min(near, rows.size)
    nearest = tree.query(np.stack([fit.x[placed], fit.y[placed]], axis=1), k=count)[1].reshape(placed.size, count)
    out[placed] = np.sqrt(np.maximum(np.quantile(square[nearest], share, axis=1), 0.0))
    return out


@dataclass(frozen=True)
class _Zone:
    """A ninth of the frame, the misfit of its stars, and whether most of them are beyond the noise."""

    name: str
    misfit: float
    off: bool


def _zones(
    fit: PsfFit, rows: NDArray[np.intp], square: FloatArray, beyond: NDArray[np.bool_], shape: tuple[int, int],
    options: VerdictOptions,
) -> list[_Zone]:  # fmt: skip
    """Those ninths of the frame that have enough stars, and not so many that what is left is a crowd of faint ones."""
    placed = np.isfinite(fit.x) & np.isfinite(fit.y)
    line = np.clip(3 * np.where(placed, fit.y, 0.0) / shape[0], 0, 2).astype(np.intp)
    column = np.clip(3 * np.where(placed, fit.x, 0.0) / shape[1], 0, 2).astype(np.intp)
    zone_of = 3 * line + column
    crowd = np.bincount(zone_of[placed], minlength=9)
    zones = []
    for place in np.flatnonzero(crowd < CROWDED * np.median(crowd)).tolist():
        here = zone_of[rows] == place
        if np.count_nonzero(here) < options.zone_stars:
            continue
        misfit = _root(square[here])
        off = bool(misfit > 2 * options.smallest_misfit and np.mean(beyond[here]) > 0.5)
        zones.append(_Zone(f"{ZONES[0][place // 3]} {ZONES[1][place % 3]}", misfit, off))
    return zones


def _is_off(square: FloatArray, noise: FloatArray, options: VerdictOptions) -> bool:
    """Whether the median of squared misfits is significant."""
    spread = max(float(mad_std(square)), float(np.median(noise)))
    needed = options.significance * MEDIAN_ERROR * spread / np.sqrt(square.size)
    return bool(np.median(square) > max(options.smallest_misfit**2, needed))


def _root(square: FloatArray) -> float:
    """Root of the median; 0 where that is negative."""
    return float(np.sqrt(max(float(np.median(square)), 0.0)))
