"""The point spread function of a frame, and every flux and position fitted with it.

In: a frame above its sky with its noise, and the sources of a first look. Out: a `PsfModel` (`stars`, `shape`,
`residual`, `wings`, put together by `build`), and the table of fitted stars with their errors (`fit`, `split`,
`results`; `photometry` is the order of all steps). `forced` measures at given places; `reference_engines` are
photutils' engines behind the same types.
"""

from photometry_service.algorithms.psf.forced import ForcedOptions, ForcedPhotometry, measure_forced
from photometry_service.algorithms.psf.model import psf_from_arrays, psf_stamp, psf_to_arrays, psf_values
from photometry_service.algorithms.psf.options import MeasureOptions
from photometry_service.algorithms.psf.photometry import measure_psf
from photometry_service.algorithms.psf.verdict import repeated_words, verdict_words

__all__ = [
    "ForcedOptions",
    "ForcedPhotometry",
    "MeasureOptions",
    "measure_forced",
    "measure_psf",
    "psf_from_arrays",
    "psf_stamp",
    "psf_to_arrays",
    "psf_values",
    "repeated_words",
    "verdict_words",
]
