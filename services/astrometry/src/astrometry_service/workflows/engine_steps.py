"""The steps of solving that other programs do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from astrometry_service.algorithms.matching import ScaleRange, search_around
from astrometry_service.domain.plane_affine import PlaneAffine
from astrometry_service.domain.solving import SolveHints, StartMatch
from astrometry_service.ports import SolveEngine
from astrometry_service.workflows.solve_context import Found, SolveContext, centre_of, widened

__all__ = ["EngineSteps"]


class EngineSteps:
    """Engines in their order; every answer is held against stars."""

    def __init__(self, context: SolveContext, engines: Sequence[SolveEngine]) -> None:
        self._context, self._engines = context, tuple(engines)

    def run(self) -> Found | None:
        """Other programs: with what is known, then without; those of this machine share the time that is left."""
        if not self._context.options.blind:
            return None
        self._context.release()
        here = sum(self._shares(engine) for engine in self._engines)
        for engine in self._engines:
            found = self._run(engine, max(here, 1))
            if found is not None:
                return found
            here -= self._shares(engine)
        return None

    def _shares(self, engine: SolveEngine) -> bool:
        return not engine.remote and engine.status().usable

    def _run(self, engine: SolveEngine, sharers: int) -> Found | None:
        """One engine with one hint after the other; what one elsewhere takes is not taken from those of this machine."""
        context = self._context
        begun = context.clock()
        if not engine.remote:
            return self._with_hints(engine, begun + (context.deadline - begun) / sharers)
        found = self._with_hints(engine, begun + context.options.remote_limit_s)
        context.deadline += context.clock() - begun
        return found

    def _with_hints(self, engine: SolveEngine, deadline: float) -> Found | None:
        options = self._context.options
        for hint in self._engine_hints():
            left = deadline - self._context.clock()
            if left <= 0:
                return None
            found, go_on = self._ask(
                engine, hint, left if engine.remote else min(left, options.engine_share * options.limit_s)
            )
            if found is not None or not go_on:
                return found
        return None

    def _engine_hints(self) -> list[SolveHints]:
        """The first hint, its pointing without its scale (which may be that of another frame), and nothing known at all."""
        blank = SolveHints(epoch_jyear=self._context.geometry.epoch_jyear, origin="blind")
        useful = [hint for hint in self._context.hints if hint.pointing or hint.scale_range_arcsec]
        if not useful:
            return [blank]
        first = useful[0]
        if first.pointing is None or first.scale_range_arcsec is None:
            return [first, blank]
        free = replace(first, scale_low_arcsec=None, scale_high_arcsec=None, origin=f"{first.origin}, any scale")
        return [first, free, blank]

    def _ask(self, engine: SolveEngine, hint: SolveHints, limit_s: float) -> tuple[Found | None, bool]:
        """One engine, one hint; the second value says whether to ask it again with another hint."""
        begun = self._context.clock()
        answer = engine.solve(self._context.stars, self._context.shape, hint, limit_s=limit_s)
        name = f"{engine.name} ({hint.origin})"
        if answer.outcome != "solved" or answer.plane is None:
            self._context.record(name, begun, answer.outcome, answer.detail, None)
            return None, engine.status().usable and answer.outcome != "error"
        start, reason, log_odds = self._verified(answer.plane)
        if start is None:
            self._context.record(name, begun, "refused", f"its answer was not confirmed by stars: {reason}", log_odds)
            return None, True
        self._context.record(name, begun, "solved", answer.detail, start.log_odds)
        return Found(engine.name, start, start.plane), False

    def _verified(self, plane: PlaneAffine) -> tuple[StartMatch | None, str, float | None]:
        """Hold an engine's answer against stars; a strongly distorted frame needs our matcher near the answer."""
        ra, dec = centre_of(plane, self._context.geometry)
        wide = replace(
            self._context.options.check,
            search_px=10.0,
            min_log_odds=self._context.options.search.match.verification.accept_log_odds,
        )
        check = self._context.check(plane, ra, dec, plane.scale_arcsec, wide)
        if check.start is not None:
            return check.start, "", check.log_odds
        context = self._context
        width_deg = max(context.shape) * plane.scale_arcsec / 3600
        low, high = widened((plane.scale_arcsec / 3600, plane.scale_arcsec / 3600), 1.03)
        near = search_around(
            context.stars, context.cones.stars, ra_deg=ra, dec_deg=dec, radius_deg=0.05 * width_deg,
            shape=context.shape, scale=ScaleRange(low, high), options=context.options.search,
            should_stop=context.out_of_time,
        )  # fmt: skip
        if isinstance(near.match, StartMatch):
            return near.match, "", near.match.log_odds
        return None, "; ".join(check.reasons), check.log_odds
