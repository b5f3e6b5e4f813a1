"""Find where on the sky a frame is: the cheapest way first, and nothing believed that stars do not confirm.

Order (``specs/astrometry.md``, section 10): the WCS of the header, held against stars -> the triangle matcher around the
pointing with the scale known -> the same with the scale free by a factor 2 -> rings around the pointing -> the whole sky
-> solving engines in the order given. Every answer passes the same verification. Without one, the outcome tells what was
tried, how long, how near it came, and what to do.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from astrometry_service.algorithms.pointing_search import ScaleRange, search_around
from astrometry_service.algorithms.wcs_validation import WcsValidation
from astrometry_service.algorithms.wcs_verification import WcsCheck, WcsCheckOptions, verify_wcs
from astrometry_service.domain.plane_affine import PlaneAffine
from astrometry_service.domain.solution import SkyTransform
from astrometry_service.domain.solve_advice import advice, summary
from astrometry_service.domain.solving import NoMatch, SolveAttempt, SolveHints, SolveOutcome, StartMatch
from astrometry_service.domain.sources import FrameGeometry, SourceList
from astrometry_service.domain.star_lists import StarList
from astrometry_service.ports import AllSkyStars, ReferenceCatalogue, SolveEngine
from astrometry_service.workflows.reference_cones import ReferenceCones
from astrometry_service.workflows.solve_options import SolveOptions

__all__ = ["SolveFrame"]

MIN_STARS = 5
# Field widths from 0.1 to 180 degrees are looked for when the scale is unknown (specs, section 10).
FIELD_WIDTHS_DEG = (0.1, 180.0)
# The frame's circle plus 3 per cent (specs, section 4).
MARGIN = 1.03


@dataclass(frozen=True)
class _Found:
    """A verified solution and the map to go on with."""

    engine: str
    start: StartMatch
    transform: SkyTransform


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
        return _Solving(self, sources, geometry, header, hints).outcome()


class _Solving:
    """One frame on its way through the steps."""

    def __init__(
        self,
        use_case: SolveFrame,
        sources: SourceList,
        geometry: FrameGeometry,
        header: WcsValidation | None,
        hints: Sequence[SolveHints],
    ) -> None:
        self.options, self.clock, self.engines = use_case._options, use_case._clock, use_case._engines
        self.stars = StarList.from_columns(sources.x, sources.y, np.where(sources.flux > 0, sources.flux, np.nan))
        self.geometry, self.shape = geometry, (geometry.ny, geometry.nx)
        self.header, self.hints = header, _all_hints(hints, header)
        self.cones = ReferenceCones(
            use_case._catalogue, use_case._all_sky, epoch_jyear=geometry.epoch_jyear, sources=len(sources)
        )
        self.deadline = self.clock() + self.options.limit_s
        self.attempts: list[SolveAttempt] = []
        self.header_valid, self.header_reason = False, ""

    def outcome(self) -> SolveOutcome:
        """Go through the steps and put the account together."""
        if len(self.stars) < MIN_STARS:
            return self._unsolved(f"{len(self.stars)} stars with a place and a flux, need {MIN_STARS}")
        found = self._by_header() or self._by_pointing() or self._by_engines() or self._by_any_scale()
        if found is None:
            return self._unsolved(summary(self.attempts, len(self.stars)))
        ra, dec = _centre(found.start.plane, self.geometry)
        radius = MARGIN * 0.5 * self.geometry.diagonal_px * found.start.plane.scale_arcsec / 3600
        cone = self.cones.for_refinement(ra, dec, min(radius, 90.0))
        return SolveOutcome(
            found.start, found.transform, found.engine, self.header_valid, self.header_reason, tuple(self.attempts),
            reference=cone.stars if cone else None, reference_name=cone.name if cone else "",
            reference_layer=cone.layer if cone else "", notes=(*self.cones.notes, *(cone.notes if cone else ())),
        )  # fmt: skip

    def _unsolved(self, reason: str) -> SolveOutcome:
        statuses = [engine.status() for engine in self.engines]
        reached = self.cones.reached or not self.cones.notes
        tips = advice(len(self.stars), self.hints, statuses, reference_reached=reached, blind=self.options.blind)
        return SolveOutcome(
            None, None, None, False, self.header_reason, tuple(self.attempts), reason, tips,
            notes=tuple(self.cones.notes),
        )  # fmt: skip

    # ---- the header

    def _by_header(self) -> _Found | None:
        """The cheapest way: the header's WCS is right, or right up to some pixels."""
        if self.header is None or self.header.transform is None:
            self.header_reason = "; ".join(self.header.problems) if self.header else ""
            return None
        begun = self.clock()
        check = self._check(self.header.transform, self.header.ra_deg, self.header.dec_deg, self.header.scale_arcsec)
        self.header_valid, self.header_reason = check.valid, "; ".join(check.reasons)
        outcome = "solved" if check.start else "refused"
        self._record("header", begun, outcome, self.header_reason or "confirmed by stars", check.log_odds)
        if check.start is None:
            return None
        return _Found("header", check.start, self.header.transform if check.valid else check.start.plane)

    def _check(
        self,
        transform: SkyTransform,
        ra: float,
        dec: float,
        scale_arcsec: float,
        options: WcsCheckOptions | None = None,
    ) -> WcsCheck:
        radius = MARGIN * 0.6 * self.geometry.diagonal_px * scale_arcsec / 3600
        if not 0.0 < radius <= 90.0:
            return WcsCheck(False, (f"a scale of {scale_arcsec:.3g} arcsec per pixel cannot be",), None)
        reference = self.cones.stars(ra, dec, radius)
        return verify_wcs(
            self.stars, reference, transform.pixel_to_sky, shape=self.shape, options=options or self.options.check
        )

    # ---- around a pointing

    def _by_pointing(self) -> _Found | None:
        """Our own matcher, each hint in turn: scale known, scale free, rings."""
        for hint in self.hints:
            if hint.pointing is None:
                continue
            known = hint.scale_range_arcsec
            steps = [("matcher", known, hint.radius_deg)] if known else []
            free = _widened(known, self.options.free_scale_factor) if known else self._any_scale()
            steps.append(("matcher, scale free", free, hint.radius_deg))
            if known:
                steps.append(("pointing search", known, max(self.options.search_deg, 2.0 * hint.radius_deg)))
            for name, scale, radius in steps:
                found = self._search(f"{name} ({hint.origin})", hint.pointing, scale, radius)
                if found is not None:
                    return found
        return None

    def _search(
        self, name: str, pointing: tuple[float, float], scale_arcsec: tuple[float, float], radius_deg: float
    ) -> _Found | None:
        if self._out_of_time():
            return None
        begun = self.clock()
        result = search_around(
            self.stars, self.cones.stars, ra_deg=pointing[0], dec_deg=pointing[1], radius_deg=min(radius_deg, 180.0),
            shape=self.shape, scale=ScaleRange(scale_arcsec[0] / 3600, scale_arcsec[1] / 3600),
            options=replace(self.options.search, max_discs=self.options.search_discs), should_stop=self._out_of_time,
        )  # fmt: skip
        match = result.match
        if isinstance(match, NoMatch):
            detail = f"{result.discs} discs, {result.searched_deg:.2g} deg around: {'; '.join(match.reasons)}"
            self._record(
                name, begun, "time_limit" if self._out_of_time() else "no_solution", detail, match.best_log_odds
            )
            return None
        detail = f"{len(match.pairs)} of {match.tested} stars, {match.hypotheses} hypotheses"
        self._record(name, begun, "solved", detail, match.log_odds)
        return _Found("matcher", match, match.plane)

    def _by_any_scale(self) -> _Found | None:
        """Last: every pointing with every scale, for headers whose scale is of another frame."""
        width = max(self.shape)
        scale = 3600 * FIELD_WIDTHS_DEG[0] / width, 3600 * FIELD_WIDTHS_DEG[1] / width
        for hint in self.hints:
            if hint.pointing is not None and hint.origin != "request":
                found = self._search(f"matcher, any scale ({hint.origin})", hint.pointing, scale, hint.radius_deg)
                if found is not None:
                    return found
        return None

    def _any_scale(self) -> tuple[float, float]:
        """The scale of some other hint, else everything."""
        for hint in self.hints:
            if hint.scale_range_arcsec is not None:
                return _widened(hint.scale_range_arcsec, self.options.free_scale_factor)
        width = max(self.shape)
        return 3600 * FIELD_WIDTHS_DEG[0] / width, 3600 * FIELD_WIDTHS_DEG[1] / width

    # ---- engines

    def _by_engines(self) -> _Found | None:
        """Other programs: with what is known, then without."""
        if not self.options.blind:
            return None
        for engine in self.engines:
            for hint in self._engine_hints():
                left = self.deadline - self.clock()
                if left <= 0:
                    return None
                found, go_on = self._ask(engine, hint, min(left, self.options.engine_limit_s))
                if found is not None:
                    return found
                if not go_on:
                    break
        return None

    def _engine_hints(self) -> list[SolveHints]:
        """The first hint, and nothing known at all."""
        blank = SolveHints(epoch_jyear=self.geometry.epoch_jyear, origin="blind")
        useful = [hint for hint in self.hints if hint.pointing or hint.scale_range_arcsec]
        return [useful[0], blank] if useful else [blank]

    def _ask(self, engine: SolveEngine, hint: SolveHints, limit_s: float) -> tuple[_Found | None, bool]:
        """One engine, one hint; the second value says whether to ask it again with another hint."""
        begun = self.clock()
        answer = engine.solve(self.stars, self.shape, hint, limit_s=limit_s)
        name = f"{engine.name} ({hint.origin})"
        if answer.outcome != "solved" or answer.plane is None:
            self._record(name, begun, answer.outcome, answer.detail, None)
            return None, engine.status().usable and answer.outcome != "error"
        start, reason, log_odds = self._verified(answer.plane)
        if start is None:
            self._record(name, begun, "refused", f"its answer was not confirmed by stars: {reason}", log_odds)
            return None, True
        self._record(name, begun, "solved", answer.detail, start.log_odds)
        return _Found(engine.name, start, start.plane), False

    def _verified(self, plane: PlaneAffine) -> tuple[StartMatch | None, str, float | None]:
        """Hold an engine's answer against stars; a strongly distorted frame needs our matcher near the answer."""
        ra, dec = _centre(plane, self.geometry)
        wide = replace(
            self.options.check, search_px=10.0, min_log_odds=self.options.search.match.verification.accept_log_odds
        )
        check = self._check(plane, ra, dec, plane.scale_arcsec, wide)
        if check.start is not None:
            return check.start, "", check.log_odds
        width_deg = max(self.shape) * plane.scale_arcsec / 3600
        scale = _widened((plane.scale_arcsec, plane.scale_arcsec), 1.03)
        near = search_around(
            self.stars, self.cones.stars, ra_deg=ra, dec_deg=dec, radius_deg=0.05 * width_deg, shape=self.shape,
            scale=ScaleRange(scale[0] / 3600, scale[1] / 3600), options=self.options.search, should_stop=self._out_of_time,
        )  # fmt: skip
        if isinstance(near.match, StartMatch):
            return near.match, "", near.match.log_odds
        return None, "; ".join(check.reasons), check.log_odds

    # ---- the account

    def _out_of_time(self) -> bool:
        return self.clock() > self.deadline

    def _record(self, engine: str, begun: float, outcome: str, detail: str, log_odds: float | None) -> None:
        known = log_odds if log_odds is not None and math.isfinite(log_odds) and log_odds > -90 else None
        self.attempts.append(SolveAttempt(engine, round(self.clock() - begun, 3), outcome, detail, known))


def _centre(plane: PlaneAffine, geometry: FrameGeometry) -> tuple[float, float]:
    ra, dec = plane.pixel_to_sky(*geometry.centre_px)
    return float(ra), float(dec)


def _widened(scale: tuple[float, float], factor: float) -> tuple[float, float]:
    return scale[0] / factor, scale[1] * factor


def _all_hints(hints: Sequence[SolveHints], header: WcsValidation | None) -> tuple[SolveHints, ...]:
    """The given hints, completed with each other's scale, and what a header's WCS says even where it is not exact."""
    out = list(hints)
    if header is not None and header.transform is not None:
        low, high = _widened((header.scale_arcsec, header.scale_arcsec), 1.02)
        out.append(SolveHints(header.ra_deg, header.dec_deg, 0.5, low, high, origin="header WCS"))
    scale = next((hint.scale_range_arcsec for hint in out if hint.scale_range_arcsec), None)
    if scale is None:
        return tuple(out)
    return tuple(
        hint if hint.scale_range_arcsec else replace(hint, scale_low_arcsec=scale[0], scale_high_arcsec=scale[1])
        for hint in out
    )
