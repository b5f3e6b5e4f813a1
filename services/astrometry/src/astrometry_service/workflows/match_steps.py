"""The steps of solving that our own matcher does."""

from __future__ import annotations

from dataclasses import replace

from astrometry_service.algorithms.matching import ScaleRange, search_all_sky, search_around
from astrometry_service.domain.solving import NoMatch, StartMatch
from astrometry_service.workflows.solve_context import Found, SolveContext, widened

__all__ = ["MatchSteps"]


class MatchSteps:
    """Around a pointing, on rings, all over the sky."""

    def __init__(self, context: SolveContext) -> None:
        self._context = context

    def by_pointing(self) -> Found | None:
        """Our own matcher, each hint in turn: scale known, scale free by a factor 2."""
        for hint in self._context.hints:
            if hint.pointing is None:
                continue
            known = hint.scale_range_arcsec
            if known is None:
                continue
            free = widened(known, self._context.options.free_scale_factor)
            for name, scale in (("matcher", known), ("matcher, scale free", free)):
                found = self._search(f"{name} ({hint.origin})", hint.pointing, scale, hint.radius_deg)
                if found is not None:
                    return found
        return None

    def by_rings(self) -> Found | None:
        """Wider around each pointing; with any scale where none is known."""
        for hint in self._context.hints:
            if hint.pointing is None:
                continue
            known, radius = hint.scale_range_arcsec, max(self._context.options.search_deg, 2.0 * hint.radius_deg)
            if known and hint.other_reading:
                continue
            name, scale = ("pointing search", known) if known else ("matcher, any scale", self._any_scale())
            radius = radius if known else hint.radius_deg
            found = self._search(f"{name} ({hint.origin})", hint.pointing, scale, radius)
            if found is not None:
                return found
        return None

    def by_all_sky(self) -> Found | None:
        """Nothing known: patterns of a local list of bright stars, with the scale if some hint has one, then without."""
        if not self._context.options.blind:
            return None
        index = self._context.patterns()
        if index is None:
            return None
        known = next((hint.scale_range_arcsec for hint in self._context.hints if hint.scale_range_arcsec), None)
        for name, scale in (("all sky, scale known", known), ("all sky", self._context.all_scales)):
            if scale is None or self._context.out_of_time():
                continue
            begun = self._context.clock()
            limits = ScaleRange(scale[0] / 3600, scale[1] / 3600)
            match = search_all_sky(
                self._context.stars,
                index,
                shape=self._context.shape,
                scale=limits,
                should_stop=self._context.out_of_time,
            )
            if isinstance(match, StartMatch):
                return self._found(name, begun, match)
            self._context.record(name, begun, "no_solution", "; ".join(match.reasons), match.best_log_odds)
        return None

    def _search(
        self, name: str, pointing: tuple[float, float], scale_arcsec: tuple[float, float], radius_deg: float
    ) -> Found | None:
        context = self._context
        if context.out_of_time():
            return None
        begun = context.clock()
        result = search_around(
            context.stars, context.cones.stars, ra_deg=pointing[0], dec_deg=pointing[1],
            radius_deg=min(radius_deg, 180.0), shape=context.shape,
            scale=ScaleRange(scale_arcsec[0] / 3600, scale_arcsec[1] / 3600),
            options=replace(context.options.search, max_discs=context.options.search_discs),
            should_stop=context.out_of_time,
        )  # fmt: skip
        match = result.match
        if isinstance(match, NoMatch):
            detail = f"{result.discs} discs, {result.searched_deg:.2g} deg around: {'; '.join(match.reasons)}"
            outcome = "time_limit" if context.out_of_time() else "no_solution"
            context.record(name, begun, outcome, detail, match.best_log_odds)
            return None
        return self._found(name, begun, match)

    def _found(self, name: str, begun: float, match: StartMatch) -> Found:
        detail = f"{len(match.pairs)} of {match.tested} stars, {match.hypotheses} hypotheses"
        self._context.record(name, begun, "solved", detail, match.log_odds)
        return Found("all-sky" if name.startswith("all sky") else "matcher", match, match.plane)

    def by_any_scale(self) -> Found | None:
        """Every pointing with every scale, for hints and headers whose scale is of another frame."""
        for hint in self._context.hints:
            if hint.pointing is not None and hint.scale_range_arcsec is not None:
                name = f"matcher, any scale ({hint.origin})"
                found = self._search(name, hint.pointing, self._context.all_scales, hint.radius_deg)
                if found is not None:
                    return found
        return None

    def _any_scale(self) -> tuple[float, float]:
        """The scale of some other hint, else everything."""
        for hint in self._context.hints:
            if hint.scale_range_arcsec is not None:
                return widened(hint.scale_range_arcsec, self._context.options.free_scale_factor)
        return self._context.all_scales
