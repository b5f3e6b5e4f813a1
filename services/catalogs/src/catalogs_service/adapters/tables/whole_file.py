"""Files whose format is read in one go."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from catalogs_service.domain.raw_table import RawColumns


class WholeFile(ABC):
    """A table that is read as a whole and handed out in pieces."""

    @abstractmethod
    def read(self, names: tuple[str, ...]) -> RawColumns:
        """Columns, as `TableFile` says."""

    def blocks(self, names: tuple[str, ...], rows: int) -> Iterator[RawColumns]:
        """The columns in pieces of at most so many rows."""
        raw = self.read(names)
        total = len(next(iter(raw.values())))
        for begin in range(0, total, rows):
            yield {name: values[begin : begin + rows] for name, values in raw.items()}
