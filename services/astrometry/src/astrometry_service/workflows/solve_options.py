"""Numbers of the solving order."""

from __future__ import annotations

from dataclasses import dataclass, field

from astrometry_service.algorithms.matching import SearchOptions
from astrometry_service.algorithms.wcs import WcsCheckOptions

__all__ = ["SolveOptions"]


@dataclass(frozen=True)
class SolveOptions:
    """What `SolveFrame` may do, and for how long.

    Attributes
    ----------
    limit_s : everything on this machine together
    remote_limit_s : each engine that is elsewhere, after that
    engine_share : of ``limit_s``, for one call of an engine of this machine at most, and kept for all of them together
    blind : go on to engines and the whole sky when nothing nearer succeeds
    known_scale_factor : error of a scale that is called known
    free_scale_factor : error that the second step allows
    search_deg : how far around the pointing the third step looks, at least
    search_discs : discs of that search when each is a question to a remote catalogue
    widest_question_deg : largest radius of stars that the reference catalogue is asked for
    check : limits of a valid WCS
    search : options of the matcher's search
    """

    limit_s: float = 40.0
    remote_limit_s: float = 180.0
    engine_share: float = 0.25
    blind: bool = True
    known_scale_factor: float = 1.02
    free_scale_factor: float = 2.0
    search_deg: float = 10.0
    search_discs: int = 37
    widest_question_deg: float = 15.0
    check: WcsCheckOptions = field(default_factory=WcsCheckOptions)
    search: SearchOptions = field(default_factory=SearchOptions)
