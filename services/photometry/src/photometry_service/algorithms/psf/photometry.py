"""PSF photometry of a frame from end to end: first look, PSF, detection, fits, residual rounds.

Every step is a function of its own module; here is their order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from photometry_service.algorithms.detection.first_look import FirstLook, first_look
from photometry_service.algorithms.detection.fit_frame import FitFrame, fit_frame, saturated_centre
from photometry_service.algorithms.detection.matched_filter import (
    MatchedFilter,
    detect_sources,
    snr_map,
    start_flux,
)
from photometry_service.algorithms.detection.repeated_places import repeated_places
from photometry_service.algorithms.detection.residuals import (
    find_companions,
    noise_factor,
    residual_snr,
)
from photometry_service.algorithms.detection.surroundings import surroundings
from photometry_service.algorithms.detector import correlated_noise
from photometry_service.algorithms.psf.build import build_psf
from photometry_service.algorithms.psf.extrapolation import extrapolated
from photometry_service.algorithms.psf.fit import PsfFit, fit_psf
from photometry_service.algorithms.psf.groups import near_any
from photometry_service.algorithms.psf.matched_filter import filter_of_psf
from photometry_service.algorithms.psf.merge import collapsed, one_of_each_cluster
from photometry_service.algorithms.psf.model import MARGIN_PX, psf_stamp
from photometry_service.algorithms.psf.options import MeasureOptions, ResidualBackground
from photometry_service.algorithms.psf.results import (
    MeasuredSources,
    as_photometry,
    empty_photometry,
    not_point_like,
)
from photometry_service.algorithms.psf.split import split_pairs
from photometry_service.algorithms.psf.stars import in_halos, select_psf_stars, without_halo_maxima
from photometry_service.algorithms.psf.wings import curve_of_growth, fit_wings, scaled_psf
from photometry_service.domain.noise import NoiseCorrelation
from photometry_service.domain.psf import FloatArray, PsfKind, PsfModel, PsfPhotometry, PsfSummary, Sources

__all__ = ["MeasureOptions", "ResidualBackground", "find_psf_stars", "measure_psf"]

FloatImage = NDArray[np.float32]
PRUNING_ROUNDS = 3
WING_ROUNDS = 1
DEFERRED_ROUNDS = 2
"""Rounds that left candidates for later do not count, up to this number."""
SATURATED_FWHM = 3.0
SMALLEST_RMS_E = 0.5
EDGE_MISFIT = 0.1
"""Relative misfit per pixel that no profile of a star has; 0.02 is that of a poor one."""
NEIGHBOUR_FWHM = 5.0
"""A source that comes or goes can move the fits of sources this near."""


def measure_psf(
    data: FloatImage,
    rms: FloatImage,
    *,
    mask: NDArray[np.bool_] | None = None,
    saturated: NDArray[np.bool_] | None = None,
    shot_noise: float = 1.0,
    gain_is_assumed: bool = False,
    psf: PsfModel | None = None,
    sources: Sources | None = None,
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
    gain_is_assumed
        True leaves the shot noise out when the background's noise is below 0.5 electron: the unit cannot be electrons.
    psf : use this PSF instead of building one
    sources : measure these, found by another detector, instead of searching in the first pass
    remeasure_background : called in crowded frames before each residual round
    options

    Returns
    -------
    PsfPhotometry
        Brightest first. Empty, with ``psf`` as given, when the first look finds no source at five sigma.

    Notes
    -----
    Sources are kept whose fitted S/N exceeds ``threshold - final_margin`` and whose flux is positive. Where the noise of
    the residual, filtered with the PSF, is wider than ``rms`` says (correlated noise), thresholds and errors are raised
    by that factor, ``summary.noise_factor``. Where neighbouring pixels show that the frame was resampled, all begins anew
    with the noise of such a frame: that of fluxes, places and thresholds follows from the correlation. Everything runs on
    one thread in a fixed order: the same input gives the same bits.
    """
    options = options or MeasureOptions()
    frame = fit_frame(data, rms, mask, saturated, shot_noise)
    if gain_is_assumed and frame.typical_rms * frame.unit < SMALLEST_RMS_E:
        frame = replace(frame, shot_noise=0.0)
    look = first_look(frame, options.fwhm_guess_px)
    if len(look.sources) == 0:
        return empty_photometry(np.array(data, dtype=np.float32), psf)
    given = psf is not None
    buffer = np.empty_like(frame.data)
    first = _first_pass(frame, look, psf, sources, options, buffer)
    correlation = _correlation(frame, first)
    if correlation is not None:
        frame = frame.resampled(correlation)
        first = _first_pass(frame, look, psf, sources, options, buffer)
    psf, kernel, measured, snr_left = first.psf, first.kernel, first.measured, first.snr_left
    n_detected, before = first.n_detected, len(measured.found)
    del first
    single = np.zeros((0, 2))
    if sources is None:
        measured, single = _with_pairs(frame, psf, measured, options, single)
    snr_left = snr_left if len(measured.found) == before else None
    crowded = len(measured.found) * options.crowded_area_fwhm2 * psf.fwhm_px**2 > frame.data.size
    remeasure = remeasure_background if crowded else None
    rounds, left = 0, options.residual_rounds if len(measured.found) else 0
    while left > 0 and rounds < options.residual_rounds + DEFERRED_ROUNDS:
        if remeasure is not None:
            frame, measured = _with_new_background(frame, measured, remeasure)
            snr_left = None
        if snr_left is None:
            snr_left = residual_snr(frame, measured.fit.residual, kernel, options=options.residual, buffer=buffer)
        more, deferred = _residual_round(frame, psf, kernel, measured, options, snr_left, remeasure is not None)
        if more is None:
            break
        measured, rounds, snr_left = _merged(frame, psf, more, options), rounds + 1, None
        if sources is None:
            measured, single = _with_pairs(frame, psf, measured, options, single)
        left -= not deferred
    del buffer, snr_left  # the memory of the map
    measured = _merged(frame, psf, measured, options)
    measured = _without_surroundings(frame, psf, kernel, measured, options)
    if sources is None:
        measured = _without_repeated(frame, psf, kernel, measured, options)
    measured = _without_failures(frame, psf, measured, options)
    normalisation, normalisation_err = 1.0, 0.0
    if not given:
        normalisation, normalisation_err = curve_of_growth(frame, psf, measured.fit, options.wings)
        psf = scaled_psf(psf, 1.0 / normalisation)
        measured = replace(measured, fit=measured.fit.scaled(normalisation))
    keep = _holds(psf, measured, options)
    summary = PsfSummary(
        first_fwhm_px=look.fwhm_px,
        n_detected=n_detected,
        n_residual=int(measured.from_residual.sum()),
        n_dropped=measured.dropped + int((~keep).sum()),
        n_repeated=measured.repeated,
        rounds=rounds,
        background_remeasured=remeasure is not None,
        weight_floor=options.fit.weight_floor,
        noise_factor=measured.noise_factor,
        light_outside=1.0 - 1.0 / normalisation,
        normalisation_err=normalisation_err,
        shot_noise=frame.shot_noise * frame.unit,
        correlation=frame.correlation,
    )
    relative = float(np.hypot(options.flat_error, normalisation_err))
    reach = round(options.fit.saturated_radius_fwhm * psf.major_fwhm_px)
    extrapolation = extrapolated(frame, psf, measured.fit, reach, options.fit.weight_floor)
    return as_photometry(frame, psf, measured, keep, options.fit, summary, extrapolation, relative_error=relative)


