"""Which reader a catalogue file needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from catalogs_service.adapters.tables.delimited import DelimitedFile
from catalogs_service.adapters.tables.fits import FitsFile
from catalogs_service.adapters.tables.parquet import ParquetFile
from catalogs_service.adapters.tables.tycho2_index import IndexFile, is_index_file
from catalogs_service.adapters.tables.votable import VotableFile
from catalogs_service.domain.raw_table import TableFile
from catalogs_service.errors import CatalogueFileError, EmptyCatalogueError

_PACKED = {
    b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"PK\x03\x04": "zip", b"\x1f\x9d": "compress",
    b"(\xb5/\xfd": "zstd",
}  # fmt: skip
_READERS: dict[str, Callable[[Path], TableFile]] = {
    "csv": DelimitedFile,
    "ecsv": DelimitedFile,
    "fits": FitsFile,
    "votable": VotableFile,
    "parquet": ParquetFile,
    "tycho2_index": IndexFile,
}


def open_catalogue(path: Path, file_format: str = "auto") -> TableFile:
    """Open a catalogue file by its content, or as the format that is said.

    Raises
    ------
    CatalogueFileError
        The file is packed, of no known format, or cannot be read; the message says what to do.
    """
    with path.open("rb") as stream:
        head = stream.read(8192)
    if not head:
        raise EmptyCatalogueError("The file is empty.", rows=0)
    for magic, name in _PACKED.items():
        if head.startswith(magic):
            raise CatalogueFileError(f"The file is packed with {name}: unpack it first.")
    reader = _READERS[_format(head) if file_format == "auto" else file_format]
    return reader(path)


def _format(head: bytes) -> str:
    if head.startswith(b"SIMPLE  ="):
        return "tycho2_index" if is_index_file(head) else "fits"
    if head.startswith(b"PAR1"):
        return "parquet"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith((b"<?xml", b"<vot:")) or b"<votable" in text[:200].lower():
        return "votable"
    if text[:15].lower().startswith((b"<!doctype html", b"<html")):
        raise CatalogueFileError("The file is a web page, not a catalogue.")
    return "csv"
