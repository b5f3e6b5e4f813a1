"""A catalogue file becomes a reference list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from catalogs_service.algorithms.canonical import canonical_stars, choose_columns
from catalogs_service.domain.raw_table import TableFile
from catalogs_service.errors import TooManyRowsError
from catalogs_service.ports import ReferenceLists, Scope, StarList

Report = Callable[[float, str, str], None]


class ImportReference:
    """Reads a file, makes its columns canonical and keeps it as a list.

    Parameters
    ----------
    lists : where lists are kept
    open_catalogue : opens a file of a format
    most_rows : more than that is refused
    """

    def __init__(
        self, lists: ReferenceLists, open_catalogue: Callable[[Path, str], TableFile], *, most_rows: int
    ) -> None:
        self._lists = lists
        self._open = open_catalogue
        self._most_rows = most_rows

    def run(
        self,
        path: Path,
        *,
        name: str,
        source: str,
        scope: Scope,
        owner: str | None,
        file_format: str = "auto",
        columns: Mapping[str, str] | None = None,
        ref_epoch: float | None = None,
        report: Report = lambda fraction, step, message: None,
    ) -> StarList:
        """Import one file; ``source`` is the name that people gave it.

        Raises
        ------
        CatalogueFileError
            The file cannot become a list; the message says which column or row is to blame.
        """
        report(0.05, "open", "reading the columns")
        table = self._open(path, file_format)
        choice = choose_columns(table.header, columns)
        raw = table.read(tuple(dict.fromkeys(choice.columns.values())))
        rows = len(next(iter(raw.values())))
        if rows > self._most_rows:
            raise TooManyRowsError(
                f"The file has {rows} rows; a list takes at most {self._most_rows}.", rows=rows, limit=self._most_rows
            )
        report(0.4, "convert", f"{rows} rows")
        stars, notes = canonical_stars(raw, choice, table.header, ref_epoch=ref_epoch)
        report(0.6, "write", f"{len(stars)} stars")
        facts = {"source": source, "format": table.header.format, "missing": list(choice.missing), "notes": list(notes)}
        return self._lists.save(stars, name=name, scope=scope, owner=owner, facts=facts)
