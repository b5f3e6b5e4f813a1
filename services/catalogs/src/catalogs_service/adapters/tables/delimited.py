"""Text tables: CSV and its relatives, and ECSV."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import yaml

from catalogs_service.adapters.tables.arrow import numpy_column
from catalogs_service.adapters.tables.whole_file import WholeFile
from catalogs_service.domain.raw_table import RawColumns, TableHeader
from catalogs_service.errors import CatalogueFileError, EmptyCatalogueError

_NULLS = ["", "NULL", "null", "NaN", "nan", "NAN", "--", "-", "N/A", "n/a", "None", "none", "Infinity", "inf", "-inf"]
_TRUE, _FALSE = ["true", "True", "TRUE"], ["false", "False", "FALSE"]
_HEAD_BYTES = 1 << 20
_MOST_COLUMNS = 2000


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the text is laid out: where data begin, what separates them, what the columns are called."""

    skip_lines: int
    delimiter: str
    header: TableHeader
    any_blanks: bool = False


class DelimitedFile(WholeFile):
    """A CSV-like or ECSV file.

    Lines that begin with ``#`` are comments; names are in the first other line, or in the last comment when that line
    holds numbers only. Separators: comma, semicolon, tab, bar, or blanks.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as stream:
            head = stream.read(_HEAD_BYTES)
        if b"\x00" in head:
            raise CatalogueFileError("The file is not text: it holds zero bytes.")
        text = head.decode("utf-8", errors="replace").removeprefix("\ufeff")
        self._layout = _ecsv_layout(text) if text.startswith("# %ECSV") else _plain_layout(text)

    @property
    def header(self) -> TableHeader:
        return self._layout.header

    def read(self, names: tuple[str, ...]) -> RawColumns:
        layout = self._layout
        source: io.BytesIO | str = str(self._path)
        if layout.any_blanks:
            source = io.BytesIO(_blanks_to_tabs(self._path.read_bytes()))
        try:
            table = pacsv.read_csv(
                source,
                read_options=pacsv.ReadOptions(
                    skip_rows=layout.skip_lines, column_names=list(layout.header.names), block_size=1 << 22
                ),
                parse_options=pacsv.ParseOptions(
                    delimiter="\t" if layout.any_blanks else layout.delimiter, ignore_empty_lines=True
                ),
                convert_options=pacsv.ConvertOptions(
                    include_columns=list(names), null_values=_NULLS, true_values=_TRUE, false_values=_FALSE,
                    strings_can_be_null=False, timestamp_parsers=[], auto_dict_encode=False,
                ),
            )  # fmt: skip
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowKeyError, UnicodeDecodeError) as error:
            raise CatalogueFileError(f"The text table cannot be read: {_shortened(error)}") from None
        if table.num_rows == 0:
            raise EmptyCatalogueError("The file has column names but no row.", rows=0)
        return {name: numpy_column(table.column(name)) for name in names}


def _shortened(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _blanks_to_tabs(data: bytes) -> bytes:
    return b"\n".join(re.sub(rb"[ \t]+", b"\t", line.strip()) for line in data.splitlines())


def _plain_layout(text: str) -> _Layout:
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")), None)
    if first is None:
        raise EmptyCatalogueError("The file holds no table.", rows=0)
    delimiter = _delimiter(lines[first])
    cells, skip = _cells(lines[first], delimiter), first + 1
    if all(_is_number(cell) for cell in cells):
        if first == 0 or len(_cells(lines[first - 1].lstrip("# "), delimiter)) != len(cells):
            raise CatalogueFileError("The first line holds numbers: the file has no column names.")
        cells, skip = _cells(lines[first - 1].lstrip("# "), delimiter), first
    return _Layout(skip, delimiter, TableHeader(_unique(cells), format="csv"), any_blanks=delimiter == " ")


def _delimiter(line: str) -> str:
    counts = {mark: line.count(mark) for mark in (",", ";", "\t", "|")}
    best = max(counts, key=lambda mark: counts[mark])
    return best if counts[best] else " "


def _cells(line: str, delimiter: str) -> list[str]:
    if delimiter == " ":
        return line.split()
    return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter))]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell == ""
    return True


def _unique(cells: list[str]) -> tuple[str, ...]:
    if len(cells) > _MOST_COLUMNS:
        raise CatalogueFileError(f"The file has {len(cells)} columns; at most {_MOST_COLUMNS} are read.")
    names: list[str] = []
    for place, cell in enumerate(cells, start=1):
        name = cell[:200] or f"col{place}"
        names.append(name if name not in names else f"{name}_{place}")
    return tuple(names)


def _ecsv_layout(text: str) -> _Layout:
    lines = text.splitlines()
    block = [line for line in lines if line.startswith("#")]
    try:
        meta = yaml.safe_load(re.sub(r"!!?[A-Za-z:./]+", "", "\n".join(line[2:] for line in block[1:])))
        columns = meta["datatype"]
        names = tuple(str(column["name"]) for column in columns)
        units = {str(c["name"]): str(c["unit"]) for c in columns if c.get("unit")}
        descriptions = {str(c["name"]): str(c["description"]) for c in columns if c.get("description")}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise CatalogueFileError(f"The ECSV header cannot be read: {_shortened(error)}") from None
    delimiter = meta.get("delimiter", " ")
    if delimiter not in (" ", ","):
        raise CatalogueFileError(f"ECSV is separated by blanks or commas, not by {str(delimiter)[:10]!r}.")
    found = next(csv.reader([lines[len(block)]], delimiter=delimiter)) if len(lines) > len(block) else []
    if len(found) != len(names):
        raise CatalogueFileError(f"The ECSV header names {len(names)} columns, the table has {len(found)}.")
    return _Layout(len(block) + 1, delimiter, TableHeader(names, units, descriptions, "ecsv"))
