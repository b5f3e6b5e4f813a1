"""Numbers of the triangle matcher."""

from __future__ import annotations

from dataclasses import dataclass, field

from astrometry_service.algorithms.matching.verification import VerificationOptions

__all__ = ["CHECKS_PER_VERIFICATION", "TRIANGLES_PER_CHECK", "Attempt", "MatchOptions"]

# The budget of a search is counted in quick checks (about 0.15 us of a processor): one full verification costs about as
# much as 5000 of them, and making and looking up ten triangles about as much as one.
CHECKS_PER_VERIFICATION = 5_000
TRIANGLES_PER_CHECK = 10


@dataclass(frozen=True)
class Attempt:
    """One setting of the search.

    Attributes
    ----------
    stars : brightest image stars that make triangles
    depth : catalogue stars per image star, at equal area
    ratio_tolerance : largest difference of a ratio of sides
    growth : pixels of error per pixel of distance from the triangle
    """

    stars: int
    depth: float
    ratio_tolerance: float
    growth: float


@dataclass(frozen=True)
class MatchOptions:
    """Numbers of the matcher; lengths are fractions of the image diagonal.

    Attributes
    ----------
    attempts : tried in this order, each through all bands of scale
    max_catalogue : catalogue stars that make triangles, at most
    neighbours : the longest side allowed holds about this many catalogue vertices within it
    longest_low, longest_high : limits of a triangle's longest side
    whole_frame_below : with at most so many image stars the longest side may be the whole diagonal
    thinnest : least shortest / longest side
    unmatched : share of image stars without a partner in the quick check
    give_up, passing : log-odds at which the quick check stops, and above which a hypothesis is verified
        The three stars of the triangle itself are not counted: by construction they fit.
    band : largest range of scale in one pass
    parts : shares of the catalogue vertices after which the other bands of scale get their turn
        The work grows with the cube of the share, so a wrong band costs little before the right one is looked at.
    max_triangles : catalogue triangles of one pass
    budget : work of the whole search in quick checks, about 2 s of one processor
    """

    attempts: tuple[Attempt, ...] = (
        Attempt(15, 1.3, 0.008, 0.006),
        Attempt(25, 1.6, 0.008, 0.006),
        Attempt(25, 1.6, 0.02, 0.02),
        Attempt(40, 2.0, 0.012, 0.012),
        Attempt(60, 2.5, 0.008, 0.006),
    )
    max_catalogue: int = 5000
    neighbours: float = 30.0
    longest_low: float = 0.05
    longest_high: float = 0.6
    whole_frame_below: int = 40
    thinnest: float = 0.12
    unmatched: float = 0.3
    give_up: float = -6.0
    passing: float = 6.0
    band: float = 1.45
    parts: tuple[float, ...] = (0.25, 0.5, 1.0)
    max_triangles: int = 1_500_000
    budget: int = 8_000_000
    verification: VerificationOptions = field(default_factory=VerificationOptions)
