"""Completeness by injected stars: put stars of known flux into the frame, measure it again, count."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from photometry_service.algorithms.psf.model import psf_values
from photometry_service.domain.psf import FloatArray, PsfModel, PsfPhotometry

__all__ = ["Completeness", "InjectionOptions", "inject_stars", "injected_completeness"]

FloatImage = NDArray[np.float32]
Measure = Callable[[FloatImage], PsfPhotometry]


@dataclass(frozen=True)
class InjectionOptions:
    """How stars are injected.

    Attributes
    ----------
    faintest_snr, brightest_snr : range of fluxes, in units of the error of a flux of zero
    bins : number of bins, equal in the logarithm of the flux
    stars_per_fwhm2 : density of injected stars, so low that they do not hide each other
    rounds : frames with other stars
    match_fwhm : an injected star is found when a source lies within this distance
    flux_ratio : and its flux is right within this factor
    """

    faintest_snr: float = 2.5
    brightest_snr: float = 40.0
    bins: int = 12
    stars_per_fwhm2: float = 1.0 / 900.0
    rounds: int = 2
    match_fwhm: float = 0.5
    flux_ratio: float = 2.0


@dataclass(frozen=True, eq=False)
class Completeness:
    """Share of injected stars that were found.

    Attributes
    ----------
    flux : (bins,), electrons, geometric middle of each bin
    injected, found : (bins,), numbers of stars
    flux_bias : (bins,), median of measured over injected flux minus 1; NaN where none was found
    """

    flux: FloatArray
    injected: NDArray[np.int64]
    found: NDArray[np.int64]
    flux_bias: FloatArray

    @property
    def fraction(self) -> FloatArray:
        """(bins,): found over injected; NaN where nothing was injected."""
        out = np.full(self.flux.size, np.nan)
        return np.divide(self.found, self.injected, out=out, where=self.injected > 0)

    @property
    def fraction_err(self) -> FloatArray:
        """(bins,): one sigma of the fraction (Agresti & Coull 1998, two successes and two failures added)."""
        p = (self.found + 2) / (self.injected + 4)
        return np.sqrt(p * (1 - p) / (self.injected + 4))

    def flux_at(self, fraction: float) -> float:
        """Flux at which the completeness falls below a value, interpolated from the bright end; NaN if it never does."""
        known = np.isfinite(self.fraction)
        flux, share = self.flux[known], self.fraction[known]
        below = np.flatnonzero(share < fraction)
        if below.size == 0 or below[-1] == share.size - 1:
            return float("nan")
        k = int(below[-1])
        t = (fraction - share[k]) / (share[k + 1] - share[k])
        return float(np.exp(np.log(flux[k]) + t * (np.log(flux[k + 1]) - np.log(flux[k]))))


def inject_stars(
    data: FloatImage,
    psf: PsfModel,
    x: FloatArray,
    y: FloatArray,
    flux: FloatArray,
    rng: np.random.Generator,
    shot_noise: float = 1.0,
) -> FloatImage:
    """Return the frame with stars added, their shot noise included (normal approximation).

    Parameters
    ----------
    data : (ny, nx)
    x, y, flux : (n,), pixels and unit of the frame
    shot_noise : variance per unit of signal
    """
    half = psf.half_px - 3
    out = data.copy()
    stamps = psf_values(psf, x, y, half).astype(np.float64) * flux[:, None, None]
    stamps += rng.standard_normal(stamps.shape) * np.sqrt(shot_noise * np.maximum(stamps, 0))
    ny, nx = data.shape
    cx, cy = np.floor(x + 0.5).astype(int), np.floor(y + 0.5).astype(int)
    for stamp, column, row in zip(stamps, cx, cy, strict=True):  # stamps may overlap, so one after the other
        top, left = max(0, half - row), max(0, half - column)
        bottom, right = min(2 * half + 1, ny - row + half), min(2 * half + 1, nx - column + half)
        if top < bottom and left < right:
            rows, columns = (
                slice(row - half + top, row - half + bottom),
                slice(column - half + left, column - half + right),
            )
            out[rows, columns] += stamp[top:bottom, left:right].astype(np.float32)
    return out


def injected_completeness(
    data: FloatImage,
    psf: PsfModel,
    sigma_flux: float,
    measure: Measure,
    rng: np.random.Generator,
    *,
    known: PsfPhotometry,
    shot_noise: float = 1.0,
    options: InjectionOptions | None = None,
) -> Completeness:
    """Estimate the completeness of a measurement on this very frame.

    Parameters
    ----------
    data : (ny, nx), background subtracted
    sigma_flux : electrons, error of a flux of zero
    measure : the measurement as it was done on the frame
    known : its result on the frame as it is
        A source that was there before does not count as the injected star, unless it became brighter by its flux.

    Notes
    -----
    Positions are uniform over the frame, fluxes uniform in the logarithm. Background and noise map are those of the frame.
    """
    options = options or InjectionOptions()
    edges = sigma_flux * np.geomspace(options.faintest_snr, options.brightest_snr, options.bins + 1)
    injected, found = np.zeros((2, options.bins), dtype=np.int64)
    ratios: list[list[float]] = [[] for _ in range(options.bins)]
    number = max(1, int(options.stars_per_fwhm2 * data.size / psf.fwhm_px**2))
    for _ in range(options.rounds):
        x = rng.uniform(-0.5, data.shape[1] - 0.5, number)
        y = rng.uniform(-0.5, data.shape[0] - 0.5, number)
        flux = np.exp(rng.uniform(np.log(edges[0]), np.log(edges[-1]), number))
        result = measure(inject_stars(data, psf, x, y, flux, rng, shot_noise))
        gain = _recovered(result, known, x, y, options.match_fwhm * psf.fwhm_px)
        good = (gain > flux / options.flux_ratio) & (gain < flux * options.flux_ratio)
        where = np.clip(np.searchsorted(edges, flux) - 1, 0, options.bins - 1)
        injected += np.bincount(where, minlength=options.bins)
        found += np.bincount(where[good], minlength=options.bins)
        for k, ratio in zip(where[good], (gain / flux)[good], strict=True):
            ratios[k].append(float(ratio) - 1.0)
    bias = np.array([np.median(r) if r else np.nan for r in ratios])
    return Completeness(np.sqrt(edges[:-1] * edges[1:]), injected, found, bias)


def _recovered(result: PsfPhotometry, known: PsfPhotometry, x: FloatArray, y: FloatArray, radius: float) -> FloatArray:
    """(n,): flux of the nearest source within the radius, minus that of a source there before; NaN without one."""
    flux = _nearest_flux(result, x, y, radius, np.nan)
    return flux - _nearest_flux(known, x, y, radius, 0.0)


def _nearest_flux(table: PsfPhotometry, x: FloatArray, y: FloatArray, radius: float, missing: float) -> FloatArray:
    """(n,): flux of the nearest source within the radius."""
    if len(table) == 0:
        return np.full(x.size, missing)
    tree = cKDTree(np.stack([table.x, table.y], axis=1))
    index = tree.query(np.stack([x, y], axis=1), distance_upper_bound=radius)[1]
    return np.append(table.flux, missing)[index]
