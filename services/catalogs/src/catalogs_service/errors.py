"""What can go wrong in the catalogs service, by name.

::

    InvalidRequestError (422)
      CatalogueFileError            a file that cannot become a reference list
        MissingColumnsError
        BadValuesError
        EmptyCatalogueError
        TooManyRowsError
      RegionError                   a cone or polygon that makes no sense
      PositionsError                a position table that cannot be identified
      SurveysNotInstalledError      a worker without the extra that matches surveys
      SurveyMemoryError             a partition that does not fit into a process of the cluster
    NotFoundError (404)
      ReferenceListNotFoundError
    UnavailableError (503)
      ReferenceUnavailableError     no layer could give reference stars; says why, layer by layer
      ReferenceReplacedError        a list was replaced under a job that read it
    UpstreamError (502)
      QueryError                    one catalogue did not answer; ``cause`` says how
    InternalError (500)
      MirrorDamagedError            files of a mirror are missing or unreadable
"""

from __future__ import annotations

from astro_shared.errors import InternalError, InvalidRequestError, NotFoundError, UnavailableError, UpstreamError


class CatalogueFileError(InvalidRequestError):
    """The file cannot be read as a catalogue."""

    code = "catalogue_file_invalid"


class MissingColumnsError(CatalogueFileError):
    """The file lacks columns that a reference list needs."""

    code = "catalogue_columns_missing"


class BadValuesError(CatalogueFileError):
    """A column holds impossible values for its name."""

    code = "catalogue_values_invalid"


class EmptyCatalogueError(CatalogueFileError):
    """The file has no usable row."""

    code = "catalogue_empty"


class TooManyRowsError(CatalogueFileError):
    """The file has more rows than one list may have."""

    code = "catalogue_too_large"


class RegionError(InvalidRequestError):
    """The region of the sky is not valid."""

    code = "region_invalid"


class PositionsError(InvalidRequestError):
    """The table of positions cannot be used."""

    code = "positions_invalid"


class SurveysNotInstalledError(InvalidRequestError):
    """This installation has no LSDB."""

    code = "surveys_not_installed"


class SurveyMemoryError(InvalidRequestError):
    """The survey match ran out of memory."""

    code = "surveys_out_of_memory"


class ReferenceListNotFoundError(NotFoundError):
    """No reference list of that name is visible to the caller."""

    code = "reference_not_found"


class ReferenceUnavailableError(UnavailableError):
    """No source of reference stars is available now."""

    code = "reference_unavailable"


class ReferenceReplacedError(UnavailableError):
    """The reference list was replaced during the job; the next attempt uses the new one."""

    code = "reference_replaced"


class QueryError(UpstreamError):
    """A catalogue gave no usable answer; ``cause`` says why."""

    code = "catalogue_failed"


class MirrorDamagedError(InternalError):
    """A mirror on disk does not agree with its index."""

    code = "mirror_damaged"
