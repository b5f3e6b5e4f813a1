"""astrometry.net's index files: where they are, what they cover, and the stars in them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
from astropy.io import fits
from numpy.typing import NDArray

from astrometry_service.domain.sky_index import SkyIndex
from astrometry_service.domain.star_lists import SkyMap

__all__ = [
    "STANDARD_FOLDERS",
    "IndexFile",
    "IndexScan",
    "IndexSkyStars",
    "find_indexes",
    "read_index_stars",
    "richest_sky",
]

STANDARD_FOLDERS = ("/usr/share/astrometry", "/usr/local/share/astrometry", "/usr/local/astrometry/data")
# A quad can be found when it is at most this part of the frame's diagonal and at least that part of its shorter side.
LARGEST_QUAD, SMALLEST_QUAD = 1.0, 0.08
BLOCK = 2880
UNIT_ERROR = 1e-6
"""Of the length of a stored vector; three numbers of 32 bits hold 1e-9."""
_log = structlog.get_logger("astrometry_service")


@dataclass(frozen=True)
class IndexFile:
    """One index file.

    Attributes
    ----------
    quad_low_arcmin, quad_high_arcmin : sizes of the star patterns in it
    stars, quads : counts
    healpix : the part of the sky, -1 for all of it
    """

    path: Path
    index_id: int
    quad_low_arcmin: float
    quad_high_arcmin: float
    stars: int
    quads: int
    healpix: int
    size_bytes: int

    def serves(self, width_arcmin: float, height_arcmin: float) -> bool:
        """Whether a frame of this size can hold its patterns."""
        largest = LARGEST_QUAD * math.hypot(width_arcmin, height_arcmin)
        smallest = SMALLEST_QUAD * min(width_arcmin, height_arcmin)
        return self.quad_low_arcmin <= largest and self.quad_high_arcmin >= smallest


@dataclass(frozen=True)
class IndexScan:
    """What was found in the folders: usable files, and what is wrong with others."""

    folders: tuple[Path, ...]
    files: tuple[IndexFile, ...]
    problems: tuple[str, ...]


def find_indexes(folders: Iterable[str | Path] = (), *, standard: bool = True) -> IndexScan:
    """Look through the configured folders and the standard ones.

    A file that is no index, or that ends too early, is named in ``problems`` and left out: the solver's C code would
    stop the whole process on some of them.
    """
    wanted = [Path(folder).expanduser() for folder in folders]
    problems = [f"{folder}: no such folder" for folder in wanted if not folder.is_dir()]
    if standard:
        wanted += [Path(folder) for folder in STANDARD_FOLDERS]
    found: dict[Path, IndexFile] = {}
    existing = [folder for folder in dict.fromkeys(wanted) if folder.is_dir()]
    for folder in existing:
        if not os.access(folder, os.R_OK | os.X_OK):
            problems.append(f"{folder}: may not be read")
            continue
        candidates = sorted(folder.glob("index*.fits"))
        for path in candidates:
            try:
                found.setdefault(path.resolve(), _read_index_header(path))
            except (OSError, ValueError) as error:
                problems.append(f"{path}: {error}")
        if folder in wanted[: len(wanted) - (len(STANDARD_FOLDERS) if standard else 0)] and not candidates:
            problems.append(f"{folder}: holds no file named index*.fits")
    files = sorted(found.values(), key=lambda file: (file.quad_low_arcmin, str(file.path)))
    return IndexScan(tuple(existing), tuple(files), tuple(problems))


def _read_index_header(path: Path) -> IndexFile:
    """Facts of the primary header; ValueError when the file is not a complete index."""
    size = path.stat().st_size
    header = _header_at(path, 0)[0]
    if header.get("AN_FILE") not in ("QUAD", "INDEX") or "SCALE_U" not in header:
        raise ValueError("not an astrometry.net index file")
    position, units = 0, 0
    while position < size:
        unit, data = _header_at(path, position)
        position = data + _data_bytes(unit)
        units += 1
    if position != size or units < 12:
        raise ValueError(f"incomplete: {size} bytes, {units} parts")
    return IndexFile(
        path.resolve(), int(header["INDEXID"]), math.degrees(header["SCALE_L"]) * 60, math.degrees(header["SCALE_U"]) * 60,
        int(header["NSTARS"]), int(header["NQUADS"]), int(header["HEALPIX"]), size,
    )  # fmt: skip


def _header_at(path: Path, position: int) -> tuple[fits.Header, int]:
    """The header that begins at a byte, and where its data begin."""
    text = b""
    with path.open("rb") as file:
        file.seek(position)
        while b"END" + b" " * 77 not in text:
            block = file.read(BLOCK)
            if len(block) < BLOCK or len(text) > 100 * BLOCK:
                raise ValueError("cut off, or no FITS file")
            text += block
    header = fits.Header.fromstring(text.decode("ascii", "replace"))
    if not {"SIMPLE", "XTENSION"} & set(header):
        raise ValueError("no FITS file")
    return header, position + len(text)


def _data_bytes(header: fits.Header) -> int:
    axes = [int(header[f"NAXIS{axis + 1}"]) for axis in range(int(header["NAXIS"]))]
    count = math.prod(axes) if axes else 0
    return math.ceil(count * abs(int(header["BITPIX"])) // 8 / BLOCK) * BLOCK


def read_index_stars(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float32]]:
    """All stars of an index file.

    Returns
    -------
    ra, dec : (n,), deg, J2000, without proper motion
    mag : (n,), of its magnitude column; NaN where it has none

    Raises
    ------
    OSError, ValueError
        It cannot be read, or its tables are not as many stars of three 32-bit numbers as its header says.

    Notes
    -----
    Unit vectors are stored as unsigned integers: lowest corner + value / scale, with the corner and the scale in
    the table ``kdtree_range_stars``.
    """
    with fits.open(path, memmap=True) as units:
        count = int(units[0].header["NSTARS"])
        tables = {str(unit.header.get("TTYPE1", "")): unit for unit in units[1:]}
        if "kdtree_data_stars" not in tables or "kdtree_range_stars" not in tables:
            raise ValueError(f"{path}: holds no stars")
        bounds = np.frombuffer(tables["kdtree_range_stars"].data.tobytes(), dtype="<f8")
        packed = np.frombuffer(tables["kdtree_data_stars"].data.tobytes(), dtype="<u4")
        column = next((name for name in tables if name.upper().startswith("MAG")), None)
        mag = np.asarray(tables[column].data[column], dtype=np.float32) if column else np.full(count, np.nan, "f4")
    if packed.size != 3 * count or mag.shape != (count,) or bounds.size != 7:
        raise ValueError(f"{path}: its tables do not hold the {count} stars of its header as 32-bit vectors")
    if not np.isfinite(bounds).all() or bounds[6] <= 0.0:
        raise ValueError(f"{path}: the range of its stars makes no sense")
    vectors = bounds[:3] + packed.reshape(-1, 3) / bounds[6]
    lengths = np.linalg.norm(vectors, axis=1)
    if not np.allclose(lengths, 1.0, atol=UNIT_ERROR):
        raise ValueError(f"{path}: its stars are not on the unit sphere")
    vectors /= lengths[:, None]
    ra = np.degrees(np.arctan2(vectors[:, 1], vectors[:, 0])) % 360.0
    return ra, np.degrees(np.arcsin(np.clip(vectors[:, 2], -1.0, 1.0))), mag


def richest_sky(files: Iterable[IndexFile]) -> tuple[SkyMap, IndexFile] | None:
    """The stars with magnitudes of the index file of the whole sky that has most; a file that cannot be read is passed over."""
    whole_sky = (file for file in files if file.healpix == -1)
    for file in sorted(whole_sky, key=lambda file: -file.stars):
        try:
            sky = SkyMap.from_columns(*read_index_stars(file.path))
        except (OSError, ValueError) as error:
            _log.warning("index_without_stars", path=str(file.path), reason=str(error))
            continue
        if len(sky):
            return sky, file
    return None


class IndexSkyStars:
    """The all-sky star list inside the richest index file that has magnitudes; read once."""

    def __init__(self, files: Sequence[IndexFile]) -> None:
        self._files = tuple(files)
        self._stars: SkyMap | None = None

    @property
    def path(self) -> Path | None:
        """The richest file, or None when no index covers the whole sky."""
        whole_sky = (file for file in self._files if file.healpix == -1)
        richest = max(whole_sky, key=lambda file: file.stars, default=None)
        return richest.path if richest else None

    def load(self) -> SkyMap | None:
        """Every star with a magnitude, in order of declination."""
        if self._stars is None:
            found = richest_sky(self._files)
            self._stars = found[0] if found else None
        return self._stars

    def patterns(self) -> SkyIndex | None:
        """An index file's stars come without our patterns."""
        return None
