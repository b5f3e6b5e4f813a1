"""Tile-compressed images: the table that holds them is checked before any decoder sees it.

A 14 kB HCOMPRESS stream that claims one pixel more than its tile corrupts the memory of the decoder in common use;
so do false sizes elsewhere. Here every row's descriptor is held against the heap and every HCOMPRESS stream's own
size against its tile.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from astro_shared.fits.cards import RawHeader
from astro_shared.fits.errors import ArchiveLimitError, FitsCorruptError, FitsError, FitsHeaderInvalidError
from astro_shared.fits.limits import MIB, FitsLimits

CODECS = ("RICE_1", "RICE_ONE", "GZIP_1", "GZIP_2", "PLIO_1", "HCOMPRESS_1", "NOCOMPRESS")
HCOMPRESS_MAGIC = b"\xdd\x99"
DEFLATE_MAX_RATIO = 1032  # of the deflate format
GZIP_TILE_FREE_BYTES = 64 * MIB  # tiles that can not unpack to more than this are not unpacked for a check

_FORM = re.compile(r"(\d*)([LXBIJKAEDCMPQ])(?:([LXBIJKAEDCM])(?:\(\d*\))?)?.*")
_WIDTH = {"L": 1, "B": 1, "A": 1, "I": 2, "J": 4, "E": 4, "K": 8, "D": 8, "C": 8, "M": 16, "P": 8, "Q": 16}


@dataclass(frozen=True)
class _Column:
    """One column of a binary table: where it begins in a row, and what its descriptors point to."""

    number: int
    offset: int
    descriptor: str  # "", "P" or "Q"
    element_bytes: float


def check_descriptors(file: BinaryIO, header: RawHeader, error: type[FitsError]) -> dict[int, NDArray[np.int64]]:
    """Hold the descriptors of variable-length columns against the heap.

    Returns
    -------
    (rows, 2) numbers of bytes and offsets in the heap, by column number.
    """
    columns = _columns(header)
    if not any(column.descriptor for column in columns):
        return {}
    row_bytes, n_rows = header.integer("NAXIS1"), header.integer("NAXIS2")
    heap_start = header.integer("THEAP", row_bytes * n_rows)
    heap_bytes = header.integer("PCOUNT", 0) - (heap_start - row_bytes * n_rows)
    if heap_start < row_bytes * n_rows or heap_bytes < 0:
        raise error("The heap of the table begins inside its rows or after its end.", keyword="THEAP")
    file.seek(header.data_offset)
    rows = np.frombuffer(file.read(row_bytes * n_rows), dtype=np.uint8).reshape(n_rows, row_bytes)
    found = {}
    for column in columns:
        if not column.descriptor:
            continue
        kind = ">i4" if column.descriptor == "P" else ">i8"
        width = 2 * np.dtype(kind).itemsize
        raw = np.ascontiguousarray(rows[:, column.offset : column.offset + width]).view(kind).astype(np.int64)
        count, start = raw[:, 0], raw[:, 1]
        too_far = (count < 0) | (start < 0) | (start > heap_bytes) | (count > 16 * (heap_bytes + 1))
        length = np.ceil(np.where(too_far, 0, count) * column.element_bytes).astype(np.int64)
        if (too_far | (start + length > heap_bytes) & (count > 0)).any():
            raise error(f"Column {column.number} points outside the heap of {heap_bytes} bytes.", heap=heap_bytes)
        found[column.number] = np.stack([length, start + header.data_offset + heap_start], axis=1)
    return found


def check_tiles(file: BinaryIO, header: RawHeader, shape: tuple[int, ...], limits: FitsLimits) -> None:
    """Check the tiles of a compressed image of ``shape`` (numpy order).

    Raises
    ------
    FitsHeaderInvalidError, FitsCorruptError, ArchiveLimitError
    """
    codec = header.text("ZCMPTYPE")
    if codec not in CODECS:
        raise FitsHeaderInvalidError(f"The compression {codec[:20]!r} is not known.", keyword="ZCMPTYPE")
    axes = shape[::-1]
    tile = tuple(header.integer(f"ZTILE{k}", n if k == 1 else 1) for k, n in enumerate(axes, start=1))
    for k, (length, whole) in enumerate(zip(tile, axes, strict=True), start=1):
        if not 1 <= length <= max(whole, 1):
            raise FitsCorruptError(f"Tiles of {length} pixels on an axis of {whole}.", keyword=f"ZTILE{k}")
    counts = [-(-whole // length) for whole, length in zip(axes, tile, strict=True)]
    n_tiles = int(np.prod(counts, dtype=object)) if axes and 0 not in axes else 0
    if header.integer("NAXIS2") != n_tiles:
        raise FitsCorruptError(
            f"The image needs {n_tiles} tiles, the table has {header.integer('NAXIS2')}.", tiles=n_tiles
        )
    descriptors = check_descriptors(file, header, FitsCorruptError)
    if not descriptors and n_tiles:
        raise FitsCorruptError("The compressed image has no column of compressed pixels.")
    sizes = _tile_pixels(axes, tile, counts)
    names = {number: header.find_text(f"TTYPE{number}") for number in descriptors}
    for number, table in descriptors.items():
        if names[number] == "COMPRESSED_DATA" and codec == "HCOMPRESS_1":
            _check_hcompress(file, table, sizes)
        elif names[number] == "GZIP_COMPRESSED_DATA" or codec.startswith("GZIP"):
            _check_gzip(file, table, sizes, limits)


def _columns(header: RawHeader) -> list[_Column]:
    """Layout of a binary table's rows.

    Raises
    ------
    FitsHeaderInvalidError
        A format that does not exist, or rows of another length than their columns.
    """
    columns, offset = [], 0
    for number in range(1, header.integer("TFIELDS") + 1):
        form = header.text(f"TFORM{number}").strip().upper()
        match = _FORM.fullmatch(form)
        if match is None or len(match[1]) > 12:
            raise FitsHeaderInvalidError(f"TFORM{number} = {form[:20]!r} does not exist.", keyword=f"TFORM{number}")
        repeat = int(match[1] or 1)
        descriptor = match[2] if match[2] in "PQ" else ""
        if descriptor and repeat > 1:
            raise FitsHeaderInvalidError(f"TFORM{number} = {form[:20]!r} repeats a descriptor.")
        element = 1 / 8 if match[3] == "X" else float(_WIDTH.get(match[3] or "B", 1))
        columns.append(_Column(number, offset, descriptor if repeat else "", element))
        offset += -(-repeat // 8) if match[2] == "X" else repeat * _WIDTH[match[2]]
    if offset != header.integer("NAXIS1"):
        raise FitsHeaderInvalidError(
            f"The columns need {offset} bytes per row, NAXIS1 says {header.integer('NAXIS1')}.", keyword="NAXIS1"
        )
    return columns


def _tile_pixels(axes: tuple[int, ...], tile: tuple[int, ...], counts: list[int]) -> NDArray[np.int64]:
    """(tiles,): pixels of each tile, those at the edges clipped; the first axis runs fastest."""
    sizes = np.ones(1, dtype=np.int64)
    for whole, length, n in zip(axes, tile, counts, strict=True):
        along = np.minimum(length, whole - length * np.arange(n, dtype=np.int64))
        sizes = (along[:, None] * sizes[None, :]).ravel()
    return sizes


def _check_hcompress(file: BinaryIO, table: NDArray[np.int64], sizes: NDArray[np.int64]) -> None:
    """Hold nx ny of each stream against its tile."""
    for (length, start), pixels in zip(table.tolist(), sizes.tolist(), strict=True):
        if length == 0:
            continue
        file.seek(start)
        head = file.read(min(length, 14))
        if len(head) < 14 or head[:2] != HCOMPRESS_MAGIC:
            raise FitsCorruptError("A tile does not hold an HCOMPRESS stream.")
        nx, ny = np.frombuffer(head[2:10], dtype=">i4").tolist()
        if nx < 1 or ny < 1 or nx * ny != pixels:
            raise FitsCorruptError(f"An HCOMPRESS stream claims {nx} x {ny} pixels for a tile of {pixels}.")


def _check_gzip(file: BinaryIO, table: NDArray[np.int64], sizes: NDArray[np.int64], limits: FitsLimits) -> None:
    """Unpack, within bounds, those gzip tiles that could be bombs."""
    for (length, start), pixels in zip(table.tolist(), sizes.tolist(), strict=True):
        if length * DEFLATE_MAX_RATIO <= GZIP_TILE_FREE_BYTES:
            continue
        file.seek(start)
        bound = min(8 * pixels, limits.max_data_bytes)
        if _unpacked_bytes(file.read(length), bound) > bound:
            raise ArchiveLimitError(f"A gzip tile of {pixels} pixels unpacks to more than {bound} bytes.")


def _unpacked_bytes(packed: bytes, bound: int) -> int:
    """Size of an unpacked stream, counted up to just beyond ``bound``."""
    unpacker, total = zlib.decompressobj(47), 0
    try:
        while packed and not unpacker.eof and total <= bound:
            total += len(unpacker.decompress(packed, MIB))
            packed = unpacker.unconsumed_tail
    except zlib.error as error:
        raise FitsCorruptError("A gzip tile can not be unpacked.") from error
    return total
