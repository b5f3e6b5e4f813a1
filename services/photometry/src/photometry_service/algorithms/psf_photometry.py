"""PSF photometry of a frame from end to end: first look, PSF, detection, fits, residual rounds.

Every step is a function of its own module; here is their order.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from photometry_service.algorithms.detection import (
    MatchedFilter,
    detect_sources,
    filter_of_psf,
    snr_map,
    start_flux,
)
from photometry_service.algorithms.first_look import FIRST_FWHM_PX, FirstLook, first_look
from photometry_service.algorithms.fit_frame import FitFrame, fit_frame
from photometry_service.algorithms.psf_build import PsfBuildOptions, build_psf
from photometry_service.algorithms.psf_fit import FitOptions, PsfFit, fit_psf
from photometry_service.algorithms.psf_stars import StarSelection, select_psf_stars
from photometry_service.algorithms.residual_detection import ResidualDetectionOptions, find_companions
from photometry_service.algorithms.shape_statistics import shape_statistics
from photometry_service.domain.flags import SourceFlag
from photometry_service.domain.psf import FloatArray, PsfModel, PsfPhotometry, PsfSummary, Sources

__all__ = ["MeasureOptions", "ResidualBackground", "empty_photometry", "measure_psf"]

FloatImage = NDArray[np.float32]
UNSETTLED_PX, UNSETTLED_SIGMA = 0.03, 0.3
"""A fit whose last step exceeds both, in pixels and in errors of x, did not converge."""
PRUNING_ROUNDS = 3


class ResidualBackground(Protocol):
    """Measures a background again: (residual, mask) -> (level, rms), each (ny, nx), all in the unit of the frame."""

    def __call__(self, residual: FloatImage, mask: NDArray[np.bool_], /) -> tuple[FloatImage, FloatImage]: ...


@dataclass(frozen=True)
class MeasureOptions:
    """Parameters of the chain.

    Attributes
    ----------
    threshold, residual_threshold : S/N of a detection, in the first pass and on the residual image
    residual_rounds : rounds of detection on the residual image, each followed by a fit of all stars
    crowded_area_fwhm2 : area per star, in FWHM^2, below which the background is measured again on the residual
    imperfect_floor : weight floor when the PSF needed a strong residual table (prior 1 or more)
    final_margin : sources whose fitted S/N is this much below the threshold are dropped
    fwhm_guess_px : width of the first kernel, when there is no PSF yet
    cosmic_rays_masked : False drops sources whose chi2 says that they are not stars, instead of flagging them
    """

    threshold: float = 4.7
    residual_threshold: float = 4.8
    residual_rounds: int = 2
    crowded_area_fwhm2: float = 100.0
    imperfect_floor: float = 0.01
    final_margin: float = 1.0
    fwhm_guess_px: float = FIRST_FWHM_PX
    cosmic_rays_masked: bool = True
    selection: StarSelection = field(default_factory=StarSelection)
    build: PsfBuildOptions = field(default_factory=PsfBuildOptions)
    fit: FitOptions = field(default_factory=FitOptions)
    residual: ResidualDetectionOptions = field(default_factory=ResidualDetectionOptions)


@dataclass(frozen=True, eq=False)
class _Measured:
    """Fit of all sources with what is known of each from its detection; how many were dropped on the way."""

    fit: PsfFit
    found: Sources
    from_residual: NDArray[np.bool_]
    dropped: int = 0


def measure_psf(
    data: FloatImage,
    rms: FloatImage,
    *,
    mask: NDArray[np.bool_] | None = None,
    saturated: NDArray[np.bool_] | None = None,
    shot_noise: float = 1.0,
    psf: PsfModel | None = None,
    remeasure_background: ResidualBackground | None = None,
    options: MeasureOptions | None = None,
) -> PsfPhotometry:
    """Detect and measure all point sources of a frame.

    Parameters
    ----------
    data : (ny, nx), electrons, background subtracted; not finite = masked
    rms : (ny, nx), electrons, one sigma per pixel without the sources; not positive = masked
    mask : (ny, nx), True = not to be used (bad pixels, cosmic rays)
    saturated : (ny, nx), True = at or above saturation
    shot_noise : electron^2 per electron
        1 for a frame in electrons. A frame in other units has 1 / (electrons per unit); 0 when that is unknown.
    psf : use this PSF instead of building one
    remeasure_background : called in crowded frames before each residual round
    options

    Returns
    -------
    PsfPhotometry
        Brightest first. Empty, with ``psf`` as given, when the first look finds no source at five sigma.

    Notes
    -----
    Sources are kept whose fitted S/N exceeds ``threshold - final_margin`` and whose flux is positive. Everything runs
    on one thread in a fixed order: the same input gives the same bits.
    """
    options = options or MeasureOptions()
    frame = fit_frame(data, rms, mask, saturated, shot_noise)
    look = first_look(frame, options.fwhm_guess_px)
    if len(look.sources) == 0:
        return empty_photometry(np.array(data, dtype=np.float32), psf)
    psf = psf or _psf_from(frame, look, options)
    kernel = filter_of_psf(psf)
    floor = options.imperfect_floor if psf.quality.table_prior >= 1 else options.fit.weight_floor
    options = replace(options, fit=replace(options.fit, weight_floor=max(floor, options.fit.weight_floor)))
    buffer = np.empty_like(frame.data)
    snr = snr_map(frame.data, frame.rms, kernel, frame.bad, out=buffer)
    found = detect_sources(frame.data, snr, kernel, frame.bad, options.threshold, frame.saturated)
    start = np.fmax(found.flux, start_flux(frame.data, frame.state, kernel, found.x, found.y))
    fit = fit_psf(frame, psf, found.x, found.y, start, options.fit)
    measured = _Measured(fit, found, np.zeros(len(found), dtype=bool))
    crowded = len(found) * options.crowded_area_fwhm2 * psf.fwhm_px**2 > frame.data.size
    remeasure = remeasure_background if crowded else None
    rounds = 0
    for _ in range(options.residual_rounds if len(found) else 0):
        if remeasure is not None:
            frame, measured = _with_new_background(frame, measured, remeasure)
        more = _residual_round(frame, psf, kernel, measured, options, buffer)
        if more is None:
            break
        measured, rounds = more, rounds + 1
    measured = _without_failures(frame, psf, measured, options)
    summary = PsfSummary(
        first_fwhm_px=look.fwhm_px,
        n_detected=len(found),
        n_residual=int(measured.from_residual.sum()),
        rounds=rounds,
        background_remeasured=remeasure is not None,
        weight_floor=options.fit.weight_floor,
    )
    return _finished(frame, psf, measured, options, summary)


def empty_photometry(residual: FloatImage, psf: PsfModel | None = None) -> PsfPhotometry:
    """No sources."""
    none, count = np.empty(0), np.empty(0, dtype=np.int64)
    return PsfPhotometry(
        id=count, x=none, y=none, x_var=none, y_var=none, xy_cov=none, flux=none, flux_err=none, flux_err_scaled=none,
        snr=none, detection_snr=none, chi2_red=none, qfit=none, cfit=none, fwhm=none, sharpness=none, roundness1=none,
        roundness2=none, flags=np.empty(0, dtype=np.int32), group=count, psf=psf, residual=residual,
    )  # fmt: skip


def _psf_from(frame: FitFrame, look: FirstLook, options: MeasureOptions) -> PsfModel:
    """Choose stars and build the PSF."""
    stars = look.sources.take(select_psf_stars(frame, look, options.selection))
    return build_psf(frame, stars.x, stars.y, stars.flux, look.shape(), options.build)


def _with_new_background(
    frame: FitFrame, measured: _Measured, remeasure: ResidualBackground
) -> tuple[FitFrame, _Measured]:
    """Take the background of the star-subtracted frame off frame and residual: the first mesh held stars' light."""
    unit = np.float32(frame.unit)
    level, rms = remeasure(measured.fit.residual * unit, frame.state != 0)
    level, rms = level / unit, np.where(rms > 0, rms / unit, frame.rms)
    fit = replace(measured.fit, residual=measured.fit.residual - level)
    return replace(frame.without(level), rms=np.ascontiguousarray(rms, dtype=np.float32)), replace(measured, fit=fit)


