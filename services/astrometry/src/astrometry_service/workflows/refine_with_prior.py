"""Refine a frame, and where it is sparse again with the distortion of earlier frames of its camera and filter.

Rich frames are refined by their own stars alone, and what they show is kept: so no frame's distortion goes back into the
prior that it was made with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from astrometry_service.algorithms.refinement import RefineOptions, combine_samples
from astrometry_service.algorithms.wcs import n_terms
from astrometry_service.domain.reference import ReferenceStars
from astrometry_service.domain.solution import AstrometricSolution, SkyTransform
from astrometry_service.domain.sources import FrameGeometry, SourceList
from astrometry_service.domain.wcs_state import WcsState
from astrometry_service.ports import EarlierDistortions
from astrometry_service.workflows.refine_solution import RefineSolution

__all__ = ["PriorUse", "RefineWithPrior"]

# A frame with so many stars per term of its map needs no help, and is fit to help others.
RICH_STARS_PER_TERM = 20


@dataclass(frozen=True)
class PriorUse:
    """What became of the prior: for the report, so that a reduction can be repeated.

    Attributes
    ----------
    used : the solution was made with it
    version : of the newest frame in it
    frames : that it was made of
    reason : why it was not used
    """

    used: bool = False
    version: int | None = None
    frames: int = 0
    reason: str = ""


class RefineWithPrior:
    """
    Parameters
    ----------
    options : of the refinement, without a prior
    earlier : distortions of earlier frames; None where the prior is switched off or the camera unknown
    why_none : why there is no ``earlier``
    """

    def __init__(
        self,
        options: RefineOptions,
        earlier: EarlierDistortions | None,
        why_none: str = "",
        *,
        make: Callable[[RefineOptions], RefineSolution] = RefineSolution,
    ) -> None:
        self._options, self._earlier, self._why_none, self._make = options, earlier, why_none, make

    def run(
        self, sources: SourceList, reference: ReferenceStars, start: SkyTransform, geometry: FrameGeometry
    ) -> tuple[AstrometricSolution, PriorUse]:
        """As `RefineSolution.run`, with what became of the prior."""
        alone = self._make(self._options).run(sources, reference, start, geometry)
        if self._earlier is None:
            return alone, PriorUse(reason=self._why_none)
        if _is_rich(alone):
            if alone.distortion is not None and alone.state is WcsState.CALIBRATED:
                self._earlier.keep(alone.distortion)
            return alone, PriorUse(reason="the frame has stars enough of its own")
        version, samples = self._earlier.samples(geometry.nx, geometry.ny)
        prior = combine_samples(samples)
        if prior is None:
            reason = f"{len(samples)} earlier frames of this camera and filter are known, need 3"
            return alone, PriorUse(False, version, len(samples), reason)
        helped = self._make(replace(self._options, prior=prior)).run(sources, reference, start, geometry)
        if not helped.improved or (helped.state is not alone.state and alone.state is WcsState.CALIBRATED):
            return alone, PriorUse(
                False, version, prior.frames, "the distortion of earlier frames does not fit this one"
            )
        return helped, PriorUse(True, version, prior.frames)


def _is_rich(solution: AstrometricSolution) -> bool:
    """Whether the map has many stars per term, for its own degree and for a cubic one at least."""
    degree = max(int(solution.report.get("degree") or 0), 3)
    return solution.improved and int(solution.pairs.kept.sum()) >= RICH_STARS_PER_TERM * n_terms(degree)
