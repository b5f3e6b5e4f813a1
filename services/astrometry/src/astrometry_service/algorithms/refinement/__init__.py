"""From a start to the final map, its errors and its report.

In: a verified start, detected sources, reference stars at the epoch of the exposure. Out: the fitted map, the pairs, the
error model, positions of all sources with covariances. The order is `regions` and `mean_affine` (`first_fit`), then
`depth_match`, clipping, `degree_selection`, `settle` (`chain`), then `report`.
"""

from astrometry_service.algorithms.refinement.affine_fit import median_scatter
from astrometry_service.algorithms.refinement.chain import (
    ChainResult,
    choose_degree,
    clip_pairs,
    clipping_record,
    first_model,
    settle_pairs,
)
from astrometry_service.algorithms.refinement.degree_selection import DegreeOptions
from astrometry_service.algorithms.refinement.distortion_prior import (
    DistortionPrior,
    combine_samples,
    measure_distortion,
)
from astrometry_service.algorithms.refinement.first_fit import FirstFit, MapState, depth_pairs
from astrometry_service.algorithms.refinement.frame_epoch import (
    ASSUMED_EPOCH_ERR_YR,
    epoch_of_motions,
    hold_motions,
    mean_motion,
)
from astrometry_service.algorithms.refinement.notes import list_notes, model_notes
from astrometry_service.algorithms.refinement.options import RefineOptions
from astrometry_service.algorithms.refinement.pairs import PairSet, PlaneTargets, SortedSources, blended, pair_residuals
from astrometry_service.algorithms.refinement.regions import RegionOptions
from astrometry_service.algorithms.refinement.report import (
    build_pairs,
    chi_square_report,
    no_pairs,
    solution_reasons,
    solution_summary,
    thresholds,
)

__all__ = [
    "ASSUMED_EPOCH_ERR_YR",
    "ChainResult",
    "DegreeOptions",
    "DistortionPrior",
    "FirstFit",
    "MapState",
    "PairSet",
    "PlaneTargets",
    "RefineOptions",
    "RegionOptions",
    "SortedSources",
    "blended",
    "build_pairs",
    "chi_square_report",
    "choose_degree",
    "clip_pairs",
    "clipping_record",
    "combine_samples",
    "depth_pairs",
    "epoch_of_motions",
    "first_model",
    "hold_motions",
    "list_notes",
    "mean_motion",
    "measure_distortion",
    "median_scatter",
    "model_notes",
    "no_pairs",
    "pair_residuals",
    "settle_pairs",
    "solution_reasons",
    "solution_summary",
    "thresholds",
]
