"""Detectors, PSF builders and fitters that a request chose in place of the default ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from astro_shared.contracts.photometry import MeasureRequest
from photometry_service.algorithms.psf import MeasureOptions, measure_psf
from photometry_service.domain.psf import PsfModel, PsfPhotometry


def is_default(request: MeasureRequest) -> bool:
    """Whether nothing but our own engines is asked for."""
    return (
        request.detection.detector == "matched"
        and request.psf.kind != "epsf_builder"
        and request.psf_photometry.engine == "batched"
    )


def by_choice(
    data: NDArray[np.float32], rms: NDArray[np.float32], first: PsfPhotometry, mask: NDArray[np.bool_],
    saturated: NDArray[np.bool_], request: MeasureRequest, options: MeasureOptions,
) -> PsfPhotometry:  # fmt: skip
    """Measure again as the request wants it.

    Parameters
    ----------
    first : the default measurement; its PSF stars are those of the other builder too
    """
    # photutils takes a second to load: only those who ask for it pay for it
    from photometry_service.algorithms.psf.reference_engines import (
        DaoOptions,
        PhotutilsOptions,
        find_dao,
        measure_photutils,
    )

    psf = _psf(data, first, mask, request)
    dao = DaoOptions(
        threshold_sigma=request.detection.dao_threshold_sigma,
        sharpness_range=request.detection.sharpness_range,
        roundness_range=request.detection.roundness_range,
        exclude_border=request.detection.dao_exclude_border,
        brightest=request.detection.dao_brightest,
        peak_max=request.detection.dao_peak_max_e,
    )
    if request.psf_photometry.engine == "photutils":
        chosen = PhotutilsOptions(
            dao=dao,
            rounds=1 + request.detection.residual_rounds,
            fit_radius_fwhm=request.psf_photometry.fit_radius_fwhm,
            group_fwhm=request.psf_photometry.group_fwhm,
        )
        return measure_photutils(data, rms, psf, mask=mask, saturated=saturated, options=chosen)
    if request.detection.detector == "dao":
        found, _ = find_dao(data, rms, fwhm_px=psf.fwhm_px, mask=mask, options=dao)
        alone = replace(options, residual_rounds=0)
        return measure_psf(data, rms, mask=mask, saturated=saturated, psf=psf, sources=found, options=alone)
    return measure_psf(data, rms, mask=mask, saturated=saturated, psf=psf, options=options)


def _psf(data: NDArray[np.float32], first: PsfPhotometry, mask: NDArray[np.bool_], request: MeasureRequest) -> PsfModel:
    if first.psf is None:
        raise ValueError("there is no PSF to begin with")
    if request.psf.kind != "epsf_builder":
        return first.psf
    from photometry_service.algorithms.psf.reference_engines import build_epsf

    model = first.psf
    return build_epsf(data, model.star_x, model.star_y, fwhm_px=model.fwhm_px, mask=mask)
