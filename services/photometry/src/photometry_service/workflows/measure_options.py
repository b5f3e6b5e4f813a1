"""Settings of a request as the options of the PSF photometry."""

from __future__ import annotations

from dataclasses import replace

from astro_shared.contracts.photometry import MeasureRequest
from photometry_service.algorithms.psf import MeasureOptions


def psf_options(request: MeasureRequest, cosmic_rays_masked: bool) -> MeasureOptions:
    """Options of `measure_psf`."""
    detection, psf = request.detection, request.psf
    chosen = MeasureOptions()
    photometry = request.psf_photometry
    floor = chosen.fit.weight_floor if photometry.model_error is None else photometry.model_error
    return replace(
        chosen,
        threshold=detection.detect_snr,
        residual_rounds=detection.residual_rounds,
        residual_threshold=max(detection.residual_snr, detection.detect_snr),
        fwhm_guess_px=detection.fwhm_guess_px or chosen.fwhm_guess_px,
        cosmic_rays_masked=cosmic_rays_masked,
        flat_error=photometry.flat_error,
        selection=replace(chosen.selection, largest_number=psf.max_stars, smallest_snr=psf.min_snr),
        build=replace(
            chosen.build,
            shape=replace(chosen.build.shape, order=psf.order),
            use_table=psf.kind == "moffat_table",
        ),
        fit=replace(
            chosen.fit,
            radius_fwhm=photometry.fit_radius_fwhm,
            sweeps=photometry.sweeps,
            full_sweeps=min(chosen.fit.full_sweeps, photometry.sweeps),
            group_fwhm=photometry.group_fwhm,
            weight_floor=floor,
        ),
    )
