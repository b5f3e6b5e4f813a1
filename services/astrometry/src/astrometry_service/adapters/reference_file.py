"""Reference stars from one file, or from the index files at hand, for a task that runs without a platform."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from astro_shared.contracts.tables import TableSchema
from astro_shared.fits import scan
from astro_shared.fits.errors import READER_ERRORS
from astro_shared.fits.tables import read_columns, write_columns
from astro_shared.science.column_names import ALIASES, find_bands, find_column
from astro_shared.votable import VotableError, read_votable
from astrometry_service.adapters.index_folders import IndexSkyStars, find_indexes
from astrometry_service.algorithms.matching import angular_distance_deg
from astrometry_service.errors import ReferenceListError

TEXT_FORMATS = {".csv": "ascii.csv", ".ecsv": "ascii.ecsv"}
VOTABLES = frozenset({".xml", ".vot", ".votable"})
MARGIN_DEG = 0.01  # what stars may have moved since the epoch of the list
MAG = "phot_g_mean_mag"

Columns = dict[str, NDArray[Any]]


class ReferenceFile:
    """Reference stars as columns with the names of Gaia, ``ra`` and ``dec`` in degrees at least.

    Parameters
    ----------
    columns : of equal length
    workspace : folder for answers
    """

    def __init__(self, columns: Columns, workspace: Path) -> None:
        self._columns = columns
        self._workspace = workspace
        self._numbers = itertools.count(1)
        bands = [MAG, *(name for name in columns if name.endswith("_mag"))]
        self._mag = next((columns[name] for name in bands if name in columns), np.full(columns["ra"].shape, np.nan))

    def answer(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Answer ``reference_stars`` as the catalogs service does: the brightest stars of a disc."""
        columns, mag = self._columns, self._mag
        near = angular_distance_deg(columns["ra"], columns["dec"], payload["ra_deg"], payload["dec_deg"])
        rows = np.flatnonzero(near <= payload["radius_deg"] + MARGIN_DEG)
        if payload.get("mag_limit") is not None:
            rows = rows[~(mag[rows] > payload["mag_limit"])]
        rows = rows[np.argsort(mag[rows], kind="stable")]
        truncated = rows.size > payload["max_rows"]
        rows = rows[: payload["max_rows"]]
        path = self._workspace / f"reference-{next(self._numbers)}.fits"
        chosen = {name: values[rows] for name, values in columns.items()}
        write_columns(path, chosen, TableSchema("reference", ()), {"TRUNC": truncated})
        return {"path": str(path), "layer": "list"}


def read_reference_file(path: Path) -> Columns:
    """The columns of a FITS table, CSV, ECSV or VOTable under the names of Gaia; magnitudes as ``<band>_mag``.

    Raises
    ------
    ReferenceListError
        It can not be read, or has no positions.
    """
    found = _read(path)
    names = tuple(found)
    asked = {canonical: find_column(canonical, names) for canonical in ALIASES} | find_bands(names)
    columns = {canonical: found[name] for canonical, name in asked.items() if name is not None}
    if missing := [name for name in ("ra", "dec") if name not in columns]:
        raise ReferenceListError(f"{path.name} has no column {' and no column '.join(missing)}", count=0)
    return columns


def read_index_reference(folders: Sequence[str]) -> Columns | None:
    """The stars inside astrometry.net's index files: J2000, no proper motions; None without an all-sky index."""
    stars = IndexSkyStars(find_indexes(folders).files).load()
    return None if stars is None else {"ra": stars.ra_deg, "dec": stars.dec_deg, "index_mag": stars.mag}


def _read(path: Path) -> Columns:
    suffix = path.suffix.lower()
    try:
        if suffix in VOTABLES:
            return {name: _values(values) for name, values in read_votable(path).columns.items()}
        if suffix not in TEXT_FORMATS:
            scan(path)
            return read_columns(path)
        table = Table.read(path, format=TEXT_FORMATS[suffix])
        return {name: _values(table[name]) for name in table.colnames}
    except (*READER_ERRORS, VotableError) as error:
        reason = str(error).strip().splitlines()[0][:150] if str(error).strip() else type(error).__name__
        raise ReferenceListError(f"{path.name} can not be read as a list of stars: {reason}", count=0) from None


def _values(column: Any) -> NDArray[Any]:
    if hasattr(column, "filled"):
        column = column.astype(float).filled(np.nan) if column.dtype.kind in "fiu" else column.filled("")
    values = np.asarray(column, str) if column.dtype.kind == "O" else np.asarray(column)
    if values.dtype.kind != "U":
        return values
    words = np.char.lower(values)
    return words == "true" if np.isin(words, ("true", "false", "")).all() else values
