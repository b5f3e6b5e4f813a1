"""Find where on the sky a frame is: the cheapest way first, and nothing believed that stars do not confirm.

Order (``docs/algorithms/solving.md``): the WCS of the header, held against stars -> the triangle matcher around the
pointing with the scale known -> the same with the scale free by a factor 2 -> the whole sky, where there is a local list
(some 10 ms, so it comes before wider searches) -> rings around the pointing -> any scale -> solving engines in the order
given, those elsewhere with a time limit of their own. Every
answer passes the same verification. Without one, the outcome tells what was tried, how long, how near it came, and what
to do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from astrometry_service.algorithms.matching import angular_distance_deg
from astrometry_service.algorithms.wcs import WcsValidation
from astrometry_service.domain.header_evidence import HeaderEvidence
from astrometry_service.domain.solve_advice import advice, summary
from astrometry_service.domain.solving import SolveHints, SolveOutcome
from astrometry_service.domain.sources import FrameGeometry, SourceList
from astrometry_service.domain.star_lists import StarList
from astrometry_service.ports import AllSkyStars, ReferenceCatalogue, SolveEngine
from astrometry_service.workflows.engine_steps import EngineSteps
from astrometry_service.workflows.match_steps import MatchSteps
from astrometry_service.workflows.reference_cones import ReferenceCones
from astrometry_service.workflows.solve_context import MARGIN, Found, SolveContext, centre_of
from astrometry_service.workflows.solve_hints import wcs_hints
from astrometry_service.workflows.solve_options import SolveOptions

__all__ = ["SolveFrame"]

MIN_STARS = 5


class SolveFrame:
    """Use case: solve one frame.

    Parameters
    ----------
    catalogue : reference stars; None when there is no catalogue at all
    engines : tried in this order when the matcher finds nothing
    all_sky : a local list of bright stars, used when the catalogue is out of reach and for wide fields
    options : what may be done
    clock : seconds; only limits depend on it, never a result
    """

    def __init__(
        self,
        catalogue: ReferenceCatalogue | None,
        engines: Sequence[SolveEngine] = (),
        *,
        all_sky: AllSkyStars | None = None,
        options: SolveOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalogue, self._engines, self._all_sky = catalogue, tuple(engines), all_sky
        self._options, self._clock = options or SolveOptions(), clock

    def run(
        self,
        sources: SourceList,
        geometry: FrameGeometry,
        *,
        header: WcsValidation | None = None,
        hints: Sequence[SolveHints] = (),
    ) -> SolveOutcome:
        """Solve.

        Parameters
        ----------
        sources : detections of the frame
        geometry : its size and epoch
        header : what `validate_header` found; None where the header is not to be used
        hints : what is known of pointing and scale, the most trusted first

        Returns
        -------
        SolveOutcome
            With a start, or with every attempt and what to try. Never raises for a frame that cannot be solved.
        """
        reserved_s = self._reserved_s()
        context = SolveContext(
            stars=StarList.from_columns(sources.x, sources.y, np.where(sources.flux > 0, sources.flux, np.nan)),
            geometry=geometry,
            hints=_all_hints(hints, header),
            cones=ReferenceCones(
                self._catalogue,
                self._all_sky,
                epoch_jyear=geometry.epoch_jyear,
                sources=len(sources),
                widest_deg=self._options.widest_question_deg,
            ),
            options=self._options,
            clock=self._clock,
            deadline=self._clock() + self._options.limit_s - reserved_s,
            reserved_s=reserved_s,
        )
        return _Solving(context, self._engines, header).outcome()

    def _reserved_s(self) -> float:
        """Time that is kept for the engines of this machine, where there are some that can be used."""
        wanted = self._options.blind and any(not e.remote and e.status().usable for e in self._engines)
        return self._options.engine_share * self._options.limit_s if wanted else 0.0


class _Solving:
    """The steps in their order, and the outcome."""

    def __init__(self, context: SolveContext, engines: Sequence[SolveEngine], header: WcsValidation | None) -> None:
        self._context, self._engines, self._header = context, engines, header
        self._header_valid, self._header_reason = False, "; ".join(header.problems) if header else ""
        self._evidence: HeaderEvidence | None = None

    def outcome(self) -> SolveOutcome:
        """Go through the steps and put the account together."""
        count = len(self._context.stars)
        if count < MIN_STARS:
            self._weigh_header()
            return self._unsolved(f"{count} stars with a place and a flux, need {MIN_STARS}")
        match, engines = MatchSteps(self._context), EngineSteps(self._context, self._engines)
        steps = (
            self._by_header, match.by_pointing, match.by_all_sky, match.by_rings, match.by_any_scale, engines.run,
        )  # fmt: skip
        found = next((result for result in (step() for step in steps) if result is not None), None)
        return self._unsolved(summary(self._context.attempts, count)) if found is None else self._solved(found)

    def _solved(self, found: Found) -> SolveOutcome:
        context = self._context
        ra, dec = centre_of(found.start.plane, context.geometry)
        radius = MARGIN * 0.5 * context.geometry.diagonal_px * found.start.plane.scale_arcsec / 3600
        cone = context.cones.for_refinement(ra, dec, min(radius, 90.0))
        return SolveOutcome(
            found.start, found.transform, found.engine, self._header_valid, self._header_reason, tuple(context.attempts),
            reference=cone.stars if cone else None, reference_name=cone.name if cone else "",
            reference_layer=cone.layer if cone else "", notes=(*context.cones.notes, *(cone.notes if cone else ())),
        )  # fmt: skip

    def _unsolved(self, reason: str) -> SolveOutcome:
        context = self._context
        tips = advice(
            len(context.stars), context.hints, [engine.status() for engine in self._engines],
            reference_reached=context.cones.reached or not context.cones.notes, blind=context.options.blind,
            evidence=self._evidence,
        )  # fmt: skip
        return SolveOutcome(
            None, None, None, False, self._header_reason, tuple(context.attempts), reason, tips,
            notes=tuple(context.cones.notes), evidence=self._evidence,
        )  # fmt: skip

    def _weigh_header(self) -> None:
        """Count the stars that a header which nothing confirms must show."""
        header = self._header
        if header is not None and header.transform is not None:
            self._evidence = self._context.evidence(
                header.transform, header.ra_deg, header.dec_deg, header.scale_arcsec
            )

    def _by_header(self) -> Found | None:
        """The cheapest way: the header's WCS is right, or right up to some pixels."""
        header, context = self._header, self._context
        if header is None or header.transform is None:
            return None
        begun = context.clock()
        check = context.check(header.transform, header.ra_deg, header.dec_deg, header.scale_arcsec)
        self._header_valid, self._header_reason = check.valid, "; ".join(check.reasons)
        outcome = "solved" if check.start else "refused"
        context.record("header", begun, outcome, self._header_reason or "confirmed by stars", check.log_odds)
        if check.start is None:
            self._weigh_header()
            return None
        return Found("header", check.start, header.transform if check.valid else check.start.plane)


def _all_hints(hints: Sequence[SolveHints], header: WcsValidation | None) -> tuple[SolveHints, ...]:
    """The given hints, completed with each other's scale, and what a header's WCS says where that is something else."""
    out = list(hints)
    if header is not None:
        out += [
            hint for hint in wcs_hints(header) if not any(_covers(known, hint, header.scale_arcsec) for known in hints)
        ]
    scale = next((hint.scale_range_arcsec for hint in out if hint.scale_range_arcsec), None)
    if scale is None:
        return tuple(out)
    return tuple(
        hint if hint.scale_range_arcsec else replace(hint, scale_low_arcsec=scale[0], scale_high_arcsec=scale[1])
        for hint in out
    )


def _covers(hint: SolveHints, other: SolveHints, scale_arcsec: float) -> bool:
    """Whether a search with one hint would look where the other points, at this scale."""
    if hint.pointing is None or other.pointing is None or hint.scale_range_arcsec is None:
        return False
    low, high = hint.scale_range_arcsec
    apart = float(angular_distance_deg(*hint.pointing, *other.pointing))
    return apart <= 0.5 * hint.radius_deg and low <= scale_arcsec <= high
