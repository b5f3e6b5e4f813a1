"""Refine a frame at its epoch; one that tells no date, at the epoch that proper motions say, or at that of the list."""

from __future__ import annotations

from dataclasses import dataclass, replace

from astrometry_service.algorithms.refinement import (
    ASSUMED_EPOCH_ERR_YR,
    RefineOptions,
    epoch_of_motions,
    hold_motions,
    mean_motion,
)
from astrometry_service.domain.reference import ReferenceStars
from astrometry_service.domain.solution import AstrometricSolution, SkyPositions, SkyTransform
from astrometry_service.domain.sources import FrameGeometry, SourceList
from astrometry_service.ports import EarlierDistortions
from astrometry_service.workflows.refine_solution import RefineSolution
from astrometry_service.workflows.refine_with_prior import PriorUse, RefineWithPrior

__all__ = ["RefineAtEpoch", "RefinedFrame"]


@dataclass(frozen=True)
class RefinedFrame:
    """
    Attributes
    ----------
    solution : its positions' errors hold what the error of the epoch does to them
    prior : what became of earlier distortions
    epoch_assumed : the frame tells no date
    epoch_err_yr : one sigma of the epoch
    motion_mas_yr : mean proper motion of the reference stars, (east, north)
    note : about the epoch, in words; empty where there is nothing to say
    """

    solution: AstrometricSolution
    prior: PriorUse
    epoch_assumed: bool
    epoch_err_yr: float
    motion_mas_yr: tuple[float, float]
    note: str

    def held(self, places: SkyPositions) -> SkyPositions:
        """Places by this solution, with the error of the epoch in theirs."""
        return hold_motions(places, self.motion_mas_yr, self.epoch_err_yr)


class RefineAtEpoch:
    """
    Parameters
    ----------
    options : of the refinement
    earlier, why_none : see `RefineWithPrior`
    """

    def __init__(self, options: RefineOptions, earlier: EarlierDistortions | None, why_none: str = "") -> None:
        self._options, self._earlier, self._why_none = options, earlier, why_none

    def run(
        self, sources: SourceList, reference: ReferenceStars, start: SkyTransform, geometry: FrameGeometry,
        epoch_err_yr: float | None,
    ) -> RefinedFrame:  # fmt: skip
        """As `RefineWithPrior.run`; ``epoch_err_yr`` is one sigma of the epoch of ``geometry``, where it has one."""
        if geometry.epoch_jyear is not None:
            solution, prior = self._refine(self._options, sources, reference, start, geometry)
            return _with_errors(solution, prior, reference, epoch_err_yr or 0.0)
        # an epoch that is not known to the month tells no phase of the parallaxes
        options = replace(self._options, parallax=False)
        first = RefineSolution(options).run(sources, reference, start, geometry)
        found = epoch_of_motions(first.pairs, reference, first.epoch_jyear)
        if found is not None:
            there = replace(geometry, epoch_jyear=found.epoch_jyear)
            again = RefineSolution(options).run(sources, reference, start, there)
            found = epoch_of_motions(again.pairs, reference, found.epoch_jyear) or found
            geometry = replace(geometry, epoch_jyear=found.epoch_jyear)
        solution, prior = self._refine(options, sources, reference, start, geometry)
        if found is None:
            note = (
                f"the frame tells no date: its positions are those of the reference list, of {solution.epoch_jyear:.1f}, and"
                f" their errors hold {ASSUMED_EPOCH_ERR_YR:.0f} years of mean proper motion"
            )
            return _with_errors(solution, prior, reference, ASSUMED_EPOCH_ERR_YR, note)
        note = (
            f"the frame tells no date: the proper motions of {found.stars} stars say"
            f" {found.epoch_jyear:.1f} +- {found.err_yr:.1f}, which is taken for its epoch"
        )
        return _with_errors(solution, prior, reference, found.err_yr, note)

    def _refine(
        self, options: RefineOptions, sources: SourceList, reference: ReferenceStars, start: SkyTransform,
        geometry: FrameGeometry,
    ) -> tuple[AstrometricSolution, PriorUse]:  # fmt: skip
        return RefineWithPrior(options, self._earlier, self._why_none).run(sources, reference, start, geometry)


def _with_errors(
    solution: AstrometricSolution, prior: PriorUse, reference: ReferenceStars, epoch_err_yr: float, note: str = ""
) -> RefinedFrame:
    motion = mean_motion(reference, solution.pairs.reference)
    held = replace(solution, positions=hold_motions(solution.positions, motion, epoch_err_yr))
    return RefinedFrame(held, prior, bool(note), epoch_err_yr, motion, note)
