"""PSF photometry of sources that another detector found."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from photometry_service.algorithms.fit_frame import fit_frame
from photometry_service.algorithms.psf_fit import FitOptions, fit_psf
from photometry_service.algorithms.psf_results import MeasuredSources, as_photometry
from photometry_service.domain.psf import PsfModel, PsfPhotometry, PsfSummary, Sources

__all__ = ["measure_at"]


def measure_at(
    data: NDArray[np.float32],
    rms: NDArray[np.float32],
    psf: PsfModel,
    found: Sources,
    *,
    mask: NDArray[np.bool_] | None = None,
    saturated: NDArray[np.bool_] | None = None,
    shot_noise: float = 1.0,
    options: FitOptions | None = None,
) -> PsfPhotometry:
    """Fit the PSF to sources, positions free, without looking for more.

    Parameters
    ----------
    data, rms, mask, saturated, shot_noise : as ``measure_psf``
    found : start positions and fluxes

    Returns
    -------
    PsfPhotometry
        Brightest first; sources whose flux came out zero or negative are left out.
    """
    options = options or FitOptions()
    frame = fit_frame(data, rms, mask, saturated, shot_noise)
    start = np.maximum(found.flux / frame.unit, 0.0)
    fit = fit_psf(frame, psf, found.x, found.y, start, options)
    measured = MeasuredSources(fit, found, np.zeros(len(found), dtype=bool))
    summary = PsfSummary(n_detected=len(found), weight_floor=options.weight_floor)
    return as_photometry(frame, psf, measured, fit.flux > 0, options, summary)
