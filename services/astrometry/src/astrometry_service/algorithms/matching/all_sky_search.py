"""Find a field of which nothing is known, from a local list of stars alone.

Patterns of four image stars are looked up in a `SkyIndex`, brightest stars first, all levels in turn and both parities
at once. What passes a quick check against the level's stars is verified like any other match.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from astrometry_service.algorithms.matching._quads import QuadSearch
from astrometry_service.algorithms.matching.pointing_search import ScaleRange
from astrometry_service.algorithms.matching.sky_lookup import sky_cone
from astrometry_service.algorithms.matching.tangent_plane import project_stars
from astrometry_service.algorithms.matching.triangle_options import CHECKS_PER_VERIFICATION
from astrometry_service.algorithms.matching.triangle_passes import Frame, Hypothesis
from astrometry_service.algorithms.matching.verification import ReferenceField, VerificationOptions, verify_prediction
from astrometry_service.domain.plane_affine import PlaneAffine
from astrometry_service.domain.sky_index import IndexLevel, SkyIndex
from astrometry_service.domain.solving import NOT_A_MATCH, NoMatch, StartMatch
from astrometry_service.domain.star_lists import StarList

Floats = NDArray[np.float64]

__all__ = ["AllSkyOptions", "search_all_sky"]

MIN_STARS = 6
KEPT_HYPOTHESES = 32
# Fields wider than this are too much of the sky for one tangent plane and one disc of reference stars.
WIDEST_DEG = 60.0


@dataclass(frozen=True)
class AllSkyOptions:
    """Numbers of the search.

    Attributes
    ----------
    stars : image stars that make patterns: the brightest, then as many again spread evenly over the frame
    tolerance : of a code, as a distance in its four dimensions
    shortest : shortest base, as a fraction of the shorter side of the frame
    checked : bright stars of the quick check
    growth : pixels of error per pixel of distance from the pattern
    unmatched, give_up, passing : of the quick check, as in `MatchOptions`
    budget : work in quick checks; a verification counts as 5000
    """

    stars: int = 26
    tolerance: float = 0.01
    shortest: float = 0.12
    checked: int = 40
    growth: float = 0.006
    unmatched: float = 0.4
    give_up: float = -7.0
    passing: float = 9.0
    budget: int = 6_000_000
    verification: VerificationOptions = field(default_factory=VerificationOptions)


def search_all_sky(
    image_stars: StarList,
    index: SkyIndex,
    *,
    shape: tuple[int, int],
    scale: ScaleRange,
    options: AllSkyOptions | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> StartMatch | NoMatch:
    """Match detected stars with the whole sky.

    Parameters
    ----------
    image_stars : brightest first
    index : patterns and stars
    shape : (ny, nx), px
    scale : limits of the pixel scale; they may be far apart
    should_stop : asked now and then; the search ends when it says True

    Returns
    -------
    StartMatch
        Pairs count in the image list as first given and in ``index.sky``.
    NoMatch
        With the best refusal.
    """
    if len(image_stars) < MIN_STARS:
        return NoMatch((f"{len(image_stars)} image stars, need {MIN_STARS}",))
    opts = options or AllSkyOptions()
    highest = math.radians(min(scale.high_deg, WIDEST_DEG / max(shape)))
    limits = math.radians(scale.low_deg), highest
    search = _Search(image_stars, index, shape, limits, opts, should_stop or (lambda: False))
    for chosen in (np.arange(min(opts.stars, len(image_stars))), spread_evenly(image_stars, shape, opts.stars)):
        found = search.run(chosen)
        if found is not None or search.stopped:
            return found or search.refusal()
    return search.refusal()


def spread_evenly(stars: StarList, shape: tuple[int, int], count: int, boxes: int = 5) -> NDArray[np.intp]:
    """Stars taken from boxes x boxes parts of the frame in turn, each time the brightest that is left."""
    height, width = shape
    column = np.clip(stars.x / width * boxes, 0, boxes - 1).astype(np.int64)
    row = np.clip(stars.y / height * boxes, 0, boxes - 1).astype(np.int64)
    box = row * boxes + column
    turn = np.zeros(len(stars), dtype=np.int64)
    for number in np.unique(box):
        turn[box == number] = np.arange(np.count_nonzero(box == number))
    return np.asarray(np.argsort(turn, kind="stable")[:count], dtype=np.intp)


class _Search:
    """Counters, limits and the best refusal of one call of `search_all_sky`."""

    def __init__(
        self,
        image: StarList,
        index: SkyIndex,
        shape: tuple[int, int],
        limits: tuple[float, float],
        options: AllSkyOptions,
        should_stop: Callable[[], bool],
    ) -> None:
        self.image, self.index, self.limits, self.options, self.should_stop = image, index, limits, options, should_stop
        height, width = shape
        self.shape = shape
        self.frame = Frame(image.x - 0.5 * (width - 1), image.y - 0.5 * (height - 1), width, height)
        self.checks = self.verified = 0
        self.best, self.best_refusal, self.stopped = NOT_A_MATCH, "", ""

    def run(self, chosen: NDArray[np.intp]) -> StartMatch | None:
        """Patterns of the chosen stars; the quick check uses further bright ones behind them."""
        others = np.setdiff1d(np.arange(min(self.options.checked, len(self.image))), chosen)
        stars = np.concatenate([chosen, others])[: max(self.options.checked, chosen.size)]
        levels = [self._open(level, stars, chosen.size) for level in self.index.levels if self._serves(level)]
        passed = np.empty((KEPT_HYPOTHESES, 12))
        for faintest in range(3, chosen.size):
            for level in levels:
                before = level.checks
                found = level.advance(faintest, passed)
                self.checks += level.checks - before
                for row in passed[np.argsort(-passed[:found, 5], kind="stable")]:
                    match = self._verify(row)
                    if match is not None:
                        return match
            if self._out_of_budget():
                return None
        return None

    def _serves(self, level: IndexLevel) -> bool:
        """Whether a base of this level fits into the frame at some scale."""
        return (
            level.smallest <= self.limits[1] * self.frame.diagonal
            and 2.0 * level.smallest >= self.limits[0] * self._shortest
        )

    @property
    def _shortest(self) -> float:
        return self.options.shortest * min(self.shape)

    def _open(self, level: IndexLevel, stars: NDArray[np.intp], vertices: int) -> QuadSearch:
        opts = self.options
        return QuadSearch(
            np.ascontiguousarray(self.frame.x[stars]), np.ascontiguousarray(self.frame.y[stars]), level,
            vertices=vertices, tolerance=opts.tolerance, scale_low=self.limits[0], scale_high=self.limits[1],
            shortest=self._shortest, sigma=opts.verification.sigma_px, growth=opts.growth, unmatched=opts.unmatched,
            give_up=opts.give_up, passing=opts.passing,
        )  # fmt: skip

    def _verify(self, row: Floats) -> StartMatch | None:
        """Project the reference stars about the frame's centre and test the hypothesis there."""
        hypothesis, centre = Hypothesis.from_row(row), row[9:12]
        ra, dec = _sky_of(centre, hypothesis.beta)
        scale_deg = math.degrees(abs(hypothesis.alpha))
        reach = 0.6 * self.frame.diagonal * scale_deg
        self.verified += 1
        if reach > WIDEST_DEG:
            return None
        opts = self.options.verification
        x, y = self.frame.x[: opts.stars], self.frame.y[: opts.stars]
        disc = math.pi * (0.6 * self.frame.diagonal) ** 2 / (self.frame.width * self.frame.height)
        stars = sky_cone(self.index.sky, ra, dec, reach, max_rows=max(int(2.0 * x.size * disc), 20))
        if len(stars) < MIN_STARS:
            return None
        plane = project_stars(stars, ra, dec)
        places = _moved(hypothesis.predict(x, y), centre, ra, dec) / scale_deg
        sigma = hypothesis.sigma(x, y, opts.sigma_px, self.options.growth) / abs(hypothesis.alpha)
        result = verify_prediction(
            x, y, places, sigma, ReferenceField.build(plane.xi_deg / scale_deg, plane.eta_deg / scale_deg),
            disc_radius=math.inf, options=opts,
        )  # fmt: skip
        if not result.accepted or result.affine is None:
            if result.log_odds >= self.best:
                self.best, self.best_refusal = result.log_odds, result.refused
            return None
        affine = result.affine * scale_deg
        affine[:, 2] -= affine[:, :2] @ np.array([0.5 * (self.frame.width - 1), 0.5 * (self.frame.height - 1)])
        pairs = np.column_stack([self.image.origin[result.pairs[:, 0]], plane.origin[result.pairs[:, 1]]])
        attempt = f"patterns of {self.options.stars} stars"
        found = PlaneAffine(affine, ra, dec)
        return StartMatch(found, result.log_odds, pairs, result.rms_px, result.tested, self.checks, attempt)

    def _out_of_budget(self) -> bool:
        if self._spent() >= self.options.budget:
            self.stopped = f"the budget of {self.options.budget} hypotheses was used up"
        elif self.should_stop():
            self.stopped = "the time limit was reached"
        return bool(self.stopped)

    def _spent(self) -> int:
        return self.checks + CHECKS_PER_VERIFICATION * self.verified

    def refusal(self) -> NoMatch:
        """What the search has to say when it found nothing."""
        reasons = [f"{self.checks} hypotheses checked all over the sky, {self.verified} verified"]
        if self.best_refusal:
            reasons.append(f"the best was refused: {self.best_refusal}")
        if self.stopped:
            reasons.append(self.stopped)
        return NoMatch(tuple(reasons), self.best, self.checks, self.verified, bool(self.stopped), self._spent())