def find_psf_stars(
    data: FloatImage,
    rms: FloatImage,
    *,
    mask: NDArray[np.bool_] | None = None,
    saturated: NDArray[np.bool_] | None = None,
    options: MeasureOptions | None = None,
) -> tuple[Sources, float]:
    """Stars that would make the PSF, brightest first, and the FWHM in pixels of the first look; for other PSF builders.

    Parameters as those of ``measure_psf``.
    """
    options = options or MeasureOptions()
    frame = fit_frame(data, rms, mask, saturated)
    look = first_look(frame, options.fwhm_guess_px)
    stars = look.sources.take(select_psf_stars(frame, look, options.selection))
    return _in_unit(stars, 1.0 / frame.unit), look.fwhm_px


@dataclass(frozen=True, eq=False)
class _FirstPass:
    """What the first detection found and its fit; ``snr_left`` is the S/N map of the residual, if it still holds."""

    psf: PsfModel
    kernel: MatchedFilter
    measured: MeasuredSources
    snr_left: FloatImage | None
    n_detected: int


def _first_pass(
    frame: FitFrame, look: FirstLook, psf: PsfModel | None, sources: Sources | None, options: MeasureOptions,
    buffer: FloatImage,
) -> _FirstPass:  # fmt: skip
    """PSF, detection and a first fit, with which the noise and the wings of the PSF are found."""
    given = psf is not None
    psf = psf or _psf_from(frame, look, options)
    kernel = filter_of_psf(psf)
    found = _in_unit(sources, frame.unit) if sources is not None else _detect(frame, kernel, options, buffer)
    start = np.fmax(found.flux, _start_flux(frame, psf, kernel, found))
    found = replace(found, flux=start)
    if not given and sources is None:
        found = without_halo_maxima(found, psf.fwhm_px, frame.shape, always=psf.kind is PsfKind.MOFFAT_TABLE)
    fit = fit_psf(frame, psf, found.x, found.y, found.flux, options.fit)
    none = np.zeros(len(found), dtype=bool)
    measured = _merged(frame, psf, MeasuredSources(fit, found, from_residual=none, extended=none), options)
    fit = measured.fit
    for _ in range(WING_ROUNDS if not given else 0):
        wings = fit_wings(frame, psf, fit, options.wings)
        psf = wings.psf
        if not wings.changed:
            fit = fit.scaled(1.0 + wings.outside)
            break
        fit = _refit(frame, psf, Sources(fit.x, fit.y, fit.flux, fit.snr), options, fit.residual, None)
    kernel = filter_of_psf(psf)
    measured = replace(measured, fit=fit)
    measured, snr_left = _with_noise_factor(frame, psf, kernel, measured, options, buffer, prune=sources is None)
    return _FirstPass(psf, kernel, measured, snr_left, len(found))


