"""One ZIP with everything, for people."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

STORED = frozenset({".png", ".gz", ".fz", ".parquet", ".zip"})


def write_archive(path: Path, files: Mapping[str, Path]) -> None:
    """Members in order of name with a fixed date, so that equal files give an equal archive; packed files are stored."""
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(files):
            packed = Path(name).suffix in STORED
            member = zipfile.ZipInfo(name, date_time=(2000, 1, 1, 0, 0, 0))
            member.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
            member._compresslevel = 1  # type: ignore[attr-defined]  # public in Python 3.13; the archive's own is not used here
            member.external_attr = 0o644 << 16
            with files[name].open("rb") as source, archive.open(member, "w", force_zip64=True) as target:
                while chunk := source.read(1 << 20):
                    target.write(chunk)
