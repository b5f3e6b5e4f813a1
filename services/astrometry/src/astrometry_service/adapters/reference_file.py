"""Reference stars from one file, for a task that runs without a platform."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from astro_shared.contracts.tables import TableSchema
from astro_shared.fits.tables import read_columns, write_columns
from astrometry_service.algorithms.tangent_plane import angular_distance_deg
from astrometry_service.errors import ReferenceListError

FORMATS = {".csv": "ascii.csv", ".ecsv": "ascii.ecsv", ".xml": "votable", ".vot": "votable", ".votable": "votable"}
MARGIN_DEG = 0.01  # what stars may have moved since the epoch of the list
MAG = "phot_g_mean_mag"


class ReferenceFile:
    """A list with the columns of Gaia: ``ra`` and ``dec`` in degrees at least.

    Parameters
    ----------
    path : FITS table, CSV, ECSV or VOTable
    workspace : folder for answers
    """

    def __init__(self, path: Path, workspace: Path) -> None:
        self._columns = _read(path)
        self._workspace = workspace
        self._numbers = itertools.count(1)
        missing = [name for name in ("ra", "dec") if name not in self._columns]
        if missing:
            raise ReferenceListError(f"{path.name} has no column {' and no column '.join(missing)}", count=0)

    def answer(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Answer ``reference_stars`` as the catalogs service does: the brightest stars of a disc."""
        columns = self._columns
        near = angular_distance_deg(columns["ra"], columns["dec"], payload["ra_deg"], payload["dec_deg"])
        rows = np.flatnonzero(near <= payload["radius_deg"] + MARGIN_DEG)
        mag = columns.get(MAG, np.full(columns["ra"].shape, np.nan))
        if payload.get("mag_limit") is not None:
            rows = rows[~(mag[rows] > payload["mag_limit"])]
        rows = rows[np.argsort(mag[rows], kind="stable")]
        truncated = rows.size > payload["max_rows"]
        rows = rows[: payload["max_rows"]]
        path = self._workspace / f"reference-{next(self._numbers)}.fits"
        chosen = {name: values[rows] for name, values in columns.items()}
        write_columns(path, chosen, TableSchema("reference", ()), {"TRUNC": truncated})
        return {"path": str(path), "layer": "list"}


def _read(path: Path) -> dict[str, NDArray[Any]]:
    kind = FORMATS.get(path.suffix.lower())
    try:
        if kind is None:
            found = read_columns(path)
        else:
            table = Table.read(path, format=kind)
            found = {name: _values(table[name]) for name in table.colnames}
    except (OSError, ValueError, KeyError, IndexError, TypeError, StopIteration) as error:
        reason = str(error).strip().splitlines()[0][:150] if str(error).strip() else type(error).__name__
        raise ReferenceListError(f"{path.name} can not be read as a list of stars: {reason}", count=0) from None
    return {name.lower(): values for name, values in found.items()}


def _values(column: Any) -> NDArray[Any]:
    if hasattr(column, "filled"):
        return np.asarray(column.astype(float).filled(np.nan) if column.dtype.kind in "fiu" else column.filled(""))
    return np.asarray(column)