def _correlation(frame: FitFrame, first: _FirstPass) -> NoiseCorrelation | None:
    """Correlation of the noise, where the residual is noisier than its pixels."""
    if first.measured.noise_factor == 1.0:
        return None
    residual = first.measured.fit.residual
    return correlated_noise(residual, frame.data - residual, frame.rms, frame.state == 0, first.kernel.kernel)


def _detect(frame: FitFrame, kernel: MatchedFilter, options: MeasureOptions, buffer: FloatImage) -> Sources:
    """Sources of the first pass."""
    snr = snr_map(frame.data, frame.rms, kernel, frame.bad, out=buffer)
    threshold = options.threshold * frame.noise_width(kernel.kernel)
    return detect_sources(frame.data, snr, kernel, frame.bad, threshold, frame.saturated)


def _start_flux(frame: FitFrame, psf: PsfModel, kernel: MatchedFilter, found: Sources) -> NDArray[np.float64]:
    """(n,): filter fluxes; for a saturated centre that of the wings, because nothing else is left."""
    flux = start_flux(frame.data, frame.state, kernel, found.x, found.y)
    top = saturated_centre(frame, found.x, found.y)
    if top.any():
        half = int(np.clip(round(SATURATED_FWHM * psf.major_fwhm_px), 2, psf.half_px - MARGIN_PX))
        wide = replace(kernel, kernel=psf_stamp(psf, half).astype(np.float32))
        flux[top] = np.fmax(flux[top], start_flux(frame.data, frame.state, wide, found.x[top], found.y[top]))
    return flux


def _in_unit(sources: Sources, unit: float) -> Sources:
    """The same sources with fluxes in multiples of ``unit``."""
    return replace(sources, flux=sources.flux / unit)


def _psf_from(frame: FitFrame, look: FirstLook, options: MeasureOptions) -> PsfModel:
    """Choose stars and build the PSF."""
    stars = look.sources.take(select_psf_stars(frame, look, options.selection))
    return build_psf(frame, stars.x, stars.y, stars.flux, look.shape(), options.build)


def _with_new_background(
    frame: FitFrame, measured: MeasuredSources, remeasure: ResidualBackground
) -> tuple[FitFrame, MeasuredSources]:
    """Take the background of the star-subtracted frame off frame and residual: the first mesh held stars' light."""
    unit = np.float32(frame.unit)
    level, rms = remeasure(measured.fit.residual * unit, frame.state != 0)
    level, rms = level / unit, np.where(rms > 0, rms / unit, frame.rms)
    fit = replace(measured.fit, residual=measured.fit.residual - level)
    return replace(frame.without(level), rms=np.ascontiguousarray(rms, dtype=np.float32)), replace(measured, fit=fit)


def _with_noise_factor(
    frame: FitFrame, psf: PsfModel, kernel: MatchedFilter, measured: MeasuredSources, options: MeasureOptions,
    buffer: FloatImage, *, prune: bool,
) -> tuple[MeasuredSources, FloatImage | None]:  # fmt: skip
    """Find out how noisy the residual really is; with ``prune`` detections that do not stand out of that are dropped.

    Also the S/N map of the residual, unless sources were dropped.
    """
    snr = residual_snr(frame, measured.fit.residual, kernel, options=options.residual, buffer=buffer)
    expected = frame.noise_width(kernel.kernel)
    factor = noise_factor(snr, kernel, expected)
    measured = replace(measured, noise_factor=factor, noise_excess=factor / expected)
    if factor == expected or not prune:
        return measured, snr
    return _kept(frame, psf, measured, measured.found.snr > options.threshold * factor, options), None


