"""The matched filter of a PSF: what detection searches with once the PSF of the frame is known."""

from __future__ import annotations

import numpy as np

from photometry_service.algorithms.detection.matched_filter import LARGEST_HALF_PX, MatchedFilter, matched_filter
from photometry_service.algorithms.psf.model import MARGIN_PX, psf_stamp
from photometry_service.domain.psf import PsfModel

__all__ = ["filter_of_psf"]


def filter_of_psf(psf: PsfModel) -> MatchedFilter:
    """Matched filter of a PSF: its central stamp out to 1.25 FWHM of the major axis."""
    half = int(np.clip(round(1.25 * psf.major_fwhm_px), 2, min(LARGEST_HALF_PX, psf.half_px - MARGIN_PX)))
    return matched_filter(psf_stamp(psf, half))
