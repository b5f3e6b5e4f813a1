"""Tiles of Gaia stars in object storage, behind the disk of every replica.

Keys are ``cache/gaia/<release>/g<depth>/<order>-<pixel>.<sha256>``: the hash in the key says what a download must be.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from astro_shared.contracts.objects import ObjectRef
from astro_shared.errors import AlidadeError
from astro_shared.storage.port import ObjectStat, ObjectStore
from catalogs_service.domain.gaia import DEPTHS, GaiaTile

log = structlog.get_logger()

PREFIX = "cache/gaia/"
_MEDIA_TYPE = "application/vnd.apache.parquet"


class TileObjects:
    """Whole tiles by release and depth, shared by all replicas. Storage that is away costs a fetch, never an answer.

    Parameters
    ----------
    store : object storage of the service
    longest_age_s : older tiles are not used
    limit_bytes : of all tiles; the oldest leave
    """

    def __init__(self, store: ObjectStore, *, longest_age_s: float, limit_bytes: int) -> None:
        self._store = store
        self._longest_age = timedelta(seconds=longest_age_s)
        self._limit = limit_bytes

    async def bring(self, release: str, tile: GaiaTile, depth_mag: float, folder: Path) -> tuple[Path, float] | None:
        """A file in ``folder`` with a tile that is deep enough, as old as the object, and its depth; or None."""
        try:
            for depth in (depth for depth in DEPTHS if depth >= depth_mag):
                found = [stat async for stat in self._store.list(_stem(release, depth, tile)) if self._is_young(stat)]
                if found:
                    return await self._fetched(max(found, key=lambda stat: stat.modified_at), folder), depth
        except AlidadeError as error:
            log.warning("tile_objects_unavailable", error=error.message)
        return None

    async def keep(self, release: str, tile: GaiaTile, depth_mag: float, path: Path, sha256: str) -> None:
        """Store a tile in place of older ones of the same depth."""
        stem = _stem(release, depth_mag, tile)
        try:
            former = [stat.key async for stat in self._store.list(stem)]
            await self._store.put_file(stem + sha256, path, _MEDIA_TYPE)
            for key in former:
                if key != stem + sha256:
                    await self._store.delete(key)
        except AlidadeError as error:
            log.warning("tile_not_stored", error=error.message)

    async def evict(self) -> None:
        """Remove what is too old, and the oldest beyond the limit."""
        try:
            known = sorted([stat async for stat in self._store.list(PREFIX)], key=lambda stat: stat.modified_at)
            size = sum(stat.size for stat in known)
            for stat in known:
                if size <= self._limit and self._is_young(stat):
                    break
                await self._store.delete(stat.key)
                size -= stat.size
        except AlidadeError as error:
            log.warning("tiles_not_evicted", error=error.message)

    def _is_young(self, stat: ObjectStat) -> bool:
        return datetime.now(UTC) - stat.modified_at <= self._longest_age

    async def _fetched(self, stat: ObjectStat, folder: Path) -> Path:
        sha256 = stat.key.rsplit(".", 1)[-1]
        path = folder / f".{sha256}-{os.urandom(4).hex()}"
        folder.mkdir(parents=True, exist_ok=True)
        await self._store.get_to_path(ObjectRef(key=stat.key, sha256=sha256, size=stat.size), path)
        written = stat.modified_at.timestamp()
        os.utime(path, (written, written))
        return path


def _stem(release: str, depth_mag: float, tile: GaiaTile) -> str:
    return f"{PREFIX}{release}/g{depth_mag:g}/{tile.order}-{tile.pixel}."
