"""What a file is by its first bytes, and bounded unpacking of gzip."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from astro_shared.fits.errors import ArchiveLimitError, FitsCorruptError, FitsTruncatedError, UnsupportedMediaError
from astro_shared.fits.limits import DEFAULT_LIMITS, MIB, FitsLimits

FITS_START = b"SIMPLE  ="
GZIP_MAGIC = b"\x1f\x8b"
HEAD_BYTES = 512

#: Packed formats that are refused by name: (first bytes, name, how to unpack).
_PACKED = (
    (b"BZh", "bzip2", "bunzip2"),
    (b"\xfd7zXZ\x00", "xz", "unxz"),
    (b"PK\x03\x04", "zip", "unzip"),
    (b"PK\x05\x06", "zip", "unzip"),
    (b"\x1f\x9d", "compress (.Z)", "uncompress"),
    (b"\x1f\xa0", "compress (.z)", "uncompress"),
    (b"(\xb5/\xfd", "zstd", "unzstd"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip", "7z x"),
    (b"Rar!", "RAR", "unrar x"),
    (b"\x04\x22\x4d\x18", "lz4", "unlz4"),
)

#: Other formats that people send by mistake.
_OTHER = (
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"II*\x00", "a TIFF picture or a raw photograph"),
    (b"MM\x00*", "a TIFF picture or a raw photograph"),
    (b"%PDF", "a PDF document"),
    (b"\x89HDF", "an HDF5 file"),
    (b"XISF0100", "an XISF image"),
    (b"LUCAM-RECORDER", "a SER video"),
    (b"#ASDF", "an ASDF file"),
    (b"XTENSION", "a FITS extension without its primary header"),
)


@dataclass(frozen=True)
class PlainFile:
    """An opened file of plain FITS bytes.

    Attributes
    ----------
    file
        Seekable, at its start.
    size
        Bytes.
    packing
        ``"gzip"`` or None.
    """

    file: BinaryIO
    size: int
    packing: str | None = None


def check_start(head: bytes) -> None:
    """Raise unless ``head``, the first bytes of a file, begins a plain FITS file.

    Raises
    ------
    FitsTruncatedError
        Nothing there, or the beginning of a FITS file and no more.
    UnsupportedMediaError
        Anything else.
    """
    if head.startswith(FITS_START):
        return
    for magic, name, command in _PACKED:
        if head.startswith(magic):
            raise UnsupportedMediaError(
                f"The file is packed with {name}, which is not accepted: unpack it first (for example with {command}) "
                "and send the plain FITS file, a .fits.gz or a tile-compressed .fits.fz.",
                media=name,
            )
    for magic, name in _OTHER:
        if head.startswith(magic):
            raise UnsupportedMediaError(f"The file is {name}, not FITS.", media=name)
    if head[257:262] == b"ustar":
        raise UnsupportedMediaError("The file is a tar archive: unpack it first and send the FITS file.", media="tar")
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<")):
        raise UnsupportedMediaError("The file is HTML or XML, not FITS.", media="html")
    if len(head) < 80 and FITS_START.startswith(head[: len(FITS_START)]):
        raise FitsTruncatedError(f"The file has {len(head)} bytes: nothing of a FITS header.", size=len(head))
    if len(head) < 80:
        raise FitsTruncatedError(f"The file has only {len(head)} bytes, a FITS header needs 2880.", size=len(head))
    raise UnsupportedMediaError("The file does not begin with SIMPLE  = as a FITS file does.", media="unknown")


@contextmanager
def open_plain(path: Path, *, limits: FitsLimits = DEFAULT_LIMITS, scratch: Path | None = None) -> Iterator[PlainFile]:
    """Open a file from outside as plain FITS; a gzip file is unpacked within limits.

    Parameters
    ----------
    path
        A local file; its name and suffix are not looked at.
    scratch
        Folder for the unpacked bytes; the file there has no name and is gone with the block.

    Raises
    ------
    UnsupportedMediaError, FitsTruncatedError, ArchiveLimitError
    """
    with path.open("rb") as source:
        head = source.read(HEAD_BYTES)
        source.seek(0)
        if not head.startswith(GZIP_MAGIC):
            check_start(head)
            yield PlainFile(source, path.stat().st_size)
            return
        with tempfile.TemporaryFile(dir=scratch) as target:
            size = _gunzip(source, target, limits)
            target.seek(0)
            inner = target.read(HEAD_BYTES)
            if inner.startswith(GZIP_MAGIC):
                raise UnsupportedMediaError("The file is packed with gzip twice: unpack it once.", media="gzip in gzip")
            check_start(inner)
            target.seek(0)
            yield PlainFile(target, size, "gzip")


def _gunzip(source: BinaryIO, target: BinaryIO, limits: FitsLimits) -> int:
    """Unpack all members of a gzip stream; bytes written. Stops as soon as a limit is passed."""
    written = packed = 0
    unpacker = zlib.decompressobj(31)

    def store(piece: bytes) -> None:
        nonlocal written
        written += len(piece)
        _check_unpacked(written, packed, limits)
        target.write(piece)

    try:
        while chunk := source.read(MIB // 4):
            packed += len(chunk)
            while chunk:
                if unpacker.eof:
                    if not chunk.startswith(GZIP_MAGIC[:1]):
                        return written  # padding after the last member
                    unpacker = zlib.decompressobj(31)
                store(unpacker.decompress(chunk, MIB))
                chunk = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
        while not unpacker.eof and (piece := unpacker.decompress(b"", MIB)):
            store(piece)
    except zlib.error as error:
        raise FitsCorruptError(
            f"The gzip stream is damaged after {written} unpacked bytes ({error}).", written=written
        ) from error
    if not unpacker.eof:
        raise FitsTruncatedError(f"The gzip stream ends early, after {written} unpacked bytes.", written=written)
    return written


def _check_unpacked(written: int, packed: int, limits: FitsLimits) -> None:
    """Raise when a stream unpacks to too much."""
    if written > limits.max_unpacked_bytes:
        raise ArchiveLimitError(
            f"The gzip file unpacks to more than {limits.max_unpacked_bytes // MIB} MiB.",
            limit=limits.max_unpacked_bytes,
        )
    if written > limits.ratio_free_bytes and written > limits.max_ratio * max(packed, 1):
        raise ArchiveLimitError(
            f"The gzip file unpacks to more than {limits.max_ratio:g} times its size.", limit=limits.max_ratio
        )
