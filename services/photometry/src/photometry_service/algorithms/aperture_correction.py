"""From the flux in a circle to the whole flux: curve of growth and aperture corrections with their errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photometry_service.algorithms.apertures import (
    ApertureOptions,
    AperturePhotometry,
    OwnModels,
    aperture_photometry,
)
from photometry_service.algorithms.background import Background

__all__ = ["ApertureCorrections", "CurveOfGrowth", "aperture_corrections", "curve_of_growth", "growth_radii_fwhm"]

MEDIAN_ERROR = 1.2533
"""Standard error of a median over that of a mean, sqrt(pi / 2)."""

CLIP_SIGMA = 3.0

MIN_STARS = 3
"""Fewer stars have no scatter to speak of: no correction."""


@dataclass(frozen=True, eq=False)
class ApertureCorrections:
    """What the magnitude in each of m apertures is fainter than the whole.

    Attributes
    ----------
    radii_px : (m,)
    correction_mag : (m,), m_aperture - m_whole; subtract it from an aperture magnitude. NaN with fewer than 3 stars
    error_mag : (m,), one sigma, 1.2533 sigma_MAD / sqrt(N)
    n_stars : (m,), stars left after clipping
    reference : what the whole is: a radius in words, or ``psf``
    """

    radii_px: NDArray[np.float64]
    correction_mag: NDArray[np.float64]
    error_mag: NDArray[np.float64]
    n_stars: NDArray[np.int64]
    reference: str

    def whole_flux(self, flux: NDArray[np.float64]) -> NDArray[np.float64]:
        """Fluxes (n, m) carried to the whole; the error of the correction is common to all stars and not included."""
        return flux * 10 ** (0.4 * self.correction_mag)


@dataclass(frozen=True, eq=False)
class CurveOfGrowth:
    """Share of the flux inside a radius.

    Attributes
    ----------
    radii_px : (m,)
    fraction, fraction_err : (m,), clipped median over stars and its one-sigma error
    n_stars : stars used
    """

    radii_px: NDArray[np.float64]
    fraction: NDArray[np.float64]
    fraction_err: NDArray[np.float64]
    n_stars: int

    def radius_px(self, fraction: float) -> float:
        """Radius that holds a fraction of the flux (0.5: half-light radius); NaN when the curve does not reach it."""
        rising = np.maximum.accumulate(np.nan_to_num(self.fraction))
        if not rising.size or rising[-1] < fraction:
            return float("nan")
        return float(np.interp(fraction, np.concatenate([[0.0], rising]), np.concatenate([[0.0], self.radii_px])))


def aperture_corrections(
    flux_e: NDArray[np.float64],
    whole_e: NDArray[np.float64],
    *,
    radii_px: NDArray[np.float64],
    reference: str,
) -> ApertureCorrections:
    """Clipped median of m_aperture - m_whole over stars.

    Parameters
    ----------
    flux_e : (n, m), electron
        Isolated, unsaturated stars with S/N > 100; the caller chooses.
    whole_e : (n,), electron
        Flux in the largest radius, or from the PSF.
    radii_px : (m,)
    reference : words for the result

    Returns
    -------
    ApertureCorrections
        Stars whose flux is not positive in either are left out, radius by radius.
    """
    m = flux_e.shape[1]
    correction, error, count = np.full(m, np.nan), np.full(m, np.nan), np.zeros(m, np.int64)
    for k in range(m):
        good = (flux_e[:, k] > 0) & (whole_e > 0)
        difference = -2.5 * np.log10(flux_e[good, k] / whole_e[good])
        median, uncertainty, left = _clipped_median(difference)
        count[k] = left
        if left >= MIN_STARS:
            correction[k], error[k] = median, uncertainty
    return ApertureCorrections(np.asarray(radii_px, np.float64), correction, error, count, reference)


def growth_radii_fwhm(largest_fwhm: float = 4.0, count: int = 24) -> tuple[float, ...]:
    """Radii of a curve of growth in FWHM: evenly spaced in square root, so that the core is well sampled."""
    return tuple(float(r) for r in largest_fwhm * (np.arange(1, count + 1) / count) ** 1.5)


def curve_of_growth(
    data: NDArray[np.float32],
    background: Background,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    *,
    fwhm_px: float,
    state: NDArray[np.uint8] | None = None,
    options: ApertureOptions | None = None,
    largest_fwhm: float = 4.0,
    own_models: OwnModels | None = None,
) -> CurveOfGrowth:
    """Share of the flux within growing circles, over isolated bright stars.

    Parameters
    ----------
    data, background, x, y, fwhm_px, state, own_models
        As for ``aperture_photometry``; the caller chooses isolated, unsaturated stars with S/N > 100.
    options
        Annulus and clipping; its radii are replaced.
    largest_fwhm : FWHM, the radius taken as the whole

    Returns
    -------
    CurveOfGrowth
        Stars with a bad pixel or an edge in the largest circle are left out. Empty of meaning (NaN) without stars.
    """
    base = options or ApertureOptions()
    radii = growth_radii_fwhm(largest_fwhm)
    measured = aperture_photometry(
        data,
        background,
        x,
        y,
        fwhm_px=fwhm_px,
        state=state,
        own_models=own_models,
        options=ApertureOptions(
            radii_fwhm=radii,
            annulus_fwhm=base.annulus_fwhm,
            clip_sigma=base.clip_sigma,
            max_iterations=base.max_iterations,
            min_sky_pixels=base.min_sky_pixels,
            flag_radius=len(radii) - 1,
        ),
    )
    return _growth(measured)


def _growth(measured: AperturePhotometry) -> CurveOfGrowth:
    """Normalise every star by its last radius and take clipped medians."""
    whole = measured.flux_e[:, -1]
    complete = (measured.bad_fraction[:, -1] < 1e-6) & (whole > 0)
    shares = measured.flux_e[complete] / whole[complete, None]
    rows = np.array([_clipped_median(column)[:2] for column in shares.T]).reshape(-1, 2)
    return CurveOfGrowth(measured.radii_px, rows[:, 0], rows[:, 1], int(complete.sum()))


def _clipped_median(values: NDArray[np.float64]) -> tuple[float, float, int]:
    """Median, its error and the number left after clipping at 3 robust sigma to convergence."""
    values = values[np.isfinite(values)]
    while values.size:
        median = float(np.median(values))
        sigma = 1.4826 * float(np.median(np.abs(values - median)))
        kept = values[np.abs(values - median) <= max(CLIP_SIGMA * sigma, 1e-9)]
        if kept.size == values.size:
            return median, MEDIAN_ERROR * sigma / np.sqrt(values.size), int(values.size)
        values = kept
    return float("nan"), float("nan"), 0
