"""The final tables for people: CSV, Parquet, ECSV and VOTable, each written in pieces of `BATCH_ROWS`.

One table, one column order, whatever the format. Numbers have the digits that a reader needs to get the same float32
or float64 back; a value that is not known is an empty cell in CSV, null in Parquet, NaN elsewhere.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from astropy.table import Column, Table

from astro_shared.contracts.tables import TableSchema
from astro_shared.csv_text import csv_text
from astro_shared.fits.tables import conform, read_columns
from astro_shared.votable import write_votable as stream_votable

__all__ = ["conform", "read_columns", "write_csv", "write_ecsv", "write_parquet", "write_votable"]

BATCH_ROWS = 16_384
Columns = Mapping[str, np.ndarray]


def write_csv(path: Path, columns: Columns) -> None:
    """Comma-separated, one header line, UTF-8. Cells that a spreadsheet would run as a formula are quoted by `'`."""
    with path.open("wb") as file:
        file.write((",".join(columns) + "\n").encode())
        _write_delimited(file, columns, ",", _csv_cells)


def write_ecsv(path: Path, columns: Columns, schema: TableSchema, meta: Mapping[str, Any]) -> None:
    """Enhanced CSV 1.0 with units, descriptions, UCDs and facts about the table."""
    head = io.StringIO()
    _described({name: values[:0] for name, values in columns.items()}, schema, meta).write(head, format="ascii.ecsv")
    with path.open("wb") as file:
        file.write(head.getvalue().encode())
        _write_delimited(file, columns, " ", _ecsv_cells)


def write_parquet(path: Path, columns: Columns, schema: TableSchema, meta: Mapping[str, Any]) -> None:
    """Parquet with unit, UCD and description of each column as field metadata; NaN becomes null."""
    fields, arrays = [], []
    for column in schema.columns:
        array = _with_nulls(columns[column.name])
        facts = {"unit": column.unit, "ucd": column.ucd, "description": column.description}
        fields.append(pa.field(column.name, array.type, metadata={k: v for k, v in facts.items() if v}))
        arrays.append(array)
    described = pa.schema(fields, metadata={name: str(value) for name, value in meta.items()})
    pq.write_table(pa.Table.from_arrays(arrays, schema=described), path, compression="zstd")


def write_votable(path: Path, columns: Columns, schema: TableSchema, meta: Mapping[str, Any]) -> None:
    """VOTable 1.4, BINARY2, with units, UCDs and descriptions."""
    with path.open("wb") as file:
        stream_votable(file, schema, _batches(columns), meta)


def _batches(columns: Columns) -> Iterator[Columns]:
    rows = len(next(iter(columns.values())))
    for start in range(0, rows, BATCH_ROWS):
        yield {name: values[start : start + BATCH_ROWS] for name, values in columns.items()}


def _write_delimited(
    file: io.BufferedIOBase, columns: Columns, delimiter: str, cells: Callable[[np.ndarray], pa.Array]
) -> None:
    options = pa_csv.WriteOptions(include_header=False, delimiter=delimiter, quoting_style="needed")
    for batch in _batches(columns):
        table = pa.table({name: cells(values) for name, values in batch.items()})
        pa_csv.write_csv(table, file, options)


def _csv_cells(values: np.ndarray) -> pa.Array:
    if values.dtype.kind in "SU":
        distinct = pa.array(values.astype(str)).dictionary_encode()
        texts = [csv_text(text) or None for text in distinct.dictionary.to_pylist()]
        return pa.array(texts, pa.string()).take(distinct.indices)
    return _with_nulls(values)


def _ecsv_cells(values: np.ndarray) -> pa.Array:
    """Text that is not known is an empty string in quotes; truth values as Python writes them."""
    if values.dtype.kind in "SU":
        return pa.array(values.astype(str))
    return pa.array(np.where(values, "True", "False")) if values.dtype.kind == "b" else pa.array(values)


def _with_nulls(values: np.ndarray) -> pa.Array:
    """Floats that are not known as null; text stays empty, since astropy's reader stumbles over null strings."""
    return pa.array(values, mask=np.isnan(values)) if values.dtype.kind == "f" else pa.array(values)


def _described(columns: Columns, schema: TableSchema, meta: Mapping[str, Any]) -> Table:
    """An astropy table with units, UCDs and descriptions."""
    table = Table(meta=dict(meta))
    for column in schema.columns:
        table[column.name] = Column(
            columns[column.name],
            unit=column.unit or None,
            description=column.description,
            meta={"ucd": column.ucd} if column.ucd else None,
        )
    return table
