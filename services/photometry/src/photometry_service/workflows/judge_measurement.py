"""What a measurement says of its frame, and whether it can be trusted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_shared.contracts.photometry import MeasureRequest, MeasureResult
from astro_shared.frame_warnings import FrameWarning, WarningCode
from photometry_service.algorithms.background import Background
from photometry_service.algorithms.detector import assess_noise, resampled_words
from photometry_service.algorithms.fwhm import MarginalFwhm
from photometry_service.algorithms.psf import psf_stamp, repeated_words, verdict_words
from photometry_service.algorithms.quality import (
    core_residual,
    curve_of_growth,
    dark_objects,
    median_chi2,
    position_error_over_bound,
    shape_warnings,
    unflattened_words,
)
from photometry_service.domain.flags import SourceFlag
from photometry_service.domain.psf import PsfModel, PsfPhotometry
from photometry_service.workflows.assemble_sources import CALIBRATED_APERTURE, ApertureTie, tie_aperture
from photometry_service.workflows.prepare_frame import PreparedFrame
from photometry_service.workflows.subtract_sky import SkySubtracted


def judge_measurement(
    prepared: PreparedFrame, request: MeasureRequest, sky: SkySubtracted, psf: PsfPhotometry, marginal: MarginalFwhm,
    columns: dict[str, NDArray[Any]],
) -> MeasureResult:  # fmt: skip
    """Figures and warnings of a frame whose sources are ``columns``; times and completeness are left to the caller."""
    background, rays, model = sky.background, sky.clean.rays, psf.psf
    rms = sky.noise.rms_median
    correlation = psf.summary.correlation
    noise = assess_noise(background, sky.frame, correlation.total if correlation else 1.0)
    tie = tie_aperture(columns, CALIBRATED_APERTURE)
    no_sky = prepared.no_sky or dark_objects(sky.data, sky.frame.mask, rms=rms, level=background.median)
    warnings = [*sky.frame.warnings, *noise.warnings, *resampled_words(correlation)]
    if no_sky is not None:
        warnings.append(WarningCode.NOT_THE_SKY(f"taken for {no_sky}: it is not calibrated"))
    else:
        warnings += [*unflattened_words(background), *_told_by_stars(columns, tie, model)]
        warnings += [*verdict_words(psf.summary.verdict), *repeated_words(psf.summary, len(psf))]
    fwhm_px = model.fwhm_px if model else marginal.fwhm_px
    return MeasureResult(
        frame=prepared.summary.model_copy(update={"warnings": tuple(dict.fromkeys(warnings))}),
        sources=len(psf),
        saturated=int(np.count_nonzero(columns["flags"] & int(SourceFlag.SATURATED))),
        fwhm_psf_px=model.fwhm_px if model else None,
        fwhm_marginal_px=_finite(marginal.fwhm_px),
        ellipticity=model.ellipticity if model else None,
        psf_kind=str(model.kind) if model else "none",
        psf_stars=model.quality.n_stars if model else 0,
        psf_misfit=psf.summary.verdict.misfit if model else None,
        background_e=background.median,
        background_rms_e=background.rms_median,
        rms_ratio=_finite(noise.rms_ratio),
        cosmic_ray_pixels=rays.count if rays else None,
        no_sky=no_sky,
        chi2_median=_finite(median_chi2(columns)),
        core_residual_over_noise=_finite(core_residual(psf.residual, sky.data, rms, columns)),
        position_error_over_bound=_position_over_bound(model, columns, rms),
        curve_of_growth=curve_of_growth(columns, np.array(request.aperture.radii_fwhm) * fwhm_px),
        flux_kind="psf",
        aperture_correction_mag=_finite(tie.correction_mag),
        aperture_correction_err_mag=_finite(tie.error_mag),
        aperture_number=CALIBRATED_APERTURE,
        noise_flux_e=_point_noise(model, sky.noise, psf.summary.noise_factor),
    )


def _told_by_stars(
    columns: dict[str, NDArray[Any]], tie: ApertureTie, model: PsfModel | None
) -> tuple[FrameWarning, ...]:
    """What is wrong with the stars, where there should be some."""
    told = WarningCode.APERTURE_CORRECTION_MISSING(f"no aperture correction: clean stars are too few ({tie.stars})")
    few = (told,) if np.isnan(tie.correction_mag) else ()
    if model is None:
        return few
    kind, stars = str(model.kind), model.quality.n_stars
    return few + shape_warnings(columns, kind, model.fwhm_px, ellipticity=model.ellipticity, stars=stars)


def _position_over_bound(psf: PsfModel | None, columns: dict[str, NDArray[Any]], rms: float) -> float | None:
    if psf is None:
        return None
    return _finite(
        position_error_over_bound(columns, psf_stamp(psf, min(psf.half_px - 2, round(3 * psf.fwhm_px))), rms)
    )


def _point_noise(psf: PsfModel | None, background: Background, noise_factor: float) -> float | None:
    """Error of zero flux in the PSF-optimal aperture: sky noise over the root of the sum of P^2."""
    if psf is None:
        return None
    stamp = psf_stamp(psf, min(psf.half_px - 2, round(3 * psf.fwhm_px) + 2))
    return float(noise_factor * background.rms_median / np.sqrt(np.sum(stamp**2)))


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
