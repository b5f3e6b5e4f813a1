"""A VOTable as a catalogue file."""

from __future__ import annotations

from pathlib import Path

from astro_shared.votable import VotableError, read_votable
from catalogs_service.adapters.tables.whole_file import WholeFile
from catalogs_service.domain.raw_table import RawColumns, TableHeader
from catalogs_service.errors import CatalogueFileError


class VotableFile(WholeFile):
    """A VOTable on disk: its first table with rows, else its first table."""

    def __init__(self, path: Path) -> None:
        try:
            self._table = read_votable(path)
        except VotableError as error:
            raise CatalogueFileError(error.message) from None
        fields = self._table.fields
        self.header = TableHeader(
            self._table.names,
            {field.name: field.unit for field in fields if field.unit},
            {field.name: field.description for field in fields if field.description},
            "votable",
        )

    def read(self, names: tuple[str, ...]) -> RawColumns:
        return {name: self._table.columns[name] for name in names}
