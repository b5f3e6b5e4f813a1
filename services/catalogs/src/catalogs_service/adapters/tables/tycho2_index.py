"""Stars inside astrometry.net index files: an all-sky list without a network.

The star kd-tree of an index keeps each star as three unsigned 32-bit integers of its unit vector, scaled as the range
table says: lo + value / scale. Tagged-along magnitudes are in the same order. The files are ours, not a stranger's.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from astro_shared.fits.errors import damage_named
from catalogs_service.adapters.tables.whole_file import WholeFile
from catalogs_service.algorithms.sphere import positions
from catalogs_service.domain.raw_table import RawColumns, TableHeader
from catalogs_service.errors import CatalogueFileError

_ENDIAN = {"04:03:02:01": "<", "01:02:03:04": ">"}


class IndexFile(WholeFile):
    """The star table of one index file as columns ``ra, dec`` (J2000) and the magnitudes that came along."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as stream, damage_named("The index file"), fits.open(stream, memmap=False) as hdus:
            self._columns = _decoded(hdus, stream)
        self.header = TableHeader(tuple(self._columns), {"ra": "deg", "dec": "deg"}, format="tycho2_index")

    def read(self, names: tuple[str, ...]) -> RawColumns:
        return {name: self._columns[name] for name in names}


def is_index_file(head: bytes) -> bool:
    """Whether the first header of a FITS file says that it is an index."""
    return b"AN_FILE = 'QUAD" in head or b"AN_FILE = 'SKDT" in head


def _find(hdus: fits.HDUList, name: str) -> fits.BinTableHDU:
    for hdu in hdus[1:]:
        if hdu.header.get("TTYPE1") == name:
            return hdu
    raise CatalogueFileError(f"The file holds no table {name}: it is not an astrometry.net index with a star tree.")


def _raw(hdu: fits.BinTableHDU, stream: BinaryIO) -> bytes:
    """The bytes of a table as they are: its columns are declared as text, which reading as text would change."""
    stream.seek(hdu.fileinfo()["datLoc"])
    return stream.read(hdu.header["NAXIS1"] * hdu.header["NAXIS2"])


def _decoded(hdus: fits.HDUList, stream: BinaryIO) -> RawColumns:
    facts = _find(hdus, "kdtree_header_stars").header
    order = _ENDIAN.get(str(facts.get("ENDIAN", "")).strip())
    if order is None or facts.get("KDT_DATA") != "u32" or facts.get("KDT_NDIM") != 3:
        raise CatalogueFileError("The star tree of the index is not of three 32-bit integers per star.")
    tagged = _tagged_along(hdus, int(_find(hdus, "kdtree_data_stars").header["NAXIS2"]))
    bounds = np.frombuffer(_raw(_find(hdus, "kdtree_range_stars"), stream), f"{order}f8")
    packed = np.frombuffer(_raw(_find(hdus, "kdtree_data_stars"), stream), f"{order}u4").reshape(-1, 3)
    ra, dec = positions(bounds[:3] + packed / bounds[-1])
    return {"ra": ra, "dec": dec, **tagged}


def _tagged_along(hdus: fits.HDUList, n: int) -> dict[str, NDArray[np.float64]]:
    """Magnitude columns of the tag-along table, ``MAG_VT`` as ``vt_mag``."""
    found: dict[str, NDArray[np.float64]] = {}
    for hdu in hdus[1:]:
        if str(hdu.header.get("AN_FILE", "")).strip() == "TAGALONG" and hdu.header["NAXIS2"] == n:
            for name in hdu.columns.names:
                if name.upper().startswith("MAG_"):
                    found[f"{name[4:].lower()}_mag"] = np.asarray(hdu.data[name], np.float64)
    return found
