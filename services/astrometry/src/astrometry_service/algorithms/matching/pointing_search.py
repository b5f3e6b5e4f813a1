"""Look for a field around a pointing that may be many field widths off, and with a scale that may be unknown.

One call of the triangle matcher covers a disc of several field widths. Wider searches lay overlapping discs on rings
around the pointing, nearest first, each with its stars projected about its own centre.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from astrometry_service.algorithms.matching.tangent_plane import project_stars
from astrometry_service.algorithms.matching.triangle_matcher import match_start
from astrometry_service.algorithms.matching.triangle_options import MatchOptions
from astrometry_service.domain.solving import NOT_A_MATCH, NoMatch, StartMatch
from astrometry_service.domain.star_lists import SkyStars, StarList

ConeOfStars = Callable[[float, float, float], SkyStars]

__all__ = ["ScaleRange", "SearchOptions", "SearchOutcome", "disc_centres", "scale_steps", "search_around"]

# Discs of radius e on a hexagonal pattern cover the plane when their centres are sqrt(3) e apart; on rings that do not
# fit together so well they must be closer.
DISC_SPACING = 1.42
WIDEST_DISC_DEG = 6.0
# The widest factor between nominal and true scale that one call of the matcher takes well.
FACTOR_PER_CALL = 2.0
SCALE_KNOWN_FACTOR = 1.1
# Steps of an unknown scale are tried from this field width outwards.
TYPICAL_WIDTH_DEG = 1.0


@dataclass(frozen=True)
class ScaleRange:
    """Limits of the pixel scale, deg / px."""

    low_deg: float
    high_deg: float

    @property
    def nominal_deg(self) -> float:
        """Geometric mean."""
        return math.sqrt(self.low_deg * self.high_deg)

    @property
    def factor(self) -> float:
        """From the nominal scale to either limit."""
        return math.sqrt(self.high_deg / self.low_deg)


@dataclass(frozen=True)
class SearchOptions:
    """Numbers of the pointing search.

    Attributes
    ----------
    widths_per_disc : pointing error covered by one disc, in field widths, with the scale known
    widths_per_disc_free : the same with the scale free by more than 10 per cent
    max_discs : end of the search
    budget : of the matcher over the whole search, in quick checks
    match : options of every call of the matcher; its own budget is for one disc
    """

    widths_per_disc: float = 6.0
    widths_per_disc_free: float = 3.0
    max_discs: int = 500
    budget: int = 16_000_000
    match: MatchOptions = field(default_factory=MatchOptions)


@dataclass(frozen=True)
class SearchOutcome:
    """What was found, or the best refusal, and how much was looked at.

    ``reference`` is the list that the pairs of the match count in.
    """

    match: StartMatch | NoMatch
    reference: SkyStars | None
    discs: int
    searched_deg: float


def search_around(
    stars: StarList,
    cone: ConeOfStars,
    *,
    ra_deg: float,
    dec_deg: float,
    radius_deg: float,
    shape: tuple[int, int],
    scale: ScaleRange,
    options: SearchOptions | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> SearchOutcome:
    """Match a field on growing rings around a pointing.

    Parameters
    ----------
    stars : detected stars
    cone : (ra, dec, radius) in deg -> the reference stars of that disc, at the epoch of the exposure
    ra_deg, dec_deg, radius_deg : pointing and its error
    shape : (ny, nx), px
    scale : limits of the pixel scale; cut into steps of a factor 4 when wider
    """
    opts = options or SearchOptions()
    spent, discs, best, reached = 0, 0, NoMatch(("nothing was searched",)), 0.0
    for step in scale_steps(scale, TYPICAL_WIDTH_DEG / max(shape)):
        error = _disc_error(step, shape, radius_deg, opts)
        reach = 0.5 * math.hypot(*shape) * step.high_deg + error
        for centre_ra, centre_dec, distance in disc_centres(ra_deg, dec_deg, radius_deg, error):
            discs += 1
            reference = cone(centre_ra, centre_dec, min(1.03 * reach, 80.0))
            result = match_start(
                stars, project_stars(reference, centre_ra, centre_dec), shape=shape, scale_deg=step.nominal_deg,
                scale_factor=step.factor, pointing_error_deg=error,
                options=replace(opts.match, budget=min(opts.match.budget, opts.budget - spent)),
                should_stop=should_stop,
            )  # fmt: skip
            reached = max(reached, min(distance + error, radius_deg))
            if isinstance(result, StartMatch):
                return SearchOutcome(result, reference, discs, reached)
            best = result if result.best_log_odds > best.best_log_odds or best.best_log_odds == NOT_A_MATCH else best
            spent += result.spent
            if spent >= opts.budget or discs >= opts.max_discs or (should_stop is not None and should_stop()):
                return SearchOutcome(replace(best, stopped=True), None, discs, reached)
    return SearchOutcome(best, None, discs, reached)


def scale_steps(scale: ScaleRange, first_deg: float | None = None) -> list[ScaleRange]:
    """Cut a range of scales into equal steps of at most a factor 4, those near ``first_deg`` (or the middle) first."""
    span = math.log(scale.high_deg / scale.low_deg)
    count = max(1, math.ceil(span / (2.0 * math.log(FACTOR_PER_CALL)) - 1e-9))
    edges = scale.low_deg * np.exp(np.linspace(0.0, span, count + 1))
    steps = [ScaleRange(float(low), float(high)) for low, high in itertools.pairwise(edges)]
    middle = math.log(min(max(first_deg or scale.nominal_deg, scale.low_deg), scale.high_deg))
    return sorted(steps, key=lambda step: round(abs(math.log(step.nominal_deg) - middle), 9))


def _disc_error(step: ScaleRange, shape: tuple[int, int], radius_deg: float, opts: SearchOptions) -> float:
    """Pointing error that one call covers."""
    widths = opts.widths_per_disc if step.factor <= SCALE_KNOWN_FACTOR else opts.widths_per_disc_free
    widest = min(widths * max(shape) * step.low_deg, WIDEST_DISC_DEG)
    return min(radius_deg, max(widest, 1e-4))


def disc_centres(
    ra_deg: float, dec_deg: float, radius_deg: float, disc_deg: float
) -> Iterator[tuple[float, float, float]]:
    """Centres of overlapping discs that cover a circle on the sky, nearest first: (ra, dec, distance), deg."""
    yield ra_deg % 360.0, dec_deg, 0.0
    spacing = DISC_SPACING * disc_deg
    ring, covered = 1, disc_deg
    while covered < radius_deg - 0.1 * disc_deg and ring * spacing < 179.0:
        distance = ring * spacing
        around = max(6, math.ceil(2.0 * math.pi * math.sin(math.radians(distance)) / math.radians(spacing)))
        for number in range(around):
            yield (*_offset(ra_deg, dec_deg, distance, 2.0 * math.pi * (number + 0.5 * (ring % 2)) / around), distance)
        covered = (ring + 0.5) * spacing
        ring += 1


def _offset(ra_deg: float, dec_deg: float, distance_deg: float, angle: float) -> tuple[float, float]:
    """A point at a distance in a direction east of north (spherical triangle with the pole)."""
    dec0, distance = math.radians(dec_deg), math.radians(distance_deg)
    sin_dec = math.sin(dec0) * math.cos(distance) + math.cos(dec0) * math.sin(distance) * math.cos(angle)
    dec = math.asin(max(-1.0, min(1.0, sin_dec)))
    east = math.sin(angle) * math.sin(distance) * math.cos(dec0)
    ra = math.atan2(east, math.cos(distance) - math.sin(dec0) * sin_dec)
    return (ra_deg + math.degrees(ra)) % 360.0, math.degrees(dec)
