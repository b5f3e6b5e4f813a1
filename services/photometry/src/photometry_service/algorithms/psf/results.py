"""What PSF photometry hands out: fits of sources sorted, flagged and in the unit of the frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from photometry_service.algorithms.detection.fit_frame import FitFrame
from photometry_service.algorithms.detection.shape_statistics import shape_statistics
from photometry_service.algorithms.psf.correlated_errors import error_factors
from photometry_service.algorithms.psf.extrapolation import Extrapolation
from photometry_service.algorithms.psf.fit import FitOptions, PsfFit
from photometry_service.algorithms.psf.groups import near_any
from photometry_service.algorithms.psf.verdict import psf_misfit
from photometry_service.domain.flags import SourceFlag
from photometry_service.domain.psf import PsfModel, PsfPhotometry, PsfSummary, Sources

__all__ = ["MeasuredSources", "as_photometry", "empty_photometry", "not_point_like"]

UNSETTLED_PX, UNSETTLED_SIGMA = 0.03, 0.3
"""A fit whose last step exceeds both, in pixels and in errors of x, did not converge."""


@dataclass(frozen=True, eq=False)
class MeasuredSources:
    """Fit of all sources with what is known of each from its detection; how many were dropped on the way.

    ``extended``: there is as much light around the source as in it. ``repeated``: so many of those that were dropped stood
    at the same place beside several bright stars. ``noise_factor``: of thresholds, one sigma of the S/N map of the residual;
    ``noise_excess``: what correlations of the noise do not explain of it.
    """

    fit: PsfFit
    found: Sources
    from_residual: NDArray[np.bool_]
    extended: NDArray[np.bool_]
    dropped: int = 0
    repeated: int = 0
    noise_factor: float = 1.0
    noise_excess: float = 1.0


def empty_photometry(residual: NDArray[np.float32], psf: PsfModel | None = None) -> PsfPhotometry:
    """No sources."""
    none, count = np.empty(0), np.empty(0, dtype=np.int64)
    return PsfPhotometry(
        id=count, x=none, y=none, x_var=none, y_var=none, xy_cov=none, flux=none, flux_err=none, flux_err_scaled=none,
        snr=none, detection_snr=none, chi2_red=none, qfit=none, cfit=none, fwhm=none, sharpness=none, roundness1=none,
        roundness2=none, flags=np.empty(0, dtype=np.int32), group=count, psf=psf, residual=residual,
    )  # fmt: skip


def not_point_like(fit: PsfFit) -> NDArray[np.bool_]:
    """(n,): chi2 beyond what noise and an imperfect PSF explain."""
    return np.asarray(fit.chi2_red > 2 + (0.02 * np.minimum(fit.snr, 1e4)) ** 2)


def as_photometry(
    frame: FitFrame,
    psf: PsfModel,
    measured: MeasuredSources,
    keep: NDArray[np.bool_],
    options: FitOptions,
    summary: PsfSummary,
    wings: Extrapolation,
    *,
    relative_error: float = 0.0,
) -> PsfPhotometry:
    """Sort and flag the sources that are kept, and convert them to the unit of the input.

    Errors and S/N take up what correlated noise and the rest of the noise factor add, the ``relative_error`` of flat field
    and normalisation, and what the profile adds for saturated stars (``wings``), whose flux is NaN where they do not tell
    it; errors, but not S/N, also what the PSF leaves of bright stars where it does not hold.
    Ties in flux are broken by y, then x.
    """
    fit = measured.fit
    index = np.flatnonzero(keep)
    index = index[np.lexsort((fit.x[index], fit.y[index], -fit.flux[index]))]
    flags = _flags(frame, psf, measured, options)
    unit = frame.unit
    excess = measured.noise_excess
    wider = error_factors(frame, psf, fit.flux[index], options)
    misfit = psf_misfit(frame, fit, psf, noise_factor=excess)
    flux = fit.flux[index] * wings.factor[index] * unit
    noise = np.sqrt(fit.flux_var[index] * wings.misfit[index]) * wider.flux * excess * wings.factor[index] * unit
    noise = np.hypot(noise, np.hypot(relative_error, wings.flux_err[index]) * flux)
    error = np.hypot(noise, misfit.flux[index] * flux)
    own = excess**2 * np.maximum(wings.misfit, misfit.place)[index]
    x, y = fit.x[index], fit.y[index]
    shape = shape_statistics(frame.data, x, y, psf.fwhm_px, frame.state)
    return PsfPhotometry(
        id=np.arange(1, index.size + 1),
        x=x,
        y=y,
        x_var=fit.x_var[index] * own * wider.x**2 + wings.place_err_px[index, 0] ** 2,
        y_var=fit.y_var[index] * own * wider.y**2 + wings.place_err_px[index, 1] ** 2,
        xy_cov=fit.xy_cov[index] * own * wider.x * wider.y,
        flux=flux,
        flux_err=error,
        flux_err_scaled=error * np.sqrt(np.maximum(1.0, np.nan_to_num(fit.chi2_red[index], nan=1.0))),
        snr=flux / noise,
        detection_snr=measured.found.snr[index] / measured.noise_factor,
        chi2_red=fit.chi2_red[index],
        qfit=fit.qfit[index],
        cfit=fit.cfit[index],
        fwhm=psf.fwhm_at(x, y),
        sharpness=shape.sharpness,
        roundness1=shape.roundness1,
        roundness2=shape.roundness2,
        flags=flags[index].astype(np.int32),
        group=fit.group[index],
        psf=psf,
        residual=fit.residual if unit == 1.0 else fit.residual * np.float32(unit),
        summary=replace(summary, verdict=misfit.verdict),
    )


def _flags(frame: FitFrame, psf: PsfModel, measured: MeasuredSources, options: FitOptions) -> NDArray[np.int64]:
    """(n,): flags of every fitted source."""
    fit, found = measured.fit, measured.found
    reach = max(options.smallest_radius_px, round(options.radius_fwhm * psf.major_fwhm_px))
    ny, nx = frame.shape
    conditions = {
        SourceFlag.BLENDED: fit.group > 0,
        SourceFlag.SATURATED: fit.saturated > 0,
        SourceFlag.TRUNCATED: (
            (fit.x < reach - 0.5) | (fit.y < reach - 0.5) | (fit.x > nx - reach - 0.5) | (fit.y > ny - reach - 0.5)
        ),
        SourceFlag.STAMP_INCOMPLETE: fit.missing > 0,
        SourceFlag.NOT_CONVERGED: fit.last_step_px > np.fmax(UNSETTLED_PX, UNSETTLED_SIGMA * np.sqrt(fit.x_var)),
        SourceFlag.SHIFTED: np.hypot(fit.x - found.x, fit.y - found.y) > psf.fwhm_px,
        SourceFlag.NOT_POINT_LIKE: not_point_like(fit) | measured.extended,
        SourceFlag.FOUND_ON_RESIDUAL: measured.from_residual,
        SourceFlag.USED_FOR_PSF: near_any(fit.x, fit.y, psf.star_x, psf.star_y, 0.5 * psf.fwhm_px),
    }
    flags = np.zeros(fit.x.size, dtype=np.int64)
    for flag, where in conditions.items():
        flags |= np.where(where, flag.value, 0)
    return flags
