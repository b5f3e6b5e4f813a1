"""Which share of stars of a known flux is found on this very frame."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from astro_shared.contracts.photometry import CompletenessReport
from photometry_service.algorithms.quality import injected_completeness
from photometry_service.domain.psf import PsfPhotometry

SEED = 20_260_301
"""The same frame gives the same figures."""


def estimate_completeness(
    data: NDArray[np.float32],
    known: PsfPhotometry,
    noise_flux_e: float,
    measure: Callable[[NDArray[np.float32]], PsfPhotometry],
) -> CompletenessReport:
    """Inject stars into a background-subtracted frame (ny, nx), electrons, and measure it as it was measured.

    Parameters
    ----------
    known : what was found on the frame as it is; it has a PSF
    noise_flux_e : error of a flux of zero
    """
    assert known.psf is not None  # noqa: S101
    done = injected_completeness(data, known.psf, noise_flux_e, measure, np.random.default_rng(SEED), known=known)
    return CompletenessReport(
        flux_e=tuple(done.flux.tolist()),
        injected=tuple(done.injected.tolist()),
        found=tuple(done.found.tolist()),
        fraction=tuple(_known(value) for value in done.fraction),
        fraction_err=tuple(done.fraction_err.tolist()),
        flux_bias=tuple(_known(value) for value in done.flux_bias),
        flux_50_e=_known(done.flux_at(0.5)),
        flux_90_e=_known(done.flux_at(0.9)),
    )


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