def _triad(centre: Floats) -> tuple[Floats, Floats]:
    """East and north at a unit vector; at a pole east is along x."""
    across = math.hypot(centre[0], centre[1])
    east = np.array([-centre[1], centre[0], 0.0]) / across if across >= 1e-12 else np.array([1.0, 0.0, 0.0])
    return east, np.cross(centre, east)


def _sky_of(centre: Floats, place: complex) -> tuple[float, float]:
    """Right ascension and declination, deg, of a place [rad] on the plane at a unit vector."""
    east, north = _triad(centre)
    vector = centre + place.real * east + place.imag * north
    vector /= np.linalg.norm(vector)
    return math.degrees(math.atan2(vector[1], vector[0])) % 360.0, math.degrees(math.asin(vector[2]))


def _moved(places: Floats, centre: Floats, ra_deg: float, dec_deg: float) -> Floats:
    """Places [rad] on the plane at one unit vector as places [deg] on the plane about another point; NaN far away."""
    east, north = _triad(centre)
    vectors = centre + places[:, :1] * east + places[:, 1:] * north
    ra, dec = math.radians(ra_deg), math.radians(dec_deg)
    target = np.array([math.cos(dec) * math.cos(ra), math.cos(dec) * math.sin(ra), math.sin(dec)])
    to_east, to_north = (
        np.array([-math.sin(ra), math.cos(ra), 0.0]),
        np.cross(target, [-math.sin(ra), math.cos(ra), 0.0]),
    )
    toward = vectors @ target
    toward = np.where(toward > 0.0, toward, 1e-9)
    return np.degrees(np.column_stack([vectors @ to_east, vectors @ to_north]) / toward[:, None])
