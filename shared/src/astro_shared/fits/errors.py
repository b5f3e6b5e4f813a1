"""What can be wrong with a file from outside.

::

    InvalidRequestError
    `-- FitsError
        |-- UnsupportedMediaError    415  unsupported_media     not FITS, or packed in a way that is not accepted
        |-- ArchiveLimitError        413  archive_limit         unpacks to more than is allowed
        |-- FitsTruncatedError       422  fits_truncated        ends too early
        |-- FitsHeaderLimitError     422  fits_header_limit     header without end, too many cards or HDUs
        |-- FitsHeaderInvalidError   422  fits_header_invalid   structural keyword missing or impossible
        |-- FitsSizeMismatchError    422  fits_size_mismatch    claims more data than the file can hold
        |-- FitsCorruptError         422  fits_corrupt          pixels or tables that can not be decoded
        |-- FitsUnreadableError      422  fits_unreadable       crashed the process that read it
        |-- HduNotFoundError         422  hdu_not_found         no image where one was asked for
        `-- ImageUnusableError       422  image_unusable        read, but nothing can be measured on it
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from astropy.io import fits
from astropy.io.fits.hdu.compressed._compression import CfitsioException  # its decoders raise nothing else

from astro_shared.errors import InvalidRequestError

#: All that was seen to come out of astropy's readers in tens of thousands of damaged files.
READER_ERRORS = (
    CfitsioException, OSError, EOFError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, AssertionError,
    RuntimeError, MemoryError, BufferError, fits.VerifyError, struct.error, zlib.error,
)  # fmt: skip


class FitsError(InvalidRequestError):
    """The file cannot be used."""

    code = "fits_invalid"


class UnsupportedMediaError(FitsError):
    """The file is not FITS, or its compression is not supported."""

    code = "unsupported_media"
    status = 415


class ArchiveLimitError(FitsError):
    """The file is larger than allowed when uncompressed."""

    code = "archive_limit"
    status = 413


class FitsTruncatedError(FitsError):
    """The file is truncated."""

    code = "fits_truncated"


class FitsHeaderLimitError(FitsError):
    """The header has no END, or there are too many keywords or HDUs."""

    code = "fits_header_limit"


class FitsHeaderInvalidError(FitsError):
    """A mandatory keyword is missing or invalid."""

    code = "fits_header_invalid"


class FitsSizeMismatchError(FitsError):
    """The header describes more data than the file holds."""

    code = "fits_size_mismatch"


class FitsCorruptError(FitsError):
    """The pixels or tables cannot be decoded."""

    code = "fits_corrupt"


@contextmanager
def damage_named(what: str, **details: object) -> Iterator[None]:
    """Whatever the FITS library raises for a damaged file becomes a `FitsCorruptError` about ``what``."""
    try:
        yield
    except READER_ERRORS as error:
        reason = " ".join(str(error).split()).encode("ascii", "replace").decode()[:200] or type(error).__name__
        raise FitsCorruptError(f"{what} can not be decoded ({reason}).", **details) from error


class FitsUnreadableError(FitsError):
    """The file is so damaged that it crashes the FITS reader."""

    code = "fits_unreadable"


class HduNotFoundError(FitsError):
    """The file has no image in the requested HDU."""

    code = "hdu_not_found"


class ImageUnusableError(FitsError):
    """The image cannot be measured."""

    code = "image_unusable"