def _residual_round(
    frame: FitFrame, psf: PsfModel, kernel: MatchedFilter, measured: MeasuredSources, options: MeasureOptions,
    snr: FloatImage, all_anew: bool,
) -> tuple[MeasuredSources | None, bool]:  # fmt: skip
    """Add what the S/N map of the residual image shows and fit all again; None when it shows nothing.

    Also whether candidates were left for later, because a brighter one may explain them.
    """
    fit, old = measured.fit, measured.found
    new = find_companions(
        frame, fit.residual, psf, kernel, Sources(fit.x, fit.y, fit.flux, fit.snr),
        options.residual_threshold * measured.noise_factor, snr=snr, options=options.residual,
    )  # fmt: skip
    if len(new) == 0:
        return None, False
    doubtful = in_halos(new, psf.fwhm_px)[0]
    new = new.take(~doubtful)
    fitted = Sources(fit.x, fit.y, fit.flux, fit.snr)
    active = None if all_anew else _concerned(fit, fitted, new, psf, options)
    refit = _refit(frame, psf, _joined(fitted, new), options, fit.residual, active)
    added = np.concatenate([measured.from_residual, np.ones(len(new), dtype=bool)])
    return replace(
        measured, fit=refit, found=_joined(old, new), from_residual=added, extended=np.zeros(added.size, dtype=bool)
    ), bool(doubtful.any())


def _with_pairs(
    frame: FitFrame, psf: PsfModel, measured: MeasuredSources, options: MeasureOptions, single: FloatArray
) -> tuple[MeasuredSources, FloatArray]:
    """Sources that are two stars replaced by both, and all concerned fitted again; and the places, (k, 2), of those that
    were tried, now and before (``single``), and are not two."""
    fit = measured.fit
    threshold = options.threshold * measured.noise_factor
    pairs = split_pairs(frame, psf, fit, options.fit, threshold, options.split, single=single)
    if pairs.row.size == 0:
        return measured, pairs.single
    flux, x, y = fit.flux.copy(), fit.x.copy(), fit.y.copy()
    flux[pairs.row], x[pairs.row], y[pairs.row] = pairs.one.T
    detected = measured.found.snr[pairs.row]
    new = Sources(pairs.other[:, 1], pairs.other[:, 2], pairs.other[:, 0], detected)
    moved = Sources(x, y, flux, fit.snr)
    found = measured.found
    at_x, at_y = found.x.copy(), found.y.copy()
    at_x[pairs.row], at_y[pairs.row] = pairs.one[:, 1], pairs.one[:, 2]
    added = np.concatenate([measured.from_residual, np.ones(pairs.row.size, dtype=bool)])
    both = replace(
        measured,
        fit=_refit(frame, psf, _joined(moved, new), options, fit.residual, _concerned(fit, moved, new, psf, options)),
        found=_joined(replace(found, x=at_x, y=at_y), new),
        from_residual=added,
        extended=np.zeros(added.size, dtype=bool),
    )
    return both, pairs.single


def _joined(one: Sources, other: Sources) -> Sources:
    """Both lists, one after the other."""
    return Sources(
        np.concatenate([one.x, other.x]),
        np.concatenate([one.y, other.y]),
        np.concatenate([one.flux, other.flux]),
        np.concatenate([one.snr, other.snr]),
    )


def _concerned(fit: PsfFit, fitted: Sources, new: Sources, psf: PsfModel, options: MeasureOptions) -> NDArray[np.bool_]:
    """Which of the fitted and the new sources a new fit can move: those not at rest, the new ones, and their neighbours."""
    near = near_any(fitted.x, fitted.y, new.x, new.y, NEIGHBOUR_FWHM * psf.major_fwhm_px)
    return np.concatenate([near | (fit.last_step_px >= options.fit.tolerance_px), np.ones(len(new), dtype=bool)])


def _refit(
    frame: FitFrame, psf: PsfModel, stars: Sources, options: MeasureOptions, buffer: FloatImage,
    active: NDArray[np.bool_] | None,
) -> PsfFit:  # fmt: skip
    """Fit stars again that were fitted before: fewer sweeps will do. ``buffer`` is the last residual, no longer needed."""
    fewer = replace(options.fit, sweeps=max(1, options.fit.sweeps - 2), full_sweeps=1)
    return fit_psf(frame, psf, stars.x, stars.y, stars.flux, fewer, active=active, buffer=buffer)


