"""A frame in, a source table out: cosmic rays, background, PSF photometry, apertures, in this order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_shared.contracts.photometry import FrameSummary, MeasureRequest, MeasureResult
from photometry_service.algorithms.apertures import (
    ApertureOptions,
    OwnModels,
    aperture_photometry,
    neighbour_share,
    pixel_state,
)
from photometry_service.algorithms.background import Background, BackgroundOptions, estimate_background
from photometry_service.algorithms.fwhm import MarginalFwhm, marginal_fwhm
from photometry_service.algorithms.psf import measure_psf, psf_values
from photometry_service.domain.flags import SourceFlag
from photometry_service.domain.frame import Frame, NoiseModel
from photometry_service.domain.psf import PsfModel, PsfPhotometry
from photometry_service.errors import NoStarsError, TooManySourcesError
from photometry_service.workflows.assemble_sources import CALIBRATED_APERTURE, assemble, core_peak
from photometry_service.workflows.chosen_engines import by_choice, is_default
from photometry_service.workflows.clean_frame import CleanFrame, clean_frame
from photometry_service.workflows.estimate_completeness import estimate_completeness
from photometry_service.workflows.judge_measurement import judge_measurement
from photometry_service.workflows.measure_options import psf_options
from photometry_service.workflows.prepare_frame import PreparedFrame
from photometry_service.workflows.subtract_sky import SkySubtracted, subtract_sky

Progress = Callable[[float, str], None]

WIDTH_STARS = 1000
SATURATED_SHARE_TOLD = 0.02


@dataclass(frozen=True, eq=False)
class Measurement:
    """Everything that ``measure`` found; the caller writes files and plots from it."""

    clean: CleanFrame
    summary: FrameSummary
    background: Background
    psf: PsfModel | None
    residual: NDArray[np.float32]
    marginal: MarginalFwhm
    columns: dict[str, NDArray[Any]]
    result: MeasureResult


class MeasureSources:
    def __call__(self, prepared: PreparedFrame, request: MeasureRequest, progress: Progress) -> Measurement:
        """
        Raises
        ------
        NoStarsError
            No source stands out of the noise; the message has the figures.
        TooManySourcesError
            More than ``detection.max_sources``.
        """
        clock = _Clock()
        progress(0.10, "cosmic rays")
        with clock("cosmic_rays"):
            clean = clean_frame(prepared.frame, request.cosmic_rays)
        progress(0.25, "background")
        with clock("background"):
            sky = subtract_sky(clean, request.background)
        progress(0.35, "sources")
        with clock("psf_photometry"):
            psf = _measure_psf(sky, sky.data, request)
            if sky.background.floor is not None and len(psf):
                sky = sky.knowing(np.maximum(np.nan_to_num(sky.data - psf.residual), 0))
                psf = _measure_psf(sky, sky.data, request)
        _check_count(psf, sky, prepared.no_sky, request)
        progress(0.75, "apertures")
        with clock("apertures"):
            marginal = _marginal(psf, sky.data, sky.frame)
            columns = _apertures(psf, sky, marginal, request)
        with clock("quality"):
            result = judge_measurement(prepared, request, sky, psf, marginal, columns)
        if request.products.completeness and psf.psf is not None and result.noise_flux_e is not None:
            progress(0.8, "completeness")
            with clock("completeness"):
                report = estimate_completeness(
                    sky.data, psf, result.noise_flux_e, lambda pixels: _measure_psf(sky, pixels, request)
                )
            result = result.model_copy(update={"completeness": report})
        result = result.model_copy(update={"seconds": clock.seconds, "cpu_seconds": clock.cpu_seconds})
        return Measurement(clean, result.frame, sky.background, psf.psf, psf.residual, marginal, columns, result)


class _Clock:
    """Wall and processor seconds per step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.cpu_seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        begin, cpu = time.perf_counter(), time.process_time()
        yield
        self.seconds[step] = round(time.perf_counter() - begin, 4)
        self.cpu_seconds[step] = round(time.process_time() - cpu, 4)


