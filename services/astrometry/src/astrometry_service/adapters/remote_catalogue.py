"""Reference stars through the parent process, which has network and credentials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from astro_shared.contracts.settings import ReferenceSettings
from astro_shared.fits.tables import read_columns
from astro_shared.frame_warnings import WarningCode
from astro_shared.jobs.task import TaskContext
from astrometry_service.domain.reference import ReferenceStars
from astrometry_service.errors import ReferenceListError
from astrometry_service.ports import ReferenceCone

QUESTION = "reference_stars"
MAX_RADIUS_DEG = 90.0

Columns = dict[str, NDArray[Any]]


class RemoteCatalogue:
    """A `ReferenceCatalogue` that asks the catalogs service through the task's parent.

    Every row that was seen is kept with all its columns, since later stages want magnitudes too.
    """

    def __init__(self, context: TaskContext, settings: ReferenceSettings) -> None:
        self._context = context
        self._settings = settings
        self._seen: list[Columns] = []

    def cone(
        self,
        ra_deg: float,
        dec_deg: float,
        radius_deg: float,
        *,
        mag_limit: float | None = None,
        max_rows: int | None = None,
        epoch_jyear: float | None = None,
    ) -> ReferenceCone:
        payload = {
            "name": self._settings.name,
            "release": self._settings.release,
            "ra_deg": float(ra_deg) % 360.0,
            "dec_deg": float(np.clip(dec_deg, -90.0, 90.0)),
            "radius_deg": float(min(radius_deg, MAX_RADIUS_DEG)),
            "mag_limit": self._settings.mag_limit if mag_limit is None else mag_limit,
            "max_rows": min(max_rows or self._settings.max_rows, self._settings.max_rows),
            "epoch_jyear": epoch_jyear,
        }
        answer = self._context.ask(QUESTION, payload)
        path = Path(answer["path"])
        columns, header = read_columns(path), fits.getheader(path, 1)
        if "source_id" not in columns or columns["source_id"].dtype.kind not in "iuSU":
            columns["source_id"] = _identifiers(columns["ra"], columns["dec"])
        self._seen.append(columns)
        skipped = [str(header[key]) for key in header if key.startswith("SKIP")]
        notes = tuple(map(WarningCode.REFERENCE_UNREACHABLE, skipped))
        layer = str(answer.get("layer") or header.get("REFLAYER", "list"))
        if len(columns["ra"]) == 0:
            raise ReferenceListError(f"{self._settings.name} has no stars there", count=0)
        return ReferenceCone(
            ReferenceStars.from_columns(columns), self._settings.name, layer, bool(header.get("TRUNC", False)), notes
        )

    def full_rows(self, stars: ReferenceStars) -> Columns | None:
        """All columns of stars that were seen, in their order; None where some of them came from elsewhere.

        A row is found by place and identifier together: lists repeat identifiers, and stars of the local all-sky list
        have numbers that mean other stars here.
        """
        if not self._seen:
            return None
        common = [name for name in self._seen[0] if all(name in columns for columns in self._seen)]
        table = {name: np.concatenate([columns[name] for columns in self._seen]) for name in common}
        seen = table["source_id"].size
        same = _same_star(
            np.concatenate([table["ra"], stars.ra]),
            np.concatenate([table["dec"], stars.dec]),
            np.concatenate([table["source_id"].astype(str), stars.source_id.astype(str)]),
        )
        row_of = np.full(same.size, -1, np.intp)
        row_of[same[:seen]] = np.arange(seen)
        rows = row_of[same[seen:]]
        return None if np.any(rows < 0) else {name: values[rows] for name, values in table.items()}


def _same_star(ra: NDArray[np.float64], dec: NDArray[np.float64], name: NDArray[np.str_]) -> NDArray[np.intp]:
    """A number for every row, the same for rows that agree in everything."""
    order = np.lexsort((name, dec, ra))
    new = np.zeros(order.size, bool)
    for values in (ra, dec, name):
        new[1:] |= values[order][1:] != values[order][:-1]
    out = np.empty(order.size, np.intp)
    out[order] = np.cumsum(new)
    return out


def _identifiers(ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]) -> NDArray[np.int64]:
    """Identifiers for a list that has none, or fractions: the position to a milliarcsecond, the same in every answer."""
    x, y = np.rint(ra_deg * 3.6e6).astype(np.int64), np.rint((dec_deg + 90.0) * 3.6e6).astype(np.int64)
    return x * np.int64(1 << 31) + y