def _holds(psf: PsfModel, measured: MeasuredSources, options: MeasureOptions) -> NDArray[np.bool_]:
    """(n,): sources whose fit confirms them; what was found in the halo of a star must look like a star itself."""
    fit = measured.fit
    keep = (fit.snr > (options.threshold - options.final_margin) * measured.noise_factor) & (fit.flux > 0)
    if not options.cosmic_rays_masked:
        keep &= ~not_point_like(fit)
    doubtful = measured.from_residual & not_point_like(fit)
    if doubtful.any():
        keep &= ~(doubtful & in_halos(Sources(fit.x, fit.y, fit.flux, fit.snr), psf.fwhm_px)[0])
    return keep


def _without_surroundings(
    frame: FitFrame, psf: PsfModel, kernel: MatchedFilter, measured: MeasuredSources, options: MeasureOptions
) -> MeasuredSources:
    """Mark sources that are part of something larger, and drop those that are not even its peak; their light then shows
    the next ones up."""
    for _ in range(PRUNING_ROUNDS):
        fit = measured.fit
        seen = surroundings(frame, fit.residual, psf, kernel, fit.x, fit.y, fit.flux)
        measured = replace(measured, extended=seen.extended)
        gone = seen.no_peak | _drifted_to_edge(frame, kernel, fit)
        if not gone.any():
            break
        measured = _kept(frame, psf, measured, ~gone, options)
    return measured


def _without_repeated(
    frame: FitFrame, psf: PsfModel, kernel: MatchedFilter, measured: MeasuredSources, options: MeasureOptions
) -> MeasuredSources:
    """Drop sources that stand at the same place beside several bright stars: parts of these.

    More than once, because those that are left make a field look less crowded.
    """
    for _ in range(PRUNING_ROUNDS):
        fit = measured.fit
        now = Sources(fit.x, fit.y, fit.flux, fit.snr)
        gone = repeated_places(frame, fit.residual, psf, kernel, now, options.repeats)
        if not gone.any():
            break
        repeated = measured.repeated + int(gone.sum())
        measured = replace(_kept(frame, psf, measured, ~gone, options), repeated=repeated)
    return measured


def _drifted_to_edge(frame: FitFrame, kernel: MatchedFilter, fit: PsfFit) -> NDArray[np.bool_]:
    """(n,): sources that the fit moved nearer to an edge than is searched, far from the shape of a star."""
    edge = np.minimum.reduce([fit.x, fit.y, frame.shape[1] - 1 - fit.x, frame.shape[0] - 1 - fit.y])
    return np.asarray((edge < kernel.half_px) & (fit.chi2_red > 2 + (EDGE_MISFIT * fit.snr) ** 2))


def _without_failures(
    frame: FitFrame, psf: PsfModel, measured: MeasuredSources, options: MeasureOptions
) -> MeasuredSources:
    """Drop sources that their fit does not confirm, and fit the others without them, until all hold.

    Of sources that share one light the weakest goes first: without it the next may hold.
    """
    for _ in range(PRUNING_ROUNDS):
        failed = ~_holds(psf, measured, options)
        if not failed.any():
            break
        gone = one_of_each_cluster(measured.fit, failed, measured.found.snr, psf.fwhm_px)
        measured = _kept(frame, psf, measured, ~gone, options)
    return measured


def _merged(frame: FitFrame, psf: PsfModel, measured: MeasuredSources, options: MeasureOptions) -> MeasuredSources:
    """Drop models that a fit has put on other ones, until no two are on one star."""
    smallest = (options.threshold - options.final_margin) * measured.noise_factor
    for _ in range(PRUNING_ROUNDS):
        gone = collapsed(measured.fit, measured.found.snr, psf.fwhm_px, smallest)
        if not gone.any():
            break
        measured = _kept(frame, psf, measured, ~gone, options)
    return measured


def _kept(
    frame: FitFrame, psf: PsfModel, measured: MeasuredSources, keep: NDArray[np.bool_], options: MeasureOptions
) -> MeasuredSources:
    """Some of the sources, fitted again without the others."""
    fit = measured.fit
    gone = near_any(fit.x, fit.y, fit.x[~keep], fit.y[~keep], NEIGHBOUR_FWHM * psf.major_fwhm_px)
    active = (gone | (fit.last_step_px >= options.fit.tolerance_px))[keep]
    return replace(
        measured,
        fit=_refit(frame, psf, Sources(fit.x, fit.y, fit.flux, fit.snr).take(keep), options, fit.residual, active),
        found=measured.found.take(keep),
        from_residual=measured.from_residual[keep],
        extended=measured.extended[keep],
        dropped=measured.dropped + int((~keep).sum()),
    )