def _measure_psf(sky: SkySubtracted, data: NDArray[np.float32], request: MeasureRequest) -> PsfPhotometry:
    """Measure ``data``: those of ``sky``, or the same with stars added."""
    frame, background, saturated = sky.frame, sky.background, sky.saturated
    mask = frame.mask

    def remeasure(
        residual: NDArray[np.float32], bad: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        again = estimate_background(residual, bad, BackgroundOptions(box_px=background.box_px, mask_sources=False))
        return again.level_map(), again.rms_map()

    options = psf_options(request, sky.clean.only_stars)
    if background.floor is not None:
        options = replace(options, wings=replace(options.wings, means=True))
    rms = sky.rms_map()
    measured = measure_psf(
        data,
        rms,
        mask=mask,
        saturated=saturated,
        gain_is_assumed=frame.noise_model is NoiseModel.ASSUMED,
        remeasure_background=remeasure if background.floor is None else None,
        options=options,
    )
    return (
        measured
        if is_default(request) or measured.psf is None
        else by_choice(data, rms, measured, mask, saturated, request, options)
    )


def _check_count(psf: PsfPhotometry, sky: SkySubtracted, no_sky: str | None, request: MeasureRequest) -> None:
    if len(psf) == 0:
        background, full = sky.background, float(np.mean(sky.saturated))
        told = f" This is {no_sky}." if no_sky else ""
        told += f" {100 * full:.0f} % of the pixels are saturated." if full > SATURATED_SHARE_TOLD else ""
        raise NoStarsError(
            f"No star stands out: nothing above S/N {request.detection.detect_snr:g} over a sky of "
            f"{background.median:.4g} e with a noise of {background.rms_median:.3g} e per pixel.{told}",
            background_e=background.median,
            rms_e=background.rms_median,
        )
    if len(psf) > request.detection.max_sources:
        raise TooManySourcesError(
            f"{len(psf)} sources were found, at most {request.detection.max_sources} are allowed "
            "(detection.max_sources); a higher detection.detect_snr finds fewer.",
            found=len(psf),
        )


def _marginal(psf: PsfPhotometry, data: NDArray[np.float32], frame: Frame) -> MarginalFwhm:
    """Widths by marginal sums of clean stars; of all stars when hardly any is clean."""
    bad = SourceFlag.SATURATED | SourceFlag.TRUNCATED | SourceFlag.BLENDED | SourceFlag.NOT_POINT_LIKE
    clean = np.flatnonzero(((psf.flags & int(bad)) == 0) & (psf.snr > 30))
    chosen = clean if len(clean) >= 5 else np.arange(len(psf))
    chosen = chosen[:WIDTH_STARS]
    return marginal_fwhm(data, frame.mask, psf.x[chosen], psf.y[chosen])


def _apertures(
    psf: PsfPhotometry, sky: SkySubtracted, marginal: MarginalFwhm, request: MeasureRequest
) -> dict[str, NDArray[Any]]:
    fwhm = psf.psf.fwhm_px if psf.psf is not None else marginal.fwhm_px
    settings = request.aperture
    options = ApertureOptions(
        radii_fwhm=settings.radii_fwhm,
        annulus_fwhm=settings.annulus_fwhm if sky.background.floor is None else None,
        flat_error=request.psf_photometry.flat_error,
    )
    rays = sky.clean.rays
    state = pixel_state(sky.frame.mask, cosmic_rays=rays.mask if rays else None, saturated=sky.saturated)
    own = None
    pixels = sky.data
    if settings.subtract_neighbours and psf.psf is not None:
        # the star's own light is needed in its apertures; in the annulus it is better left subtracted
        reach = min(psf.psf.half_px - 3, int(np.ceil(max(settings.radii_fwhm) * fwhm)) + 1)
        stamps = psf_values(psf.psf, psf.x, psf.y, reach)
        corner = np.floor(np.stack([psf.x, psf.y]) + 0.5).astype(np.int32) - reach
        own = OwnModels(stamps * psf.flux[:, None, None].astype(np.float32), corner[0], corner[1])
        pixels = psf.residual
    sums = aperture_photometry(
        pixels, sky.noise, psf.x, psf.y, fwhm_px=fwhm, state=state, options=options, own_models=own,
        correlation=psf.summary.correlation,
    )  # fmt: skip
    radius = settings.radii_fwhm[CALIBRATED_APERTURE - 1] * fwhm
    share = neighbour_share(psf.x, psf.y, psf.flux, radius_px=radius, fwhm_px=fwhm)
    peak = core_peak(sky.data, psf.x, psf.y)
    return assemble(psf, sums, peak, share, exposure_s=sky.frame.exposure_s or 1.0)
