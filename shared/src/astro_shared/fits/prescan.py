"""The layout of a FITS file from its bytes alone: every claim is held against what is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from astro_shared.fits.cards import BLOCK, RawHeader, read_header
from astro_shared.fits.errors import (
    ArchiveLimitError,
    FitsHeaderInvalidError,
    FitsHeaderLimitError,
    FitsSizeMismatchError,
    FitsTruncatedError,
)
from astro_shared.fits.limits import MIB, FitsLimits
from astro_shared.fits.tiles import check_descriptors, check_tiles
from astro_shared.frame_warnings import FrameWarning, WarningCode

BITPIX = (8, 16, 32, 64, -32, -64)


@dataclass(frozen=True)
class HduSummary:
    """One header and data unit.

    Attributes
    ----------
    kind
        ``image``, ``compressed_image``, ``table`` or ``other``.
    shape
        Of an image, numpy order (..., ny, nx); empty without data and for tables.
    bitpix
        Of the image (after decompression).
    data_bytes
        Without padding.
    """

    index: int
    name: str
    version: int
    kind: str
    shape: tuple[int, ...]
    bitpix: int
    header: RawHeader
    data_bytes: int

    @property
    def has_image(self) -> bool:
        """Whether there are pixels of at least two axes."""
        return self.kind in ("image", "compressed_image") and len(self.shape) >= 2 and 0 not in self.shape


@dataclass(frozen=True)
class FitsReport:
    """What the pre-scan found.

    Attributes
    ----------
    size
        Bytes of the plain file.
    packing
        ``"gzip"`` or None.
    """

    size: int
    packing: str | None
    hdus: tuple[HduSummary, ...]
    warnings: tuple[FrameWarning, ...]

    @property
    def images(self) -> tuple[HduSummary, ...]:
        """The HDUs with pixels of at least two axes."""
        return tuple(hdu for hdu in self.hdus if hdu.has_image)


def scan_file(file: BinaryIO, size: int, *, limits: FitsLimits, packing: str | None = None) -> FitsReport:
    """Walk through all HDUs of a plain FITS file of ``size`` bytes.

    Raises
    ------
    FitsError
        Of the kind that fits; see `astro_shared.fits.errors`.
    """
    hdus: list[HduSummary] = []
    warnings: list[FrameWarning] = []
    offset = 0
    while True:
        if len(hdus) >= limits.max_hdus:
            raise FitsHeaderLimitError(f"The file has more than {limits.max_hdus} HDUs.", limit=limits.max_hdus)
        hdu = _summarise(file, offset, size, len(hdus), limits)
        hdus.append(hdu)
        end = hdu.header.data_offset + hdu.data_bytes
        offset = -(-end // BLOCK) * BLOCK
        if offset > size:
            warnings.append(WarningCode.FILE_STRUCTURE("the last data unit is not padded to a whole block"))
        if offset >= size:
            break
        file.seek(offset)
        following = file.read(BLOCK)
        if not following.startswith(b"XTENSION"):
            if following.strip(b"\0 "):
                told = f"{size - offset} bytes after the last HDU are ignored"
                warnings.append(WarningCode.FILE_STRUCTURE(told))
            break
    return FitsReport(size, packing, tuple(hdus), tuple(warnings))


def _summarise(file: BinaryIO, offset: int, size: int, index: int, limits: FitsLimits) -> HduSummary:
    """Read and check one HDU."""
    header = read_header(file, offset, size, limits)
    if index == 0 and not header.is_true("SIMPLE"):
        raise FitsHeaderInvalidError("The keyword SIMPLE is not T: the file does not follow the FITS standard.")
    extension = header.text("XTENSION") if index else "IMAGE"
    bitpix = header.integer("BITPIX")
    if bitpix not in BITPIX:
        raise FitsHeaderInvalidError(f"BITPIX = {bitpix} does not exist.", keyword="BITPIX", hdu=index)
    axes = _axes(header, "NAXIS", limits, is_image=extension == "IMAGE")
    data_bytes = _data_bytes(header, bitpix, axes, index, limits)
    _check_present(data_bytes, size - header.data_offset, index, limits)
    kind = {"IMAGE": "image", "BINTABLE": "table", "TABLE": "table"}.get(extension, "other")
    shape: tuple[int, ...] = ()
    if kind == "image":
        shape = tuple(reversed(axes))
        if shape and shape[-1] == 0:
            kind, shape = "other", ()  # random groups
    elif extension == "BINTABLE":
        columns = header.integer("TFIELDS")
        if not 0 <= columns <= limits.max_columns:
            raise FitsSizeMismatchError(f"The table claims {columns} columns.", columns=columns, hdu=index)
        if header.is_true("ZIMAGE"):
            kind, bitpix = "compressed_image", header.integer("ZBITPIX")
            shape = tuple(reversed(_axes(header, "ZNAXIS", limits, is_image=True)))
            _check_unpacked(shape, bitpix, index, limits)
            check_tiles(file, header, shape, limits)
        else:
            check_descriptors(file, header, FitsSizeMismatchError)
    return HduSummary(
        index, header.find_text("EXTNAME"), header.find_integer("EXTVER", 1), kind, shape, bitpix, header, data_bytes
    )


def _axes(header: RawHeader, keyword: str, limits: FitsLimits, *, is_image: bool) -> tuple[int, ...]:
    """Lengths of the axes, NAXIS1 first."""
    n = header.integer(keyword)
    if not 0 <= n <= limits.max_naxis:
        raise FitsHeaderInvalidError(f"{keyword} = {n} is outside 0 to {limits.max_naxis}.", keyword=keyword)
    axes = tuple(header.integer(f"{keyword}{k}") for k in range(1, n + 1))
    for k, length in enumerate(axes, start=1):
        if length < 0 or (is_image and length > limits.max_axis) or length >= 2**40:
            raise FitsHeaderInvalidError(f"{keyword}{k} = {length} is impossible.", keyword=f"{keyword}{k}")
    return axes


def _data_bytes(header: RawHeader, bitpix: int, axes: tuple[int, ...], index: int, limits: FitsLimits) -> int:
    """Bytes of the data unit as the header claims them."""
    groups = header.is_true("GROUPS") and bool(axes) and axes[0] == 0
    parameters, copies = header.integer("PCOUNT", 0), header.integer("GCOUNT", 1)
    if parameters < 0 or copies < 0 or (copies != 1 and not groups) or copies > limits.max_data_bytes:
        raise FitsHeaderInvalidError(f"PCOUNT = {parameters}, GCOUNT = {copies} are impossible.", hdu=index)
    if not axes:
        return 0
    product = 1
    for length in axes[1:] if groups else axes:
        product *= length
    if index == 0 and not groups:
        parameters = 0
    return abs(bitpix) // 8 * copies * (parameters + product)


def _check_present(claimed: int, present: int, index: int, limits: FitsLimits) -> None:
    """Hold the claimed size against the bytes that are there."""
    if claimed <= present and claimed <= limits.max_data_bytes:
        return
    facts = {"claimed": claimed, "present": present, "hdu": index}
    if claimed <= present:
        raise ArchiveLimitError(
            f"HDU {index} holds {claimed / MIB:.0f} MiB, the limit is {limits.max_data_bytes / MIB:.0f} MiB.", **facts
        )
    if claimed > limits.max_data_bytes:
        raise FitsSizeMismatchError(
            f"HDU {index} claims {claimed / MIB:.0f} MiB of data, the file has {present} bytes of it.", **facts
        )
    raise FitsTruncatedError(
        f"The file is truncated: HDU {index} needs {claimed} bytes of data and there are {present}; copy it again.",
        **facts,
    )


def _check_unpacked(shape: tuple[int, ...], bitpix: int, index: int, limits: FitsLimits) -> None:
    """Hold the size of a tile-compressed image against the limit."""
    if bitpix not in BITPIX:
        raise FitsHeaderInvalidError(f"ZBITPIX = {bitpix} does not exist.", keyword="ZBITPIX", hdu=index)
    unpacked = abs(bitpix) // 8
    for length in shape:
        unpacked *= length
    if unpacked > limits.max_data_bytes:
        raise ArchiveLimitError(
            f"The compressed image in HDU {index} unpacks to {unpacked / MIB:.0f} MiB, "
            f"the limit is {limits.max_data_bytes / MIB:.0f} MiB.",
            unpacked=unpacked,
            hdu=index,
        )
