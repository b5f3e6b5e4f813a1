"""What can go wrong in astrometry, by name.

::

    AlidadeError
    `-- InvalidRequestError
        |-- SourceListError        the detections cannot be used
        |-- ReferenceListError     the reference stars cannot be used
        |-- WcsHeaderError         a header's world coordinate system cannot be read
        |-- RefinementError        too few pairs, or nothing coherent, to fit
        |-- NothingToSolveError    a request without sources
        `-- IndexBuildError        index files could not be made
"""

from __future__ import annotations

from astro_shared.errors import InvalidRequestError

__all__ = ["IndexBuildError", "ReferenceListError", "RefinementError", "SourceListError", "WcsHeaderError"]


class SourceListError(InvalidRequestError):
    """The source list lacks columns or has no usable row; attribute ``count``."""

    code = "bad_source_list"


class ReferenceListError(InvalidRequestError):
    """The list of reference stars lacks columns or is empty; attribute ``count``."""

    code = "bad_reference_list"


class WcsHeaderError(InvalidRequestError):
    """The WCS of the header cannot be read; attribute ``problems``."""

    code = "bad_wcs"


class RefinementError(InvalidRequestError):
    """Too few star pairs for a fit; attributes ``found`` and ``needed``."""

    code = "too_few_pairs"


class NothingToSolveError(InvalidRequestError):
    """The request has no sources."""

    code = "nothing_to_solve"


class IndexBuildError(InvalidRequestError):
    """Index files could not be made; attribute ``program``."""

    code = "index_build_failed"