def _residual_round(
    frame: FitFrame, psf: PsfModel, kernel: MatchedFilter, measured: _Measured, options: MeasureOptions,
    buffer: FloatImage,
) -> _Measured | None:  # fmt: skip
    """Add what the residual image shows and fit all again; None when it shows nothing."""
    fit, old = measured.fit, measured.found
    new = find_companions(
        frame, fit.residual, psf, kernel, Sources(fit.x, fit.y, fit.flux, fit.snr),
        options.residual_threshold, options=options.residual, buffer=buffer,
    )  # fmt: skip
    if len(new) == 0:
        return None
    x, y, flux = (np.concatenate(pair) for pair in ((fit.x, new.x), (fit.y, new.y), (fit.flux, new.flux)))
    found = Sources(
        np.concatenate([old.x, new.x]), np.concatenate([old.y, new.y]),
        np.concatenate([old.flux, new.flux]), np.concatenate([old.snr, new.snr]),
    )  # fmt: skip
    added = np.concatenate([measured.from_residual, np.ones(len(new), dtype=bool)])
    return replace(measured, fit=_refit(frame, psf, x, y, flux, options), found=found, from_residual=added)


def _refit(
    frame: FitFrame, psf: PsfModel, x: FloatArray, y: FloatArray, flux: FloatArray, options: MeasureOptions
) -> PsfFit:
    """Fit stars again that were fitted before: fewer sweeps will do."""
    fewer = replace(options.fit, sweeps=max(1, options.fit.sweeps - 2), full_sweeps=1)
    return fit_psf(frame, psf, x, y, flux, fewer)


