"""FITS binary tables between services: written and read by the schemas of ``astro_shared.contracts.tables``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from astro_shared.contracts.tables import Column, TableSchema
from astro_shared.fits.errors import FitsCorruptError, damage_named

Columns = Mapping[str, NDArray[Any]]

_FORMATS = {"float64": "D", "float32": "E", "int64": "K", "int32": "J", "int16": "I", "bool": "L"}


def read_columns(path: Path) -> dict[str, NDArray[Any]]:
    """Columns of the first table of a file: native byte order, text without padding.

    The table of header cards with which a FITS_LDAC file begins is passed over.

    Raises
    ------
    FitsCorruptError
        There is no table, or it can not be decoded.
    """
    with damage_named("The FITS table"), fits.open(path, memmap=False, disable_image_compression=True) as hdus:
        tables = [hdu for hdu in hdus if isinstance(hdu, fits.BinTableHDU) and hdu.name != "LDAC_IMHEAD"]
        if not tables:
            raise FitsCorruptError("The FITS file holds no table.")
        data = tables[0].data
        return {name: _native(np.asarray(data[name])) for name in data.dtype.names or ()}


def write_columns(path: Path, columns: Columns, schema: TableSchema, meta: Mapping[str, Any] | None = None) -> None:
    """Write exactly the columns of the schema that are there, in its order, with units and UCDs; others after them.

    Parameters
    ----------
    meta : header cards of the table
    """
    known = [column for column in schema.columns if column.name in columns]
    extra = [Column(name, _dtype_name(values)) for name, values in columns.items() if name not in schema.names()]
    made = [_fits_column(column, np.asarray(columns[column.name])) for column in (*known, *extra)]
    table = fits.BinTableHDU.from_columns(made, name=schema.name.upper())
    for number, column in enumerate(known, 1):
        if column.ucd:
            table.header[f"TUCD{number}"] = column.ucd
    for key, value in (meta or {}).items():
        table.header[key] = value
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path, overwrite=True)


def empty_column(column: Column, rows: int) -> NDArray[Any]:
    """What stands for 'not known' in a column: NaN, empty text, 0 or false."""
    if column.dtype == "str":
        return np.zeros(rows, "U1")
    if column.dtype.startswith("float"):
        return np.full(rows, np.nan)
    return np.zeros(rows, column.dtype)


def conform(columns: Columns, schema: TableSchema, rows: int) -> dict[str, NDArray[Any]]:
    """Exactly the columns of the schema, in its order and types; what is missing is 'not known'."""
    table: dict[str, NDArray[Any]] = {}
    for column in schema.columns:
        values = columns.get(column.name)
        if values is None:
            table[column.name] = empty_column(column, rows)
        else:
            table[column.name] = values.astype(str) if column.dtype == "str" else values.astype(column.dtype)
    return table


def _native(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind in "SU":
        return np.char.rstrip(values.astype(str))
    return values.astype(values.dtype.newbyteorder("="))


def _dtype_name(values: NDArray[Any]) -> str:
    return "str" if values.dtype.kind in "SU" else values.dtype.name


def _fits_column(column: Column, values: NDArray[Any]) -> fits.Column:
    if column.dtype == "str":
        # ASCII by the standard: what does not fit is escaped, not lost.
        text = (
            np.char.encode(values.astype(str), "ascii", errors="backslashreplace")
            if len(values)
            else values.astype("S1")
        )
        return fits.Column(column.name, f"{max(text.dtype.itemsize, 1)}A", array=text, unit=column.unit or None)
    code = _FORMATS[column.dtype]
    return fits.Column(column.name, code, array=values.astype(column.dtype), unit=column.unit or None)
