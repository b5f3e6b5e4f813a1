"""FITS binary tables, LDAC included."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from astro_shared.fits import scan
from astro_shared.fits.errors import damage_named
from astro_shared.science.column_names import find_column
from catalogs_service.adapters.tables.whole_file import WholeFile
from catalogs_service.domain.raw_table import RawColumns, TableHeader
from catalogs_service.errors import CatalogueFileError


class FitsFile(WholeFile):
    """The first binary table with a position in a FITS file, else the longest.

    Meant for a child process whose death says that the file was bad: damaged files can crash the reader.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        scan(path)
        # opened by us: a string would be fetched when it is an address
        with path.open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with (
                damage_named("The FITS file"),
                fits.open(stream, memmap=False, lazy_load_hdus=False, disable_image_compression=True) as hdus,
            ):
                self._hdu, columns = _choose(hdus)
                self.header = TableHeader(
                    tuple(column.name for column in columns),
                    {column.name: column.unit for column in columns if column.unit},
                    format="fits",
                )

    def read(self, names: tuple[str, ...]) -> RawColumns:
        with self._path.open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with damage_named("The FITS table"), fits.open(stream, memmap=True, disable_image_compression=True) as hdus:
                table = hdus[self._hdu]
                return {name: _native(table.data[name], table.columns[name].null) for name in names}


def _choose(hdus: fits.HDUList) -> tuple[int, fits.ColDefs]:
    tables = [(i, hdu) for i, hdu in enumerate(hdus) if isinstance(hdu, (fits.BinTableHDU, fits.TableHDU))]
    if not tables:
        raise CatalogueFileError("The FITS file holds no table.")
    for i, hdu in tables:
        names = tuple(hdu.columns.names)
        if find_column("ra", names) and find_column("dec", names):
            return i, hdu.columns
    i, hdu = max(tables, key=lambda item: int(item[1].header.get("NAXIS2", 0)))
    return i, hdu.columns


def _native(values: NDArray[Any], null: object) -> NDArray[Any]:
    """Native byte order; integers equal to TNULL become NaN."""
    values = np.asarray(values)
    if values.ndim != 1:
        raise CatalogueFileError("A needed column of the FITS table holds arrays, not single values.")
    if values.dtype.kind in "SU":
        return np.array([_text(value) for value in values], dtype=object)
    if values.dtype.kind == "b":
        return values.astype(bool)
    if values.dtype.kind in "iu":
        if isinstance(null, int) and not isinstance(null, bool) and np.any(values == null):
            return np.where(values == null, np.nan, values.astype(np.float64))
        return values.astype(np.int64)
    return values.astype(np.float64)


def _text(value: Any) -> str:
    text = value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)
    return text.strip()
