"""VOTables, ours or a stranger's, by a parser that cannot be led anywhere.

Entities, document types and streams with an address are refused, nesting, rows and size are bounded, numbers that do not
fit their type or cannot be read are errors rather than silently something else. TABLEDATA, BINARY and BINARY2 are read.
Own code since `astropy.io.votable` takes cut streams for short tables, guesses values and reserves what a field declares:
``docs/decisions/0006-own-votable-reader.md``.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.parsers import expat

from astro_shared.votable.cells import Columns, VoField, decode_binary, decode_text
from astro_shared.votable.errors import VotableError

MOST_BYTES = 64 << 20
MOST_ROWS = 5_000_000
MOST_DEPTH = 50
MOST_FIELDS = 2000


@dataclass(slots=True)
class VoTable:
    """One TABLE: its fields, and columns as float64, int64, bool or object of str."""

    fields: list[VoField] = field(default_factory=list)
    columns: Columns = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.fields)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))


@dataclass(slots=True)
class VoDocument:
    """Tables of a document and what it says of the query: ``status`` OK, ERROR, OVERFLOW or None, with its text."""

    tables: list[VoTable] = field(default_factory=list)
    infos: list[tuple[str, str]] = field(default_factory=list)
    status: str | None = None
    message: str = ""
    overflow: bool = False


def parse_votable(data: bytes) -> VoDocument:
    """Read a VOTable document.

    Raises
    ------
    VotableError
        Not well-formed, cut off, beyond a limit, or with something that is refused; the message says which.
    """
    if len(data) > MOST_BYTES:
        raise VotableError(f"The VOTable has {len(data)} bytes; at most {MOST_BYTES} are read.")
    reader = _Reader()
    try:
        reader.parser.Parse(data, True)
    except expat.ExpatError as error:
        raise VotableError(f"The VOTable is not well-formed or cut off: {error}.") from None
    if not reader.seen_root:
        raise VotableError("The document is not a VOTable.")
    return reader.document


class _Reader:
    """Handlers of one parse."""

    def __init__(self) -> None:
        self.document = VoDocument()
        self.seen_root = False
        self._path: list[str] = []
        self._text: list[str] = []
        self._collect = False
        self._table: VoTable | None = None
        self._row: list[str | None] = []
        self._rows: list[list[str | None]] = []
        self._encoding = ""
        self._info: dict[str, str] = {}
        parser = self.parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._refuse_declaration
        parser.EntityDeclHandler = self._refuse_declaration
        parser.ExternalEntityRefHandler = self._refuse_declaration

    def _refuse_declaration(self, *_: Any) -> int:
        raise VotableError("The VOTable declares a document type or an entity, which is refused.")

    def _characters(self, text: str) -> None:
        if self._collect:
            self._text.append(text)

    def _taken(self) -> str:
        text = "".join(self._text)
        self._text, self._collect = [], False
        return text

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rsplit(":", 1)[-1]
        self._path.append(name)
        if len(self._path) > MOST_DEPTH:
            raise VotableError(f"The VOTable is nested deeper than {MOST_DEPTH} elements.")
        if len(self._path) == 1:
            if name != "VOTABLE":
                raise VotableError(f"The document is not a VOTable: its root is <{name[:40]}>.")
            self.seen_root = True
        handler = getattr(self, f"_start_{name.lower()}", None)
        if handler is not None:
            handler(attributes)

    def _end(self, tag: str) -> None:
        name = self._path.pop()
        handler = getattr(self, f"_end_{name.lower()}", None)
        if handler is not None:
            handler()

    def _start_info(self, attributes: dict[str, str]) -> None:
        self._info, self._text, self._collect = attributes, [], True

    def _end_info(self) -> None:
        text, name = self._taken().strip(), self._info.get("name", "")
        value = self._info.get("value", "")
        if len(self.document.infos) < 1000:
            self.document.infos.append((name, (value or text)[:1000]))
        if name.upper() == "QUERY_STATUS":
            status = value.strip().upper()
            if status == "OVERFLOW":
                self.document.overflow = True
            if self.document.status != "ERROR":
                self.document.status, self.document.message = status, text[:500]
        elif name.lower() == "error" and self.document.status is None:
            self.document.status, self.document.message = "ERROR", (value or text)[:500]

    def _start_table(self, attributes: dict[str, str]) -> None:
        nrows = attributes.get("nrows", "").strip()
        if nrows and (not nrows.isdigit() or int(nrows) > MOST_ROWS):
            raise VotableError(f"The VOTable announces {nrows[:30]} rows; at most {MOST_ROWS} are read.")
        self._table, self._rows = VoTable(), []

    def _end_table(self) -> None:
        table, self._table = self._table, None
        if table is not None and table.fields:
            if not table.columns:
                table.columns = decode_text(table.fields, [])
            self.document.tables.append(table)

    def _start_field(self, attributes: dict[str, str]) -> None:
        if self._table is not None:
            if len(self._table.fields) >= MOST_FIELDS:
                raise VotableError(f"The VOTable has more than {MOST_FIELDS} fields.")
            taken = self._table.names
            name = attributes.get("name") or attributes.get("ID") or f"col{len(taken) + 1}"
            self._table.fields.append(VoField.from_attributes(name if name not in taken else f"{name}_2", attributes))

    def _start_description(self, _: dict[str, str]) -> None:
        self._text, self._collect = [], len(self._path) > 1 and self._path[-2] == "FIELD"

    def _end_description(self) -> None:
        text = self._taken()
        if self._table is not None and self._table.fields and self._path[-1] == "FIELD":
            self._table.fields[-1].description = " ".join(text.split())[:300]

    def _start_values(self, attributes: dict[str, str]) -> None:
        if self._table is not None and self._table.fields and len(self._path) > 1 and self._path[-2] == "FIELD":
            self._table.fields[-1].null = attributes.get("null")

    def _start_tr(self, _: dict[str, str]) -> None:
        self._row = []

    def _start_td(self, _: dict[str, str]) -> None:
        self._text, self._collect = [], True

    def _end_td(self) -> None:
        self._row.append("".join(self._text))
        self._text, self._collect = [], False

    def _end_tr(self) -> None:
        if len(self._rows) >= MOST_ROWS:
            raise VotableError(f"The VOTable has more than {MOST_ROWS} rows.")
        if self._table is None or len(self._row) != len(self._table.fields):
            wanted = 0 if self._table is None else len(self._table.fields)
            raise VotableError(f"A row of the VOTable has {len(self._row)} cells, not {wanted}.")
        self._rows.append(self._row)

    def _end_tabledata(self) -> None:
        if self._table is not None:
            self._table.columns, self._rows = decode_text(self._table.fields, self._rows), []

    def _start_binary(self, _: dict[str, str]) -> None:
        self._encoding = "binary"

    def _start_binary2(self, _: dict[str, str]) -> None:
        self._encoding = "binary2"

    def _start_stream(self, attributes: dict[str, str]) -> None:
        if "href" in attributes:
            raise VotableError("The VOTable refers to data at another address, which is not followed.")
        if attributes.get("encoding", "base64") != "base64":
            raise VotableError("The VOTable's stream is not in base64.")
        self._text, self._collect = [], True

    def _end_stream(self) -> None:
        try:
            raw = base64.b64decode("".join(self._taken().split()), validate=True)
        except binascii.Error:
            raise VotableError("The VOTable's stream is not valid base64.") from None
        if self._table is not None:
            self._table.columns = decode_binary(
                self._table.fields, raw, with_nulls=self._encoding == "binary2", most_rows=MOST_ROWS
            )


def read_votable(path: Path) -> VoTable:
    """The table of a file: its first one with rows, else its first one.

    Raises
    ------
    VotableError
        The file is too large, no VOTable, beyond a limit, without a table, or says that it reports an error.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise VotableError(
            f"The VOTable has {size >> 20} MB; at most {MOST_BYTES >> 20} are read. Use FITS or Parquet for larger lists."
        )
    document = parse_votable(path.read_bytes())
    if document.status == "ERROR":
        raise VotableError(f"The VOTable reports an error: {document.message or 'no text'}")
    if not document.tables:
        raise VotableError("The VOTable holds no table.")
    first = document.tables[0]
    return first if len(first) else max(document.tables, key=len)
