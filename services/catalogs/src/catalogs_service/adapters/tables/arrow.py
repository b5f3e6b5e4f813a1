"""Arrow columns as plain numpy columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray


def numpy_column(column: pa.ChunkedArray) -> NDArray[Any]:
    """A column as float64, int64, bool or object of str; missing numbers are NaN, missing text is empty.

    An integer column with missing values becomes float64 unless that would change one of its values; then the missing
    ones become zero, since identifiers must stay exact.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_boolean(kind):
        return _filled(column, False).astype(bool)
    if pa.types.is_integer(kind):
        if column.null_count == 0:
            return np.asarray(column.to_numpy(), np.int64)
        largest = pc.max(pc.abs(column.cast(pa.int64()))).as_py() or 0
        if largest >= 2**53:
            return _filled(column.cast(pa.int64()), 0)
        return np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return np.asarray(column.cast(pa.float64()).to_numpy(), np.float64)
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    return np.asarray(_filled(column.cast(pa.string()), ""), object)


def _filled(column: pa.ChunkedArray, value: object) -> NDArray[Any]:
    return np.asarray(pc.fill_null(column, value).combine_chunks().to_numpy(zero_copy_only=False))
