"""Cells of a VOTable by their declared types."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astro_shared.votable.errors import VotableError

Columns = dict[str, NDArray[Any]]

_INTEGER_RANGE = {"unsignedByte": (0, 255), "short": (-(2**15), 2**15 - 1), "int": (-(2**31), 2**31 - 1),
                  "long": (-(2**63), 2**63 - 1)}  # fmt: skip
_FLOATS = ("float", "double")
_BINARY = {"unsignedByte": "B", "short": "h", "int": "i", "long": "q", "float": "f", "double": "d", "boolean": "c",
           "char": "c", "unicodeChar": "2s", "bit": "B", "floatComplex": "8s", "doubleComplex": "16s"}  # fmt: skip
_LONGEST_ARRAY = 1 << 20


@dataclass(slots=True)
class VoField:
    """One FIELD."""

    name: str
    datatype: str = "char"
    arraysize: str = ""
    unit: str = ""
    ucd: str = ""
    identifier: str = ""
    description: str = ""
    null: str | None = None

    @classmethod
    def from_attributes(cls, name: str, attributes: dict[str, str]) -> VoField:
        """A field as its element declares it."""
        datatype = attributes.get("datatype", "char")
        if datatype not in _BINARY:
            raise VotableError(f"Field {name[:60]} has the unknown type {datatype[:30]!r}.")
        return cls(
            name[:200], datatype, attributes.get("arraysize", ""), attributes.get("unit", ""), attributes.get("ucd", ""),
            attributes.get("ID", ""),
        )  # fmt: skip

    @property
    def is_text(self) -> bool:
        return self.datatype in ("char", "unicodeChar")

    @property
    def is_array(self) -> bool:
        return self.arraysize not in ("", "1") and not self.is_text


def decode_text(fields: list[VoField], rows: list[list[str | None]]) -> Columns:
    """Columns of TABLEDATA rows; arrays stay text."""
    return {f.name: _column([row[place] for row in rows], f) for place, f in enumerate(fields)}


def _column(cells: list[str | None], field: VoField) -> NDArray[Any]:
    texts = ["" if cell is None else cell.strip() for cell in cells]
    if field.is_text or field.is_array:
        return np.array(texts, dtype=object) if texts else np.empty(0, object)
    missing = [text == "" or text == field.null or text.lower() == "nan" for text in texts]
    if field.datatype == "boolean":
        return np.array([text.lower() in ("t", "1", "true") for text in texts], dtype=bool)
    if field.datatype in _FLOATS:
        return _numbers(texts, missing, field)
    return _integers(texts, missing, field)


def _numbers(texts: list[str], missing: list[bool], field: VoField) -> NDArray[np.float64]:
    try:
        return np.array(["nan" if lost else text for text, lost in zip(texts, missing, strict=True)], dtype=np.float64)
    except ValueError as error:
        raise VotableError(f"Field {field.name} holds something that is not a number: {error}.") from None


def _integers(texts: list[str], missing: list[bool], field: VoField) -> NDArray[Any]:
    low, high = _INTEGER_RANGE.get(field.datatype, _INTEGER_RANGE["long"])
    values = np.zeros(len(texts), np.int64)
    for row, text in enumerate(texts):
        if missing[row]:
            continue
        try:
            value = int(text, 0) if text.startswith(("0x", "0X")) else int(text)
        except ValueError:
            raise VotableError(f"Field {field.name} holds {text[:40]!r}, which is not an integer.") from None
        if not low <= value <= high:
            raise VotableError(f"Field {field.name} holds {value}, beyond its type {field.datatype}.")
        values[row] = value
    return _with_missing(values, np.array(missing, bool))


def _with_missing(values: NDArray[np.int64], missing: NDArray[np.bool_]) -> NDArray[Any]:
    """Integers with gaps become float64 unless that would change one: then a gap is zero."""
    if not missing.any() or np.any(np.abs(values) >= 2**53):
        return values
    return np.where(missing, np.nan, values.astype(np.float64))


def decode_binary(fields: list[VoField], raw: bytes, *, with_nulls: bool, most_rows: int) -> Columns:
    """Columns of a BINARY or BINARY2 stream, row by row since cells have their own lengths."""
    cells: list[list[Any]] = [[] for _ in fields]
    place, mask_bytes = 0, (len(fields) + 7) // 8 if with_nulls else 0
    try:
        while place < len(raw):
            if len(cells[0]) >= most_rows:
                raise VotableError(f"The VOTable has more than {most_rows} rows.")
            mask = raw[place : place + mask_bytes]
            place += mask_bytes
            for column, f in enumerate(fields):
                value, place = _binary_cell(raw, place, f)
                lost = with_nulls and bool(mask[column // 8] & (0x80 >> (column % 8)))
                cells[column].append(None if lost else value)
    except (struct.error, IndexError):
        raise VotableError("The VOTable's stream ends inside a row.") from None
    return {f.name: _binary_column(column, f) for f, column in zip(fields, cells, strict=True)}


def _length(field: VoField, raw: bytes, place: int) -> tuple[int, int]:
    size = field.arraysize
    if size.endswith("*"):
        (length,) = struct.unpack_from(">I", raw, place)
        if length > _LONGEST_ARRAY:
            raise VotableError(f"A cell of field {field.name} claims {length} elements.")
        return int(length), place + 4
    length = 1
    for part in size.split("x") if size else ():
        if not part.isdigit() or int(part) > _LONGEST_ARRAY:
            raise VotableError(f"Field {field.name} has the array size {size[:30]!r}.")
        length *= int(part)
    return length, place


def _binary_cell(raw: bytes, place: int, field: VoField) -> tuple[Any, int]:
    length, place = _length(field, raw, place)
    if field.datatype == "bit":
        length = (length + 7) // 8
    form = _BINARY[field.datatype]
    end = place + length * struct.calcsize(form)
    if end > len(raw):
        raise IndexError
    if field.is_text:
        text = raw[place:end].decode("utf-8" if field.datatype == "char" else "utf-16-be", errors="replace")
        return text.split("\x00", 1)[0].strip(), end
    values = struct.unpack_from(f">{length}{form}" if len(form) == 1 else f">{length * int(form[:-1])}s", raw, place)
    return (values[0] if length == 1 and not field.is_array else " ".join(map(str, values))), end


def _binary_column(cells: list[Any], field: VoField) -> NDArray[Any]:
    if field.is_text or field.is_array or field.datatype.endswith("Complex"):
        return np.array(["" if cell is None else str(cell) for cell in cells], dtype=object)
    if field.datatype == "boolean":
        return np.array([cell in (b"T", b"t", b"1") for cell in cells], dtype=bool)
    if field.datatype in _FLOATS:
        return np.array([np.nan if cell is None else cell for cell in cells], dtype=np.float64)
    missing = np.array([cell is None or str(cell) == field.null for cell in cells], bool)
    values = np.array([0 if lost else int(cell) for cell, lost in zip(cells, missing, strict=True)], dtype=np.int64)
    return _with_missing(values, missing)
