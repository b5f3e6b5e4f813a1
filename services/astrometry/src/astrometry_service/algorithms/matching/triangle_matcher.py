"""Find where on the sky a list of detected stars lies, by the shapes of triangles.

Idea. Any three stars make a triangle whose two ratios of sides do not change when the image is turned, scaled,
shifted or mirrored. The image's triangles of bright stars are put in a table by these ratios; the catalogue's
triangles are made one after the other, brightest stars first, and looked up. Each agreement proposes a whole mapping
(its orientation gives the parity), which a quick check holds against some thirty bright stars; what passes is
verified properly. Rotation and parity are never asked for; the scale may be unknown by a factor and the pointing by
several fields.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from astrometry_service.algorithms.matching.triangle_options import (
    CHECKS_PER_VERIFICATION,
    TRIANGLES_PER_CHECK,
    Attempt,
    MatchOptions,
)
from astrometry_service.algorithms.matching.triangle_passes import (
    MIN_STARS,
    Band,
    Frame,
    Hypothesis,
    TrianglePass,
    verify_hypothesis,
)
from astrometry_service.algorithms.matching.verification import Verification
from astrometry_service.domain.plane_affine import PlaneAffine
from astrometry_service.domain.solving import NOT_A_MATCH, NoMatch, StartMatch
from astrometry_service.domain.star_lists import ProjectedStars, StarList

Floats = NDArray[np.float64]

__all__ = ["Attempt", "MatchOptions", "match_start", "scale_bands"]


def match_start(
    image_stars: StarList,
    reference: ProjectedStars,
    *,
    shape: tuple[int, int],
    scale_deg: float,
    scale_factor: float = 1.02,
    pointing_error_deg: float = 0.0,
    options: MatchOptions | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> StartMatch | NoMatch:
    """Match detected stars with reference stars around a pointing.

    Parameters
    ----------
    image_stars : brightest first
    reference : projected about the pointing, brightest first
        A disc of radius half diagonal x largest scale + pointing error; a smaller one is allowed.
    shape : (ny, nx), px
    scale_deg : deg / px
        The true scale lies between ``scale_deg / scale_factor`` and ``scale_deg * scale_factor``.
    pointing_error_deg : deg
        Largest distance of the frame's centre from the tangent point.
    should_stop : asked now and then; the search ends when it says True
        Without it the result depends on the input alone, not on the speed of the machine.

    Returns
    -------
    StartMatch
        Accepted by `verification.verify_prediction`. Its pairs count in the lists as first given.
    NoMatch
        Every hypothesis was refused, there were too few stars, or the budget was used up.
    """
    if len(image_stars) < MIN_STARS:
        return NoMatch((f"{len(image_stars)} image stars, need {MIN_STARS}",))
    if len(reference) < MIN_STARS:
        return NoMatch((f"{len(reference)} reference stars around the pointing, need {MIN_STARS}",))
    opts = options or MatchOptions()
    height, width = shape
    frame = Frame(image_stars.x - 0.5 * (width - 1), image_stars.y - 0.5 * (height - 1), width, height)
    ranges = scale_bands(scale_factor, opts.band)

    @cache
    def band(number: int) -> Band:
        low, high = ranges[number]
        return Band.cut(reference, frame, scale_deg=scale_deg, low=low, high=high, error_deg=pointing_error_deg)

    @cache
    def triangles(attempt: Attempt, number: int) -> TrianglePass:
        return TrianglePass(frame, attempt, band(number), opts)

    search = _Search(frame, opts, should_stop or (lambda: False))
    for attempt in opts.attempts:
        for part in opts.parts if len(ranges) > 1 else (1.0,):
            for number in range(len(ranges)):
                one = triangles(attempt, number)
                found = search.run(one, part)
                if found is not None:
                    return _start(found, one, image_stars, reference, shape, search.checks)
                if search.stopped:
                    return search.refusal()
    return search.refusal()


def scale_bands(factor: float, widest: float) -> list[tuple[float, float]]:
    """Cut [1 / factor, factor] into equal logarithmic bands no wider than ``widest``, the middle ones first."""
    count = max(1, math.ceil(2.0 * math.log(factor) / math.log(widest) - 1e-9))
    edges = np.exp(np.linspace(-math.log(factor), math.log(factor), count + 1))
    bands = [(float(low), float(high)) for low, high in itertools.pairwise(edges)]
    return sorted(bands, key=lambda band: round(abs(math.log(band[0] * band[1])), 9))


class _Search:
    """Counters, limits and the best refusal of one call of `match_start`."""

    def __init__(self, frame: Frame, options: MatchOptions, should_stop: Callable[[], bool]) -> None:
        self.frame, self.options, self.should_stop = frame, options, should_stop
        self.checks = self.verified = self.triangles = 0
        self.best = self.best_quick = NOT_A_MATCH
        self.best_refusal = self.stopped = ""

    def run(self, one: TrianglePass, part: float) -> Verification | None:
        """Go on with a pass until a hypothesis is accepted or the part is done."""
        while not self._out_of_budget():
            before, triangles_before = one.checks, one.triangles
            block = one.next_block(part, self.options.budget - self._spent())
            self.checks += one.checks - before
            self.triangles += one.triangles - triangles_before
            self.best_quick = max(self.best_quick, one.best_score)
            if not block:
                return None
            for hypothesis in block:
                found = self._verify(hypothesis, one)
                if found is not None:
                    return found
        return None

    def _verify(self, hypothesis: Hypothesis, one: TrianglePass) -> Verification | None:
        result = verify_hypothesis(self.frame, hypothesis, one.attempt.growth, one.band, self.options)
        self.verified += 1
        if result.accepted:
            return result
        if result.log_odds >= self.best:
            self.best, self.best_refusal = result.log_odds, result.refused
        return None

    def _spent(self) -> int:
        return self.checks + self.triangles // TRIANGLES_PER_CHECK + CHECKS_PER_VERIFICATION * self.verified

    def _out_of_budget(self) -> bool:
        if self._spent() >= self.options.budget:
            self.stopped = f"the budget of {self.options.budget} hypotheses was used up"
        elif self.should_stop():
            self.stopped = "the time limit was reached"
        return bool(self.stopped)

    def refusal(self) -> NoMatch:
        """What the search has to say when it found nothing."""
        reasons = [f"{self.checks} hypotheses checked, {self.verified} verified"]
        if self.best_refusal:
            reasons.append(f"the best was refused: {self.best_refusal}")
        elif self.best_quick > NOT_A_MATCH:
            reasons.append(f"the best reached {self.best_quick:.1f} in the quick check, need {self.options.passing:g}")
        if self.stopped:
            reasons.append(self.stopped)
        best = max(self.best, min(self.best_quick, self.options.passing))
        return NoMatch(tuple(reasons), best, self.checks, self.verified, bool(self.stopped), self._spent())


def _start(
    found: Verification,
    one: TrianglePass,
    image: StarList,
    reference: ProjectedStars,
    shape: tuple[int, int],
    checks: int,
) -> StartMatch:
    """From centred pixels and plane pixels to pixels and degrees, and to the lists as given."""
    height, width = shape
    affine = np.asarray(found.affine) * one.band.nominal_deg
    affine[:, 2] -= affine[:, :2] @ np.array([0.5 * (width - 1), 0.5 * (height - 1)])
    sky = one.band.stars[found.pairs[:, 1]]
    pairs = np.column_stack([image.origin[found.pairs[:, 0]], reference.origin[sky]])
    attempt = f"{one.attempt.stars} stars, tolerance {one.attempt.ratio_tolerance:g}"
    plane = PlaneAffine(affine, reference.ra0_deg, reference.dec0_deg)
    return StartMatch(plane, found.log_odds, pairs, found.rms_px, found.tested, checks, attempt)
