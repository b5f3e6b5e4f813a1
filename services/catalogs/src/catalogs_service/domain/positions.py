"""Places on the sky with their errors, as matching takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Placed(Protocol):
    """What lies somewhere on the sky (n,): ``ra, dec`` deg, ``error_arcsec`` one sigma per axis.

    Rows that are not finite are nowhere. The error may be one for all; None or NaN: unknown, counted as zero.
    """

    @property
    def ra(self) -> Floats: ...

    @property
    def dec(self) -> Floats: ...

    @property
    def error_arcsec(self) -> Floats | float | None: ...


@dataclass(frozen=True, slots=True)
class SkyPositions:
    """Places and nothing else; see `Placed`."""

    ra: Floats
    dec: Floats
    error_arcsec: Floats | float | None = None


@dataclass(frozen=True, slots=True)
class Positions:
    """Numbered places (n,), ICRS at the epoch of the exposure or match; see `Placed`."""

    id: NDArray[np.int64]
    ra: Floats
    dec: Floats
    error_arcsec: Floats

    def __len__(self) -> int:
        return len(self.id)

    def part(self, begin: int, end: int) -> Self:
        """Some rows in their order."""
        rows = slice(begin, end)
        return type(self)(self.id[rows], self.ra[rows], self.dec[rows], self.error_arcsec[rows])
