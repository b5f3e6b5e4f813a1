"""One table matched to another, or to a reference list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs_service.algorithms.canonical import canonical_stars, choose_columns
from catalogs_service.algorithms.epoch import propagated
from catalogs_service.algorithms.sky_match import MatchRadius, match_sky
from catalogs_service.domain.raw_table import TableFile
from catalogs_service.domain.stars import Stars
from catalogs_service.errors import TooManyRowsError
from catalogs_service.ports import StarList

NEEDED = ("source_id", "ra", "dec", "ra_error", "dec_error", "pmra", "pmdec", "pmra_error", "pmdec_error", "ref_epoch")


@dataclass(frozen=True, slots=True)
class Crossmatch:
    """Pairs as columns, and how many rows there were on each side."""

    columns: dict[str, NDArray[Any]]
    left_rows: int
    right_rows: int
    matched: int


class CrossmatchTables:
    """Matches any two lists of positions.

    Parameters
    ----------
    open_catalogue : opens a file of a format
    most_rows : of one side
    """

    def __init__(self, open_catalogue: Callable[[Path, str], TableFile], *, most_rows: int) -> None:
        self._open = open_catalogue
        self._most_rows = most_rows

    def run(
        self,
        left: Path,
        right: Path | StarList,
        *,
        radius: MatchRadius,
        every_pair: bool,
        epoch_jyear: float | None,
        report: Callable[[float, str, str], None] = lambda fraction, step, message: None,
    ) -> Crossmatch:
        """Match two sides.

        Raises
        ------
        CatalogueFileError
            A table cannot be read, has no positions or too many rows.
        """
        report(0.05, "read", "the first table")
        first = self._moved(self._table(left), epoch_jyear)
        report(0.3, "read", "the second table")
        second = self._moved(self._table(right) if isinstance(right, Path) else right.scan(NEEDED), epoch_jyear)
        report(0.6, "match", f"{len(first)} to {len(second)} rows")
        found = match_sky(
            first["ra"], first["dec"], second["ra"], second["dec"],
            error_arcsec=_error_arcsec(first), list_error_arcsec=_error_arcsec(second), radius=radius,
        )  # fmt: skip
        keep = np.ones(len(found), bool) if every_pair else found.best
        i, j = found.source[keep], found.entry[keep]
        columns = {
            "left_row": i, "left_id": first["source_id"][i], "right_row": j, "right_id": second["source_id"][j],
            "left_ra": first["ra"][i], "left_dec": first["dec"][i], "right_ra": second["ra"][j],
            "right_dec": second["dec"][j], "sep_arcsec": found.sep_arcsec[keep], "sep_sigma": found.sep_sigma[keep],
            "p_chance": found.p_chance[keep], "best": found.best[keep],
        }  # fmt: skip
        return Crossmatch(columns, len(first), len(second), int(found.best.sum()))

    def _table(self, path: Path) -> Stars:
        table = self._open(path, "auto")
        choice = choose_columns(table.header)
        raw = table.read(tuple(dict.fromkeys(choice.columns.values())))
        rows = len(next(iter(raw.values())))
        if rows > self._most_rows:
            raise TooManyRowsError(f"A table has {rows} rows; at most {self._most_rows} are matched.", rows=rows)
        # every row is kept in its place: rows are what the result refers to
        stars, _ = canonical_stars(raw, choice, table.header, keep_rows=True)
        return stars

    @staticmethod
    def _moved(stars: Stars, epoch_jyear: float | None) -> Stars:
        return stars if epoch_jyear is None else propagated(stars, epoch_jyear)


def _error_arcsec(stars: Stars) -> NDArray[np.float64] | None:
    if "ra_error" not in stars or "dec_error" not in stars:
        return None
    return np.asarray(np.fmax(stars["ra_error"], stars["dec_error"]) / 1000.0, float)
