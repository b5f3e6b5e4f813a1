"""What an identification found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from catalogs_service.domain.questions import CatalogueAnswer

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class CatalogueMatches:
    """What became of one catalogue: its final status word and the number of sources it knows."""

    answer: CatalogueAnswer
    status: str
    matches: int


@dataclass(frozen=True, slots=True)
class Identification:
    """``matches`` has a row per candidate, ``identifications`` a row per source; ``statuses`` never lie.

    A catalogue that did not answer has no columns in ``identifications``: there is nothing to be read as "no match".
    """

    matches: Columns
    identifications: Columns
    statuses: tuple[CatalogueMatches, ...]
    identified: int
