"""Tiles of Gaia stars on disk, in the layout of mirrors: ``<release>/g<depth>/Norder=6/Dir=d/Npix=n.parquet``."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa

from catalogs_service.adapters.mirror_writer import HEALPIX_COLUMN, arrow_table, write_partition
from catalogs_service.adapters.partition_cache import PartitionCache
from catalogs_service.algorithms.healpix import cells
from catalogs_service.domain.gaia import DEPTHS, GaiaTile
from catalogs_service.domain.stars import Stars
from catalogs_service.errors import MirrorDamagedError


class TileCache:
    """Whole tiles by release and depth, shared by all processes; a deeper tile serves a shallower question.

    Parameters
    ----------
    folder : shared by all processes
    longest_age_s : older tiles are fetched again
    limit_bytes : of all tiles; the oldest leave
    memory : loaded tiles
    """

    def __init__(self, folder: Path, *, longest_age_s: float, limit_bytes: int, memory: PartitionCache) -> None:
        self._folder = folder
        self._longest_age_s = longest_age_s
        self._limit = limit_bytes
        self._memory = memory

    def get(self, release: str, tile: GaiaTile, depth_mag: float) -> Stars | None:
        """Stars of a tile down to a depth at least, or None."""
        for depth in DEPTHS:
            if depth < depth_mag:
                continue
            path = self._path(release, depth, tile)
            try:
                age_s = time.time() - path.stat().st_mtime
            except OSError:
                continue
            if age_s > self._longest_age_s:
                continue
            try:
                stars = self._memory.get(path).stars
            except MirrorDamagedError:
                path.unlink(missing_ok=True)
                continue
            return stars if depth == depth_mag else stars.take(stars["phot_g_mean_mag"] < depth_mag)
        return None

    def put(self, release: str, tile: GaiaTile, depth_mag: float, stars: Stars) -> Path:
        """Keep a whole tile; returns its file."""
        index = cells(stars["ra"], stars["dec"]) if len(stars) else np.empty(0, np.int64)
        order = np.argsort(index, kind="stable")
        table = arrow_table(stars.take(order).columns).append_column(
            pa.field(HEALPIX_COLUMN, pa.int64()), pa.array(index[order], type=pa.int64())
        )
        path = self._path(release, depth_mag, tile)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{uuid.uuid4().hex}")
        write_partition(part, table)
        part.replace(path)
        self._memory.forget(path)
        return path

    def evict(self) -> None:
        """Remove the oldest tiles beyond the limit."""
        files = []
        for path in self._folder.rglob("Npix=*.parquet"):
            try:
                facts = path.stat()
            except OSError:
                continue
            files.append((facts.st_mtime, facts.st_size, path))
        size = sum(length for _, length, _ in files)
        for _, length, path in sorted(files, key=lambda item: item[0]):
            if size <= self._limit:
                break
            path.unlink(missing_ok=True)
            self._memory.forget(path)
            size -= length

    def adopt(self, release: str, tile: GaiaTile, depth_mag: float, file: Path) -> None:
        """Take a tile's file, with its age; it is moved."""
        path = self._path(release, depth_mag, tile)
        path.parent.mkdir(parents=True, exist_ok=True)
        file.replace(path)
        self._memory.forget(path)

    @property
    def folder(self) -> Path:
        """Where the tiles are."""
        return self._folder

    def _path(self, release: str, depth_mag: float, tile: GaiaTile) -> Path:
        place = f"Norder={tile.order}/Dir={tile.pixel // 10_000 * 10_000}/Npix={tile.pixel}.parquet"
        return self._folder / release / f"g{depth_mag:g}" / place
