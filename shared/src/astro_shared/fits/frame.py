"""The one front door for files from outside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from astro_shared.fits.companion_planes import find_companions, is_companion, judge_flags, judge_values
from astro_shared.fits.errors import HduNotFoundError
from astro_shared.fits.headers import inherit, original_text, read_cards
from astro_shared.fits.images import check_image, mask_and_fill
from astro_shared.fits.limits import DEFAULT_LIMITS, FitsLimits
from astro_shared.fits.media import PlainFile, open_plain
from astro_shared.fits.pixels import read_plane, read_values
from astro_shared.fits.prescan import FitsReport, HduSummary, scan_file
from astro_shared.fits.sky_cards import tidy_sky_cards
from astro_shared.frame_warnings import FrameWarning, WarningCode

AUTO = "auto"


@dataclass(frozen=True)
class RawFrame:
    """One image as it came, made safe.

    Attributes
    ----------
    data : (ny, nx), native float32, in the unit of the file
        Finite everywhere: masked pixels hold the median of the others.
    mask : (ny, nx)
        True where the file has NaN, infinity, BLANK or an absurd value, or the mask plane is set.
    header
        Cards of the HDU and, where it lacks them, of the primary header; texts sanitised; storage keywords replaced
        by BITPIX = -32, NAXIS = 2; world coordinates reduced to the sky or removed.
    warnings
        Sentences for the user.
    hdu_index
        Where the image was, 0 is the primary.
    shape
        (ny, nx).
    original_header
        Of the HDU, and after it of the primary HDU where that is another one, byte for byte as in the file.
    """

    data: NDArray[np.float32]
    mask: NDArray[np.bool_]
    header: fits.Header
    warnings: tuple[FrameWarning, ...]
    hdu_index: int
    shape: tuple[int, int]
    original_header: str = ""


@dataclass(frozen=True)
class FitsFile:
    """An opened and pre-scanned file; `read` gives its images one by one."""

    report: FitsReport
    _plain: PlainFile
    _limits: FitsLimits

    def find(self, hdu: int | str | None = None) -> HduSummary:
        """The image HDU asked for by number or name; by default the first one with pixels of two axes whose name does not
        make it a plane beside an image.

        Raises
        ------
        HduNotFoundError
        """
        images = self.report.images
        if hdu is None:
            if not images:
                raise HduNotFoundError("The file has no image of two axes.", hdus=len(self.report.hdus))
            return next((image for image in images if not is_companion(image)), images[0])
        for image in images:
            if image.index == hdu or (isinstance(hdu, str) and image.name.upper() == hdu.upper()):
                return image
        held = ", ".join(f"{image.index} {image.name}".strip() for image in images) or "none"
        raise HduNotFoundError(
            f"HDU {str(hdu)[:40]} is no image of two axes; the file has: {held}.", asked=str(hdu)[:40]
        )

    def read(
        self,
        hdu: int | str | None = None,
        *,
        mask_hdu: int | str | None = None,
        mask_bits: int = -1,
        check: bool = True,
    ) -> RawFrame:
        """Read one image.

        Parameters
        ----------
        hdu
            Number or name; the first image by default.
        mask_hdu
            Number or name of a data-quality plane of the same shape; pixels with any of ``mask_bits`` are masked.
            ``auto``: planes of quality, errors and weights are found by their names (`companion_planes`).
        check
            Whether to insist that something can be measured on it (`check_image`); off for masters and masks.

        Raises
        ------
        HduNotFoundError, FitsCorruptError, ImageUnusableError
        """
        summary = self.find(hdu)
        data = read_plane(self._plain.file, summary, self._limits)
        header, notes = self._header(summary)
        notes = [*self.report.warnings, *notes]
        planes = int(np.prod(summary.shape[:-2]))
        if planes > 1:
            notes.append(WarningCode.FIRST_PLANE_USED(f"the image has {planes} planes, the first is used"))
        mask = mask_and_fill(data, limits=self._limits)
        if mask_hdu == AUTO:
            notes += self._companions(summary, data, mask, header)
        elif mask_hdu is not None:
            mask |= self._quality(mask_hdu, data.shape, mask_bits)
        if check:
            check_image(data, mask, limits=self._limits)
        ny, nx = data.shape
        headers = [summary.header, *([self.report.hdus[0].header] if summary.index > 0 else [])]
        return RawFrame(data, mask, header, tuple(notes), summary.index, (ny, nx), original_text(headers))

    def _header(self, summary: HduSummary) -> tuple[fits.Header, list[FrameWarning]]:
        """The safe header of an image, and warnings."""
        header, notes = read_cards(summary.header)
        if summary.index > 0:
            primary, _ = read_cards(self.report.hdus[0].header)
            header = inherit(header, primary)
        header, more = tidy_sky_cards(header)
        ny, nx = summary.shape[-2:]
        storage = [("SIMPLE", True), ("BITPIX", -32), ("NAXIS", 2), ("NAXIS1", nx), ("NAXIS2", ny)]
        safe = fits.Header(storage)
        safe.extend(header.cards, end=True)
        return safe, notes + more

    def _companions(
        self, summary: HduSummary, data: NDArray[np.float32], mask: NDArray[np.bool_], header: fits.Header
    ) -> list[FrameWarning]:
        """Mark what the planes beside an image rule out, in place, and say so.

        Saturated pixels are not masked but put to one level, which the header then names.
        """
        found = find_companions(self.report.images, summary)
        notes = list(found.notes)
        if found.quality is not None:
            own, _ = read_cards(found.quality.header)
            told = inherit(own, header)
            bad, saturated, note = judge_flags(found.quality, self._values(found.quality), told)
            notes.append(note)
            if bad is not None:
                mask |= bad
            if saturated is not None and saturated.any():
                level = float(data[saturated].max())
                data[saturated] = level
                header["SATURATE"] = level
        for hdu, kind in ((found.errors, "errors"), (found.weights, "weights")):
            if hdu is not None:
                without, note = judge_values(hdu, self._values(hdu), kind)
                notes.append(note)
                if without is not None:
                    mask |= without
        return notes

    def _values(self, summary: HduSummary) -> NDArray[np.float64]:
        return np.asarray(read_values(self._plain.file, summary, self._limits), np.float64)

    def _quality(self, hdu: int | str, shape: tuple[int, ...], bits: int) -> NDArray[np.bool_]:
        """A data-quality plane as a mask."""
        summary = self.find(hdu)
        if summary.shape[-2:] != shape:
            raise HduNotFoundError(
                f"The mask in HDU {summary.index} has the shape {summary.shape[-2:]}, the image {shape}.",
                asked=str(hdu),
            )
        flags = self._values(summary)
        return np.asarray((np.nan_to_num(flags).astype(np.int64) & bits) != 0)


@contextmanager
def open_fits(path: Path, *, limits: FitsLimits = DEFAULT_LIMITS, scratch: Path | None = None) -> Iterator[FitsFile]:
    """Open a file from outside: unpacked within limits, every HDU pre-scanned.

    Raises
    ------
    FitsError
        Of the kind that fits; see `astro_shared.fits.errors`.
    """
    with open_plain(path, limits=limits, scratch=scratch) as plain:
        report = scan_file(plain.file, plain.size, limits=limits, packing=plain.packing)
        yield FitsFile(report, plain, limits)


def scan(path: Path, *, limits: FitsLimits = DEFAULT_LIMITS, scratch: Path | None = None) -> FitsReport:
    """Check the layout of a file without reading pixels."""
    with open_fits(path, limits=limits, scratch=scratch) as opened:
        return opened.report


def read_frame(
    path: Path,
    hdu: int | str | None = None,
    *,
    mask_hdu: int | str | None = None,
    mask_bits: int = -1,
    check: bool = True,
    limits: FitsLimits = DEFAULT_LIMITS,
    scratch: Path | None = None,
) -> RawFrame:
    """Read one image of a file; see `FitsFile.read`."""
    with open_fits(path, limits=limits, scratch=scratch) as opened:
        return opened.read(hdu, mask_hdu=mask_hdu, mask_bits=mask_bits, check=check)
