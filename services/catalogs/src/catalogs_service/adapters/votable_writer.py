"""VOTables for the Virtual Observatory: tables, and errors as Simple Cone Search wants them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from catalogs_service.domain.columns import column_spec

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">\n'
_DATATYPES = {
    "float64": "double",
    "float32": "float",
    "int64": "long",
    "int32": "int",
    "int16": "short",
    "bool": "boolean",
}
# Simple Cone Search 1.03 marks its three columns with UCDs of the first generation.
_CONE_UCDS = {"source_id": "ID_MAIN", "ra": "POS_EQ_RA_MAIN", "dec": "POS_EQ_DEC_MAIN"}


def cone_votable(columns: Mapping[str, NDArray[Any]], *, description: str, overflow: bool = False) -> bytes:
    """The answer of a Simple Cone Search: one row per object, ``source_id`` as text."""
    fields = "".join(_field(name, values) for name, values in columns.items())
    rows = "".join(_rows(columns))
    tail = '<INFO name="QUERY_STATUS" value="OVERFLOW"/>\n' if overflow else ""
    text = (
        f'{_HEAD}<RESOURCE type="results">\n<DESCRIPTION>{escape(description)}</DESCRIPTION>\n'
        f'<INFO name="QUERY_STATUS" value="OK"/>\n<TABLE>\n{fields}<DATA><TABLEDATA>\n{rows}</TABLEDATA></DATA>\n</TABLE>\n'
        f"{tail}</RESOURCE>\n</VOTABLE>\n"
    )
    return text.encode("utf-8", errors="replace")


def error_votable(message: str) -> bytes:
    """An error as the standard says: an INFO named ``Error``, with status 200; the schema wants a RESOURCE too."""
    info = f'<INFO ID="Error" name="Error" value={quoteattr(message)}/>'
    return f'{_HEAD}{info}\n<RESOURCE type="results"/>\n</VOTABLE>\n'.encode()


def _field(name: str, values: NDArray[Any]) -> str:
    spec = column_spec(name)
    as_text = values.dtype.kind in "SOU" or name == "source_id"
    datatype = 'datatype="char" arraysize="*"' if as_text else f'datatype="{_DATATYPES[values.dtype.name]}"'
    ucd = _CONE_UCDS.get(name) or (spec.ucd if spec else "")
    unit = f" unit={quoteattr(spec.unit)}" if spec and spec.unit else ""
    described = f"<DESCRIPTION>{escape(spec.description)}</DESCRIPTION>" if spec else ""
    marked = f" ucd={quoteattr(ucd)}" if ucd else ""
    return f"<FIELD name={quoteattr(name)} {datatype}{marked}{unit}>{described}</FIELD>\n"


def _rows(columns: Mapping[str, NDArray[Any]]) -> Iterable[str]:
    cells = [_cells(values) for values in columns.values()]
    for row in zip(*cells, strict=True):
        yield "<TR>" + "".join(f"<TD>{cell}</TD>" for cell in row) + "</TR>\n"


def _cells(values: NDArray[Any]) -> list[str]:
    if values.dtype.kind == "f":
        return ["" if np.isnan(value) else repr(float(value)) for value in values]
    if values.dtype.kind == "b":
        return ["T" if value else "F" for value in values]
    if values.dtype.kind == "S":
        return [escape(value.decode("ascii", errors="replace")) for value in values]
    return [escape(str(value)) for value in values]
