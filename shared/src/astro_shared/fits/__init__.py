"""The one front door for FITS files from outside: pre-scan, bounded unpacking, safe reading, keyword aliases."""

from astro_shared.fits.errors import (
    ArchiveLimitError,
    FitsCorruptError,
    FitsError,
    FitsHeaderInvalidError,
    FitsHeaderLimitError,
    FitsSizeMismatchError,
    FitsTruncatedError,
    FitsUnreadableError,
    HduNotFoundError,
    ImageUnusableError,
    UnsupportedMediaError,
)
from astro_shared.fits.frame import FitsFile, RawFrame, open_fits, read_frame, scan
from astro_shared.fits.headers import clean_text, header_of_text, header_text
from astro_shared.fits.images import check_image, mask_and_fill
from astro_shared.fits.limits import DEFAULT_LIMITS, FitsLimits
from astro_shared.fits.prescan import FitsReport, HduSummary
from astro_shared.fits.sky_cards import has_sky, tidy_sky_cards

__all__ = [
    "DEFAULT_LIMITS",
    "ArchiveLimitError",
    "FitsCorruptError",
    "FitsError",
    "FitsFile",
    "FitsHeaderInvalidError",
    "FitsHeaderLimitError",
    "FitsLimits",
    "FitsReport",
    "FitsSizeMismatchError",
    "FitsTruncatedError",
    "FitsUnreadableError",
    "HduNotFoundError",
    "HduSummary",
    "ImageUnusableError",
    "RawFrame",
    "UnsupportedMediaError",
    "check_image",
    "clean_text",
    "has_sky",
    "header_of_text",
    "header_text",
    "mask_and_fill",
    "open_fits",
    "read_frame",
    "scan",
    "tidy_sky_cards",
]
