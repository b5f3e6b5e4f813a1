"""A table of reference stars in memory, and what is asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Stars:
    """Columns of one length by canonical name; ``ra`` and ``dec`` (deg, ICRS at ``ref_epoch``) are always there."""

    columns: Columns

    def __len__(self) -> int:
        return len(self.columns["ra"])

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.columns)

    def take(self, rows: NDArray[Any]) -> Stars:
        """Rows by index or mask."""
        return Stars({name: values[rows] for name, values in self.columns.items()})

    def replaced(self, changes: Mapping[str, NDArray[Any]]) -> Stars:
        """The same table with some columns exchanged or added."""
        return Stars({**self.columns, **changes})


def concatenated(parts: list[Stars]) -> Stars:
    """One table of several that share the columns of the first."""
    if len(parts) == 1:
        return parts[0]
    return Stars({name: np.concatenate([part[name] for part in parts]) for name in parts[0].names})


@dataclass(frozen=True, slots=True)
class Selection:
    """Cuts on reference stars; None leaves a cut out."""

    mag_limit: float | None = None
    mag_band: str | None = None
    max_rows: int | None = None
    max_ruwe: float | None = None
    color_range: tuple[float, float] | None = None
    drop_duplicated: bool = False
    drop_variable: bool = False
    min_flux_over_error: float | None = None
    max_excess_sigma: float | None = None
    epoch_jyear: float | None = None
    propagate: bool = False


@dataclass(frozen=True, slots=True)
class SelectedStars:
    """What a region search found.

    ``found`` counts rows before ``max_rows``; ``skipped`` names cuts that could not be made and why; ``depth_mag`` is the
    G magnitude to which a remote place was asked.
    """

    stars: Stars
    found: int
    layer: str
    name: str
    release: str | None = None
    skipped: tuple[str, ...] = ()
    depth_mag: float | None = None

    @property
    def truncated(self) -> bool:
        return len(self.stars) < self.found
