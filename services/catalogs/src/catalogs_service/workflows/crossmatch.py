"""One table matched to another, or to a reference list, with millions of rows on either side.

Both sides are read in pieces of which only position, error and identifier stay; the first is matched piece by piece, the
choice one to one is made over all pairs, and the pairs leave in pieces. Memory is about 32 bytes per row and 100 per pair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs_service.algorithms.canonical import canonical_stars, choose_columns, identifiers
from catalogs_service.algorithms.epoch import propagated
from catalogs_service.algorithms.sky_match import Candidates, MatchRadius, SkyPairs, one_to_one, sky_pairs
from catalogs_service.domain.positions import Positions
from catalogs_service.domain.raw_table import TableFile
from catalogs_service.domain.stars import Stars
from catalogs_service.errors import BadValuesError, EmptyCatalogueError, TooManyRowsError
from catalogs_service.ports import StarList

NEEDED = ("source_id", "ra", "dec", "ra_error", "dec_error", "pmra", "pmdec", "pmra_error", "pmdec_error", "ref_epoch")
ROWS_READ = 250_000
ROWS_MATCHED = 500_000

Columns = dict[str, NDArray[Any]]
Report = Callable[[float, str, str], None]


@dataclass(frozen=True, slots=True)
class Crossmatch:
    """How many rows there were on each side, how many pairs, and rows of the first with a best partner."""

    left_rows: int
    right_rows: int
    pairs: int
    matched: int


class CrossmatchTables:
    """Matches any two lists of positions.

    Parameters
    ----------
    open_catalogue : opens a file of a format
    most_rows : of one side
    rows_read, rows_matched : rows of a piece
    """

    def __init__(
        self,
        open_catalogue: Callable[[Path, str], TableFile],
        *,
        most_rows: int,
        rows_read: int = ROWS_READ,
        rows_matched: int = ROWS_MATCHED,
    ) -> None:
        self._open = open_catalogue
        self._most_rows = most_rows
        self._rows_read = rows_read
        self._rows_matched = rows_matched

    def run(
        self,
        left: Path,
        right: Path | StarList,
        *,
        radius: MatchRadius,
        every_pair: bool,
        epoch_jyear: float | None,
        write: Callable[[Columns], None],
        report: Report = lambda fraction, step, message: None,
    ) -> Crossmatch:
        """Match two sides; ``write`` gets the pairs in pieces, in the order of the first table.

        Raises
        ------
        CatalogueFileError
            A table cannot be read, has no positions or too many rows.
        """
        report(0.05, "read", "the first table")
        first = self._side(left, epoch_jyear)
        report(0.2, "read", "the second table")
        second = self._side(right, epoch_jyear)
        pieces = []
        for begin in range(0, len(first), self._rows_matched):
            report(0.3 + 0.5 * begin / len(first), "match", f"{begin} of {len(first)} rows to {len(second)}")
            pieces.append(_pairs(first, begin, begin + self._rows_matched, second, radius))
        best = one_to_one(
            *(np.concatenate([getattr(p, name) for p in pieces]) for name in ("source", "entry", "badness"))
        )
        report(0.85, "write", f"{len(best)} pairs")
        written, begin = 0, 0
        for piece in pieces:
            found = piece.ranked(best[begin : begin + len(piece)])
            begin += len(piece)
            columns = _columns(first, second, found, np.ones(len(found), bool) if every_pair else found.best)
            written += len(columns["left_row"])
            write(columns)
        return Crossmatch(len(first), len(second), written, int(best.sum()))

    def _side(self, given: Path | StarList, epoch_jyear: float | None) -> Positions:
        blocks = self._table(given) if isinstance(given, Path) else given.scan(NEEDED)
        parts: list[tuple[NDArray[Any], ...]] = []
        rows = 0
        for stars in blocks:
            rows += len(stars)
            if rows > self._most_rows and isinstance(given, Path):
                raise TooManyRowsError(f"A table has over {self._most_rows} rows, more than are matched.", rows=rows)
            moved = stars if epoch_jyear is None else propagated(stars, epoch_jyear)
            parts.append((moved["source_id"], moved["ra"], moved["dec"], _error_arcsec(moved)))
        if not parts or not any(np.isfinite(part[1]).any() for part in parts):
            raise EmptyCatalogueError("A table has no row with a position.", rows=rows)
        given_ids, ra, dec, error = (np.concatenate(column) for column in zip(*parts, strict=True))
        return Positions(identifiers(given_ids), ra, dec, error)

    def _table(self, path: Path) -> Iterator[Stars]:
        table = self._open(path, "auto")
        choice = choose_columns(table.header).only(NEEDED)
        begin = 0
        for raw in table.blocks(tuple(dict.fromkeys(choice.columns.values())), self._rows_read):
            ids = raw[choice.columns["source_id"]] if "source_id" in choice.columns else None
            try:
                # every row is kept in its place: rows are what the result refers to
                stars, _ = canonical_stars(raw, choice, table.header, keep_rows=True)
            except BadValuesError as error:
                raise BadValuesError(f"After row {begin}: {error.message}" if begin else error.message) from None
            rows = len(stars)
            # a file without identifiers, or with others than integers, is numbered as a whole
            yield stars.replaced({"source_id": np.arange(begin + 1, begin + 1 + rows) if ids is None else ids})
            begin += rows


def _pairs(first: Positions, begin: int, end: int, second: Positions, radius: MatchRadius) -> SkyPairs:
    """Pairs of some rows of the first side; ``source`` counts from its beginning."""
    found = sky_pairs(first.part(begin, end), second, radius)
    return replace(found, source=found.source + begin)


def _columns(first: Positions, second: Positions, found: Candidates, keep: NDArray[np.bool_]) -> Columns:
    i, j = found.source[keep], found.entry[keep]
    return {
        "left_row": i, "left_id": first.id[i], "right_row": j, "right_id": second.id[j],
        "left_ra": first.ra[i], "left_dec": first.dec[i], "right_ra": second.ra[j], "right_dec": second.dec[j],
        "sep_arcsec": found.sep_arcsec[keep], "sep_sigma": found.sep_sigma[keep], "p_chance": found.p_chance[keep],
        "best": found.best[keep],
    }  # fmt: skip


def _error_arcsec(stars: Stars) -> NDArray[np.float64]:
    if "ra_error" not in stars or "dec_error" not in stars:
        return np.full(len(stars), np.nan)
    return np.asarray(np.fmax(stars["ra_error"], stars["dec_error"]) / 1000.0, float)
