"""Parquet tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from catalogs_service.adapters.tables.arrow import numpy_column
from catalogs_service.domain.raw_table import RawColumns, TableHeader
from catalogs_service.errors import CatalogueFileError


class ParquetFile:
    """One Parquet file. Units are read from the field metadata ``unit`` where a writer put them."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = pq.ParquetFile(path, memory_map=True)
            schema = self._file.schema_arrow
        except (pa.ArrowException, OSError) as error:
            raise CatalogueFileError(f"The Parquet file cannot be read: {' '.join(str(error).split())[:200]}") from None
        facts = {field.name: _text_metadata(field) for field in schema}
        self.header = TableHeader(
            tuple(schema.names),
            {name: fact["unit"] for name, fact in facts.items() if fact.get("unit")},
            {name: fact["description"] for name, fact in facts.items() if fact.get("description")},
            "parquet",
        )

    def read(self, names: tuple[str, ...]) -> RawColumns:
        try:
            table = self._file.read(columns=list(names))
            return {name: numpy_column(table.column(name)) for name in names}
        except (pa.ArrowException, OSError, KeyError) as error:
            raise CatalogueFileError(f"The Parquet file is damaged: {' '.join(str(error).split())[:200]}") from None

    def blocks(self, names: tuple[str, ...], rows: int) -> Iterator[RawColumns]:
        try:
            for batch in self._file.iter_batches(rows, columns=list(names), use_threads=False):
                yield {name: numpy_column(pa.chunked_array([batch.column(name)])) for name in names}
        except (pa.ArrowException, OSError, KeyError) as error:
            raise CatalogueFileError(f"The Parquet file is damaged: {' '.join(str(error).split())[:200]}") from None


def _text_metadata(field: pa.Field) -> dict[str, str]:
    return {k.decode(errors="replace"): v.decode(errors="replace") for k, v in (field.metadata or {}).items()}
