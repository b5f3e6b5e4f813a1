"""The options of a refinement from the settings of a reduction."""

from __future__ import annotations

from dataclasses import replace

from astro_shared.contracts.settings import AstrometrySettings
from astrometry_service.algorithms.refinement import DegreeOptions, DistortionPrior, RefineOptions, RegionOptions

__all__ = ["refine_options"]


def refine_options(
    settings: AstrometrySettings, *, fwhm_px: float | None = None, prior: DistortionPrior | None = None
) -> RefineOptions:
    """Translate settings.

    Parameters
    ----------
    settings : section ``astrometry``
    fwhm_px : pixel, of the stars of this frame, where known
    prior : distortion of earlier frames of the same camera and filter
    """
    columns, rows = settings.regions
    fixed = None if settings.degree == "auto" else int(settings.degree)
    options = RefineOptions(
        regions=RegionOptions(
            columns=columns, rows=rows, seeds=settings.region_seeds, clipping_threshold=settings.clipping_threshold
        ),
        degree=DegreeOptions(highest=settings.max_degree),
        clipping_threshold=settings.clipping_threshold,
        error_threshold=settings.error_threshold,
        fixed_degree=fixed,
        catalogue_errors=settings.catalogue_errors,
        min_snr=settings.min_snr,
        debug=settings.debug,
        prior=prior,
    )
    return options if fwhm_px is None else replace(options, fwhm_px=fwhm_px)
