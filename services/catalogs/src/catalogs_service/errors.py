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
    """Columns without which there is no reference list."""

    code = "catalogue_columns_missing"


class BadValuesError(CatalogueFileError):
    """A column holds values that cannot be what its name says."""

    code = "catalogue_values_invalid"


class EmptyCatalogueError(CatalogueFileError):
    """No usable row."""

    code = "catalogue_empty"


class TooManyRowsError(CatalogueFileError):
    """More rows than the service takes in one list."""

    code = "catalogue_too_large"


class RegionError(InvalidRequestError):
    """A region of the sky that makes no sense."""

    code = "region_invalid"


class PositionsError(InvalidRequestError):
    """The table of positions cannot be used."""

    code = "positions_invalid"


class SurveysNotInstalledError(InvalidRequestError):
    """This installation has no LSDB."""

    code = "surveys_not_installed"


class SurveyMemoryError(InvalidRequestError):
    """The processes that match surveys have too little memory."""

    code = "surveys_out_of_memory"


class ReferenceListNotFoundError(NotFoundError):
    """No reference list of that name is visible to the caller."""

    code = "reference_not_found"


class ReferenceUnavailableError(UnavailableError):
    """No layer could give the reference stars."""

    code = "reference_unavailable"


class ReferenceReplacedError(UnavailableError):
    """A list is not the one any more that the work began with; the next attempt takes the new one."""

    code = "reference_replaced"


class QueryError(UpstreamError):
    """One catalogue did not give a usable answer; ``cause`` is a word of the contract."""

    code = "catalogue_failed"


class MirrorDamagedError(InternalError):
    """A mirror on disk is not as its index says."""

    code = "mirror_damaged"
