"""Which part of the sky a list of stars shows.

In: detected stars, reference stars on a tangent plane or an index of the whole sky, hints. Out: a `StartMatch`, an
affine map that `verification` believes, or the reason why there is none.
"""

from astrometry_service.algorithms.matching.all_sky_search import search_all_sky
from astrometry_service.algorithms.matching.pointing_search import ScaleRange, SearchOptions, search_around
from astrometry_service.algorithms.matching.sky_index import IndexOptions, build_sky_index
from astrometry_service.algorithms.matching.sky_lookup import sky_cone
from astrometry_service.algorithms.matching.tangent_plane import angular_distance_deg

__all__ = [
    "IndexOptions",
    "ScaleRange",
    "SearchOptions",
    "angular_distance_deg",
    "build_sky_index",
    "search_all_sky",
    "search_around",
    "sky_cone",
]
