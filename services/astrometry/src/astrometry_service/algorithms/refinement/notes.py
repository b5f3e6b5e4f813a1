"""What a reader of a solution's figures should know: what the lists do not say, and which figures were not measured."""

from __future__ import annotations

import numpy as np

from astro_shared.frame_warnings import FrameWarning, WarningCode
from astrometry_service.algorithms.error_model.terms import ErrorModel
from astrometry_service.domain.reference import ReferenceStars

__all__ = ["list_notes", "model_notes"]

_ALPHA_NOTES = {
    "all_stars_below_sigma_sys": "nearly all stars have centroid errors below the systematic scatter",
    "alpha_uncertain": "the stars do not tell it from the systematic scatter",
    "no_centroid_errors": "the source list has no errors of position",
}


def list_notes(reference: ReferenceStars, epoch_jyear: float) -> tuple[FrameWarning, ...]:
    """What the reference list does not say and the systematic scatter therefore holds."""
    lacking = []
    if not np.any(reference.column("ra_error") > 0) and not np.any(reference.column("dec_error") > 0):
        lacking.append("errors of position")
    years = float(np.max(np.abs(epoch_jyear - reference.ref_epoch), initial=0.0))
    if years > 0.5 and not np.any(np.isfinite(reference.column("pmra"))):
        lacking.append(f"proper motions (over up to {years:.1f} years)")
    if not lacking:
        return ()
    told = f"the reference list has no {' and no '.join(lacking)}: the systematic scatter of the solution holds them"
    return (WarningCode.REFERENCE_LIST_INCOMPLETE(told),)


def model_notes(model: ErrorModel) -> tuple[FrameWarning, ...]:
    """Which figures of the error model are no measurements, and why."""
    notes = []
    if model.catalogue_factor != 1.0:
        done = f"taken times {model.catalogue_factor:.2g}" if model.catalogue_factor > 0 else "left out"
        notes.append(f"the residuals are smaller than the errors of the reference list allow: these were {done}")
    if np.isfinite(model.alpha_upper):
        notes.append(f"alpha is not determined: the residuals leave room for no more than {model.alpha_upper:.2g}")
    elif model.note in _ALPHA_NOTES:
        notes.append(f"alpha is not determined and held at 1: {_ALPHA_NOTES[model.note]}")
    return tuple(map(WarningCode.ERROR_MODEL_UNDETERMINED, notes))
