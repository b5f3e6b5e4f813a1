"""From count rates to magnitudes: zero point, colour terms, extinction, airmass.

In: instrumental fluxes and reference stars. Out: a `ZeroPoint` with its errors, calibrated magnitudes, and for every
reference star the reason why it was used or not.
"""

from photometry_service.algorithms.calibration.airmass import altitude_deg, refraction_deg
from photometry_service.algorithms.calibration.calibrators import (
    Cuts,
    SkyMatches,
    crowded,
    match_mutual,
    reasons,
    unit_vectors,
)
from photometry_service.algorithms.calibration.extinction import ExtinctionFit, Series, fit_extinction
from photometry_service.algorithms.calibration.magnitudes import to_magnitude
from photometry_service.algorithms.calibration.reference_magnitudes import ReferenceMagnitudes, choose_magnitudes
from photometry_service.algorithms.calibration.zero_point import (
    ZeroPointFit,
    ZeroPointModel,
    ZeroPointOptions,
    fit_zero_point,
)

__all__ = [
    "Cuts",
    "ExtinctionFit",
    "ReferenceMagnitudes",
    "Series",
    "SkyMatches",
    "ZeroPointFit",
    "ZeroPointModel",
    "ZeroPointOptions",
    "altitude_deg",
    "choose_magnitudes",
    "crowded",
    "fit_extinction",
    "fit_zero_point",
    "match_mutual",
    "reasons",
    "refraction_deg",
    "to_magnitude",
    "unit_vectors",
]
