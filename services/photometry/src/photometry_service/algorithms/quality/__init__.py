"""Whether a measurement can be trusted.

In: a measured frame. Out: completeness by injected stars, figures and warnings about PSF, noise and light over the
field.
"""

from photometry_service.algorithms.quality.completeness import injected_completeness
from photometry_service.algorithms.quality.figures import (
    core_residual,
    curve_of_growth,
    dark_objects,
    difference_words,
    median_chi2,
    position_error_over_bound,
    shape_warnings,
    stacked_residual,
)
from photometry_service.algorithms.quality.illumination import unflattened_words

__all__ = [
    "core_residual",
    "curve_of_growth",
    "dark_objects",
    "difference_words",
    "injected_completeness",
    "median_chi2",
    "position_error_over_bound",
    "shape_warnings",
    "stacked_residual",
    "unflattened_words",
]