def _holds(fit: PsfFit, options: MeasureOptions) -> NDArray[np.bool_]:
    """(n,): sources whose fit confirms them."""
    keep = (fit.snr > options.threshold - options.final_margin) & (fit.flux > 0)
    if not options.cosmic_rays_masked:
        keep &= ~_not_point_like(fit)
    return keep


def _not_point_like(fit: PsfFit) -> NDArray[np.bool_]:
    """(n,): chi2 beyond what noise and an imperfect PSF explain."""
    return np.asarray(fit.chi2_red > 2 + (0.02 * np.minimum(fit.snr, 1e4)) ** 2)


def _without_failures(frame: FitFrame, psf: PsfModel, measured: _Measured, options: MeasureOptions) -> _Measured:
    """Drop sources that their fit does not confirm, and fit the others without them, until all hold."""
    for _ in range(PRUNING_ROUNDS):
        fit = measured.fit
        keep = _holds(fit, options)
        if keep.all() or not keep.any():
            break
        measured = _Measured(
            fit=_refit(frame, psf, fit.x[keep], fit.y[keep], fit.flux[keep], options),
            found=measured.found.take(keep),
            from_residual=measured.from_residual[keep],
            dropped=measured.dropped + int((~keep).sum()),
        )
    return measured


def _finished(
    frame: FitFrame, psf: PsfModel, measured: _Measured, options: MeasureOptions, summary: PsfSummary
) -> PsfPhotometry:
    """Drop what did not hold, sort, flag and convert to the unit of the input."""
    fit = measured.fit
    keep = _holds(fit, options)
    index = np.flatnonzero(keep)
    index = index[np.lexsort((fit.x[index], fit.y[index], -fit.flux[index]))]
    flags = _flags(frame, psf, measured, options.fit)
    unit = frame.unit
    error = np.sqrt(fit.flux_var[index]) * unit
    x, y = fit.x[index], fit.y[index]
    shape = shape_statistics(frame.data, x, y, psf.fwhm_px, frame.state)
    return PsfPhotometry(
        id=np.arange(1, index.size + 1),
        x=x,
        y=y,
        x_var=fit.x_var[index],
        y_var=fit.y_var[index],
        xy_cov=fit.xy_cov[index],
        flux=fit.flux[index] * unit,
        flux_err=error,
        flux_err_scaled=error * np.sqrt(np.maximum(1.0, np.nan_to_num(fit.chi2_red[index], nan=1.0))),
        snr=fit.snr[index],
        detection_snr=measured.found.snr[index],
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
        summary=replace(summary, n_dropped=measured.dropped + int(keep.size - index.size)),
    )


def _flags(frame: FitFrame, psf: PsfModel, measured: _Measured, options: FitOptions) -> NDArray[np.int64]:
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
        SourceFlag.NOT_POINT_LIKE: _not_point_like(fit),
        SourceFlag.FOUND_ON_RESIDUAL: measured.from_residual,
        SourceFlag.USED_FOR_PSF: _near(fit.x, fit.y, psf.star_x, psf.star_y, 0.5 * psf.fwhm_px),
    }
    flags = np.zeros(fit.x.size, dtype=np.int64)
    for flag, where in conditions.items():
        flags |= np.where(where, flag.value, 0)
    return flags


def _near(x: FloatArray, y: FloatArray, star_x: FloatArray, star_y: FloatArray, radius: float) -> NDArray[np.bool_]:
    """Whether a position has one of the stars within a radius."""
    near = np.zeros(x.size, dtype=bool)
    usable = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if star_x.size and usable.size:
        tree = cKDTree(np.stack([star_x, star_y], axis=1))
        near[usable] = tree.query(np.stack([x[usable], y[usable]], axis=1))[0] < radius
    return near
