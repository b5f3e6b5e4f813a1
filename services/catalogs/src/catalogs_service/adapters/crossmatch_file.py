"""Pairs of a cross-match as a Parquet file, written piece by piece."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

_INTEGER, _NUMBER = pa.int64(), pa.float64()
_DEG, _ARCSEC = {"unit": "deg"}, {"unit": "arcsec"}
_SCHEMA = pa.schema(
    [
        pa.field("left_row", _INTEGER), pa.field("left_id", _INTEGER), pa.field("right_row", _INTEGER),
        pa.field("right_id", _INTEGER), pa.field("left_ra", _NUMBER, metadata=_DEG),
        pa.field("left_dec", _NUMBER, metadata=_DEG), pa.field("right_ra", _NUMBER, metadata=_DEG),
        pa.field("right_dec", _NUMBER, metadata=_DEG), pa.field("sep_arcsec", _NUMBER, metadata=_ARCSEC),
        pa.field("sep_sigma", _NUMBER), pa.field("p_chance", _NUMBER), pa.field("best", pa.bool_()),
    ]
)  # fmt: skip


class CrossmatchFile:
    """The file, open for writing; a context manager."""

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(path, _SCHEMA, compression="zstd")

    def write(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Append rows: every column of the file, of one length."""
        self._writer.write_table(pa.table({name: columns[name] for name in _SCHEMA.names}, schema=_SCHEMA))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
