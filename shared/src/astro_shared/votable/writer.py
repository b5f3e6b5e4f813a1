"""VOTable 1.4 in BINARY2, written row by row as a stream: memory follows a batch of rows, not the table.

Written after the standard (Ochsenbein et al. 2019, VOTable 1.4, sections 4 and 5.4; Derriere et al. 2014, VOUnits 1.0).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from astro_shared.contracts.tables import Column, TableSchema

__all__ = ["vounit", "write_votable"]

Columns = Mapping[str, NDArray[Any]]
Bytes = NDArray[np.uint8]

_TYPES = {
    "float64": ("double", ">f8"),
    "float32": ("float", ">f4"),
    "int64": ("long", ">i8"),
    "int32": ("int", ">i4"),
    "int16": ("short", ">i2"),
    "bool": ("boolean", "S1"),
}
_REPLACEMENT = 0xFFFD
_FRAME = "icrs"
_LINE_BYTES = 3 * 1024  # base64 takes three at a time


def write_votable(file: BinaryIO, schema: TableSchema, batches: Iterable[Columns], meta: Mapping[str, Any]) -> None:
    """Write a table.

    Parameters
    ----------
    schema : columns in their order
    batches : rows in pieces; NaN stays NaN, text becomes ``unicodeChar``
    meta : facts about the table, written as PARAMs; ``epoch`` is also that of the coordinates
    """
    file.write(_head(schema, meta).encode())
    for line in _base64_lines(_rows(schema, columns) for columns in batches):
        file.write(line)
    file.write(b"</STREAM>\n</BINARY2>\n</DATA>\n</TABLE>\n</RESOURCE>\n</VOTABLE>\n")


def vounit(unit: str) -> str:
    """A unit of a FITS table as VOUnits writes it: powers by ``**``, units that it does not know in quotes."""
    powers = re.sub(r"(?<=[A-Za-z])(-?\d+)", r"**\1", unit)
    return re.sub(r"\belectron\b", "'electron'", powers)


def _head(schema: TableSchema, meta: Mapping[str, Any]) -> str:
    params = "".join(_param(name, value) for name, value in meta.items())
    fields = "".join(_field(column) for column in schema.columns)
    epoch = f" epoch={quoteattr(str(meta['epoch']))}" if "epoch" in meta else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n'
        f'<RESOURCE type="results">\n<COOSYS ID="{_FRAME}" system="ICRS"{epoch}/>\n'
        f"<TABLE name={quoteattr(schema.name)}>\n{params}{fields}<DATA>\n<BINARY2>\n"
        '<STREAM encoding="base64">\n'
    )


def _param(name: str, value: object) -> str:
    if isinstance(value, float):
        typed = f'datatype="double" value="{value!r}"'
    else:
        typed = f'datatype="unicodeChar" arraysize="*" value={quoteattr(str(value))}'
    return f"<PARAM ID={quoteattr(name)} name={quoteattr(name)} {typed}/>\n"


def _field(column: Column) -> str:
    kind = 'datatype="unicodeChar" arraysize="*"' if column.dtype == "str" else f'datatype="{_TYPES[column.dtype][0]}"'
    unit = f" unit={quoteattr(vounit(column.unit))}" if column.unit else ""
    ucd = f" ucd={quoteattr(column.ucd)}" if column.ucd else ""
    frame = f' ref="{_FRAME}"' if "pos.eq" in column.ucd else ""
    described = f"\n<DESCRIPTION>{escape(column.description)}</DESCRIPTION>\n" if column.description else ""
    return f"<FIELD name={quoteattr(column.name)} {kind}{unit}{ucd}{frame}>{described}</FIELD>\n"


def _rows(schema: TableSchema, columns: Columns) -> Bytes:
    """All rows of a batch one after the other: a bit per field (none is null), then its values, big endian."""
    rows = len(next(iter(columns.values())))
    no_nulls = np.zeros((rows, (len(schema.columns) + 7) // 8), np.uint8)
    parts: list[tuple[Bytes, NDArray[np.int64] | None]] = [(no_nulls, None)]
    parts += [_cells(np.asarray(columns[column.name]), column.dtype) for column in schema.columns]
    widths = [cells.shape[1] if used is None else used for cells, used in parts]
    starts = np.cumsum([np.broadcast_to(width, rows) for width in widths], axis=0).reshape(len(parts), rows)
    ends_of_rows = np.cumsum(starts[-1]) if rows else np.zeros(0, np.int64)
    out = np.empty(int(ends_of_rows[-1]) if rows else 0, np.uint8)
    begins = np.concatenate([[0], ends_of_rows[:-1]]) if rows else ends_of_rows
    for number, (cells, used) in enumerate(parts):
        here = begins + (starts[number - 1] if number else 0)
        offset = np.arange(cells.shape[1])
        place = here[:, None] + offset
        if used is None:
            out[place] = cells
        else:
            shown = offset < used[:, None]
            out[place[shown]] = cells[shown]
    return out


def _cells(values: NDArray[Any], dtype: str) -> tuple[Bytes, NDArray[np.int64] | None]:
    """Bytes of each cell, (rows, width), and how many of them count where that differs."""
    rows = len(values)
    if dtype != "str":
        typed = np.where(values, b"T", b"F") if dtype == "bool" else values
        packed = np.ascontiguousarray(typed, dtype=_TYPES[dtype][1])
        return packed.view(np.uint8).reshape(rows, packed.dtype.itemsize), None
    text = np.ascontiguousarray(values.astype(str))
    points = text.view(np.uint32).reshape(rows, text.dtype.itemsize // 4)
    used = np.char.str_len(text).astype(np.int64)
    units = np.where(points > 0xFFFF, _REPLACEMENT, points).astype(">u2")
    lengths = used.astype(">u4").reshape(rows, 1)
    cells = np.concatenate([lengths.view(np.uint8), np.ascontiguousarray(units).view(np.uint8)], axis=1)
    return cells, 4 + 2 * used


def _base64_lines(pieces: Iterable[Bytes]) -> Iterator[bytes]:
    """Lines of base64; what does not fill one goes with the next piece."""
    kept = b""
    for piece in pieces:
        data = kept + piece.tobytes()
        whole = len(data) // _LINE_BYTES * _LINE_BYTES
        for start in range(0, whole, _LINE_BYTES):
            yield base64.b64encode(data[start : start + _LINE_BYTES]) + b"\n"
        kept = data[whole:]
    yield base64.b64encode(kept) + b"\n"
