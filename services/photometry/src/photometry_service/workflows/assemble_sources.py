"""One source table from profile fits and apertures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_shared.science.robust_statistics import mad_std
from photometry_service.algorithms.apertures import AperturePhotometry
from photometry_service.algorithms.calibration import to_magnitude
from photometry_service.domain.flags import SourceFlag
from photometry_service.domain.psf import PsfPhotometry

Array = NDArray[np.float64]
CALIBRATED_APERTURE = 2
MIN_STARS_FOR_CORRECTION = 3


@dataclass(frozen=True)
class ApertureTie:
    """Aperture magnitude to profile magnitude, and how well that is known; NaN when too few stars tell."""

    correction_mag: float
    error_mag: float
    stars: int


def assemble(
    psf: PsfPhotometry, apertures: AperturePhotometry, peak_e: Array, neighbours: Array, *, exposure_s: float
) -> dict[str, NDArray[Any]]:
    """Columns of `astro_shared.contracts.tables.SOURCES`.

    Parameters
    ----------
    peak_e : (n,), highest pixel above the sky in the core
    neighbours : (n,), share of neighbours' light in the second aperture; used only for the flag
    """
    flux = np.where(np.isfinite(psf.flux_err), psf.flux, np.nan)
    columns: dict[str, NDArray[Any]] = {
        "id": psf.id,
        "x": psf.x,
        "y": psf.y,
        "x_var": psf.x_var,
        "y_var": psf.y_var,
        "xy_cov": psf.xy_cov,
        "position_kind": np.full(len(psf), "psf"),
        "flux_psf": flux,
        "flux_psf_err": psf.flux_err,
    }
    for n in range(apertures.flux_e.shape[1]):
        columns[f"flux_aper_{n + 1}"] = apertures.flux_e[:, n]
        columns[f"flux_aper_err_{n + 1}"] = apertures.flux_err_e[:, n]
    flags = psf.flags | apertures.flags
    flags[neighbours > 0.1] |= np.int32(SourceFlag.CROWDED)
    mag, mag_err = to_magnitude(flux, psf.flux_err, exposure_s)
    columns |= {
        "sky": apertures.sky_e,
        "sky_err": apertures.sky_err_e,
        "snr": psf.snr,
        "peak": peak_e,
        "fwhm": psf.fwhm,
        "sharpness": psf.sharpness,
        "roundness1": psf.roundness1,
        "roundness2": psf.roundness2,
        "chi2_red": psf.chi2_red,
        "qfit": psf.qfit,
        "cfit": psf.cfit,
        "flags": flags.astype(np.int32),
        "mag_inst": mag,
        "mag_inst_err": mag_err,
    }
    return columns


def tie_aperture(
    columns: dict[str, NDArray[Any]], number: int, *, min_snr: float = 100.0, clip_sigma: float = 3.0
) -> ApertureTie:
    """Clipped median of profile minus aperture magnitude over clean stars; the S/N limit falls until there are enough."""
    bad = SourceFlag.SATURATED | SourceFlag.TRUNCATED | SourceFlag.APERTURE_INCOMPLETE | SourceFlag.CROWDED
    bad |= SourceFlag.COSMIC_RAY_IN_APERTURE | SourceFlag.BLENDED | SourceFlag.NOT_POINT_LIKE | SourceFlag.NOT_CONVERGED
    aperture, flux = columns[f"flux_aper_{number}"], columns["flux_psf"]
    clean = ((columns["flags"] & int(bad)) == 0) & (flux > 0) & (aperture > 0)
    for limit in (min_snr, min_snr / 3, min_snr / 10):
        chosen = clean & (columns["snr"] > limit)
        if chosen.sum() >= 10 * MIN_STARS_FOR_CORRECTION:
            break
    difference = -2.5 * np.log10(flux[chosen] / aperture[chosen])
    for _ in range(10):
        if len(difference) < MIN_STARS_FOR_CORRECTION:
            return ApertureTie(float("nan"), float("nan"), len(difference))
        centre = np.median(difference)
        sigma = mad_std(difference, centre)
        keep = np.abs(difference - centre) <= clip_sigma * max(float(sigma), 1e-6)
        if keep.all():
            break
        difference = difference[keep]
    return ApertureTie(float(centre), float(1.2533 * sigma / np.sqrt(len(difference))), len(difference))


def core_peak(data: NDArray[np.float32], x: Array, y: Array) -> Array:
    """(n,), highest pixel of the 3x3 around each position; NaN off the frame."""
    ny, nx = data.shape
    ix, iy = np.rint(x).astype(int), np.rint(y).astype(int)
    inside = (ix >= 0) & (iy >= 0) & (ix < nx) & (iy < ny)
    peak = np.full(len(x), -np.inf)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            peak = np.maximum(peak, data[np.clip(iy + dy, 0, ny - 1), np.clip(ix + dx, 0, nx - 1)])
    return np.where(inside, peak, np.nan)
