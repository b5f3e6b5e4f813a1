"""Pairs of a cross-match as a Parquet file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

_UNITS = {
    "left_ra": "deg", "left_dec": "deg", "right_ra": "deg", "right_dec": "deg", "sep_arcsec": "arcsec",
}  # fmt: skip


def write_crossmatch(path: Path, columns: Mapping[str, NDArray[Any]]) -> Path:
    """Columns of equal length, with units in the field metadata."""
    arrays = {name: pa.array(values) for name, values in columns.items()}
    fields = [
        pa.field(name, array.type, metadata={"unit": _UNITS[name]} if name in _UNITS else None)
        for name, array in arrays.items()
    ]
    pq.write_table(pa.Table.from_arrays(list(arrays.values()), schema=pa.schema(fields)), path, compression="zstd")
    return path
