"""The final tables for people: CSV, Parquet, ECSV and VOTable.

One table, one column order, whatever the format. CSV numbers have the digits that a reader needs to get the same
float32 or, for positions, float64 back; a value that is not known is an empty cell.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io.votable import from_table, writeto
from astropy.io.votable.tree import Param, VOTableFile
from astropy.table import Column, Table

from astro_shared.contracts.tables import TableSchema
from astro_shared.csv_text import csv_text
from astro_shared.fits.tables import conform, read_columns

__all__ = ["conform", "read_columns", "to_table", "write_csv", "write_ecsv", "write_parquet", "write_votable"]


def write_csv(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    """Comma-separated, one header line, UTF-8. Cells that a spreadsheet would run as a formula are quoted by `'`."""
    cells = [_cells(values) for values in columns.values()]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*cells, strict=True))


def _cells(values: np.ndarray) -> Sequence[str]:
    kind = values.dtype.kind
    if kind == "f":
        form: Callable[[float], str] = repr if values.dtype == np.float64 else "{:.9g}".format
        return ["" if value != value else form(value) for value in values.tolist()]
    if kind == "b":
        return ["true" if value else "false" for value in values.tolist()]
    if kind in "SU":
        return [csv_text(text) for text in values.tolist()]
    return [str(value) for value in values.tolist()]


def write_parquet(path: Path, columns: Mapping[str, np.ndarray], schema: TableSchema, meta: Mapping[str, Any]) -> None:
    """Parquet with unit, UCD and description of each column as field metadata; NaN becomes null."""
    fields, arrays = [], []
    for column in schema.columns:
        values = columns[column.name]
        # text that is not known stays empty: astropy's reader stumbles over null strings
        missing = np.isnan(values) if values.dtype.kind == "f" else None
        array = pa.array(values, mask=missing) if missing is not None else pa.array(values)
        facts = {"unit": column.unit, "ucd": column.ucd, "description": column.description}
        fields.append(pa.field(column.name, array.type, metadata={k: v for k, v in facts.items() if v}))
        arrays.append(array)
    described = pa.schema(fields, metadata={name: str(value) for name, value in meta.items()})
    pq.write_table(pa.Table.from_arrays(arrays, schema=described), path, compression="zstd")


def to_table(columns: Mapping[str, np.ndarray], schema: TableSchema, meta: Mapping[str, Any]) -> Table:
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


def write_ecsv(path: Path, table: Table) -> None:
    table.write(path, format="ascii.ecsv", overwrite=True)


def _param(document: VOTableFile, name: str, value: object) -> Param:
    """A fact about the whole table, as the format writes it."""
    if isinstance(value, float):
        return Param(document, name=name, ID=name, value=value, datatype="double")
    return Param(document, name=name, ID=name, value=str(value), datatype="char", arraysize="*")


def write_votable(path: Path, table: Table) -> None:
    """VOTable 1.4, BINARY2, with the UCD of every field."""
    document = from_table(table)
    for resource in document.resources:
        for votable in resource.tables:
            for entry in votable.fields:
                entry.ucd = (table[entry.name].meta or {}).get("ucd")
            votable.params.extend(_param(document, name, value) for name, value in table.meta.items())
    writeto(document, str(path), tabledata_format="binary2")
