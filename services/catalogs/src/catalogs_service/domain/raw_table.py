"""A table of a file as it was found, before its columns mean anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from numpy.typing import NDArray

# Numbers come as float64 or int64 (missing: NaN; integers with missing values stay exact in ``missing``), text as object.
RawColumns = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class TableHeader:
    """Names of the columns of a file, with units and descriptions where the format has them."""

    names: tuple[str, ...]
    units: Mapping[str, str] = field(default_factory=dict)
    descriptions: Mapping[str, str] = field(default_factory=dict)
    format: str = ""


class TableFile(Protocol):
    """A file with one table."""

    @property
    def header(self) -> TableHeader:
        """What the columns are called."""
        ...

    def read(self, names: tuple[str, ...]) -> RawColumns:
        """Columns in native byte order: numbers as float64 or int64, flags as bool, text as object of str."""
        ...

    def blocks(self, names: tuple[str, ...], rows: int) -> Iterator[RawColumns]:
        """The same in pieces of at most so many rows."""
        ...
