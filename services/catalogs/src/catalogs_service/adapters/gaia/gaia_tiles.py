"""Gaia stars of any region: tiles on disk or in object storage, and those that are missing from the archive or VizieR."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from catalogs_service.adapters.gaia.single_flight import SingleFlight
from catalogs_service.adapters.gaia.tap import GaiaTable, GaiaTap
from catalogs_service.adapters.gaia.tile_cache import TileCache
from catalogs_service.adapters.gaia.tile_objects import TileObjects
from catalogs_service.algorithms.healpix import region_cells
from catalogs_service.domain.gaia import TILE_ORDER, GaiaLayer, GaiaStars, GaiaTile, checked_release, depth_for
from catalogs_service.domain.regions import Region
from catalogs_service.domain.stars import Stars, concatenated
from catalogs_service.errors import QueryError

MOST_TILES = 400
_FLIGHT_ORDER = 5


@dataclass(frozen=True, slots=True)
class GaiaPlace:
    """A service that has Gaia: its layer, how it is asked, and its table of a release."""

    layer: GaiaLayer
    tap: GaiaTap
    table: Callable[[str], GaiaTable]


class GaiaTiles:
    """The chain behind the mirror: cache, archive, VizieR.

    Parameters
    ----------
    cache : tiles on disk
    objects : tiles in object storage, behind the disk; None: there are none
    single_flight : keeps others from fetching the same tiles at the same time
    places : asked in this order for what is missing
    wait_s : longest wait of one caller, None for ever; a fetch goes on behind its back, for whoever asks next
    """

    def __init__(
        self,
        cache: TileCache,
        places: Sequence[GaiaPlace],
        *,
        single_flight: SingleFlight,
        objects: TileObjects | None = None,
        wait_s: float | None = 20.0,
    ) -> None:
        self._cache = cache
        self._single_flight = single_flight
        self._objects = objects
        self._places = tuple(places)
        self._wait_s = wait_s
        self._fetching: dict[tuple[object, ...], asyncio.Task[GaiaLayer]] = {}

    def patient(self) -> GaiaTiles:
        """The same for a caller who waits until a fetch has ended; it sends no second one for what is under way."""
        made = GaiaTiles(
            self._cache, self._places, single_flight=self._single_flight, objects=self._objects, wait_s=None
        )
        made._fetching = self._fetching
        return made

    def at_hand(self) -> GaiaTiles:
        """The same for callers for whom nothing outside is asked: tiles on disk and in object storage."""
        return GaiaTiles(self._cache, (), single_flight=self._single_flight, objects=self._objects)

    async def stars(self, region: Region, *, release: str, mag_limit: float | None, radius_deg: float) -> GaiaStars:
        """Stars of the tiles that a region touches, brighter than the layer that the limit needs.

        Raises
        ------
        QueryError
            They cannot be had now; ``reasons`` holds a sentence per layer.
        """
        depth = depth_for(mag_limit, radius_deg)
        tiles = [GaiaTile(TILE_ORDER, int(pixel)) for pixel in region_cells(region, TILE_ORDER)]
        return await self.tiles(tiles, release=release, depth=depth)

    async def tiles(self, tiles: Sequence[GaiaTile], *, release: str, depth: float) -> GaiaStars:
        """All stars of some tiles brighter than a depth; errors as for `stars`."""
        checked_release(release)
        if len(tiles) > MOST_TILES:
            raise QueryError(
                f"The region touches {len(tiles)} tiles; at most {MOST_TILES} are fetched at a time.",
                cause="field_too_large", reasons={"archive": "the region is too large"},
            )  # fmt: skip
        found, missing = await asyncio.to_thread(self._known, release, tiles, depth)
        layer: GaiaLayer = "cache"
        if missing:
            layer = await self._wait_for(release, missing, depth)
            found, missing = await asyncio.to_thread(self._known, release, tiles, depth)
        if missing:
            raise QueryError("Tiles were evicted while they were fetched: the cache is too small.", cause="overflow")
        full = [stars for stars in found if len(stars)] or found[:1]
        stars = await asyncio.to_thread(concatenated, full)
        return GaiaStars(stars, layer, depth)

    async def settle(self) -> None:
        """Wait for fetches that go on behind somebody's back; for the end of a process and for tests."""
        await asyncio.gather(*self._fetching.values(), return_exceptions=True)

    def _known(self, release: str, tiles: Sequence[GaiaTile], depth: float) -> tuple[list[Stars], list[GaiaTile]]:
        found: list[Stars] = []
        missing: list[GaiaTile] = []
        for tile in tiles:
            stars = self._cache.get(release, tile, depth)
            if stars is None:
                missing.append(tile)
            else:
                found.append(stars)
        return found, missing

    async def _wait_for(self, release: str, missing: Sequence[GaiaTile], depth: float) -> GaiaLayer:
        if not self._places:
            if await self._still_missing(release, missing, depth):
                reasons = {"cache": "not all of the field is in it", "archive": "nothing outside is asked"}
                raise QueryError("Nothing outside is asked.", cause="offline", reasons=reasons)
            return "cache"
        key = (release, depth, *(tile.pixel for tile in missing))
        task = self._fetching.get(key)
        if task is None:
            task = self._fetching[key] = asyncio.create_task(self._fetch(release, missing, depth))
            task.add_done_callback(lambda done: self._landed(key, done))
        done, _ = await asyncio.wait([task], timeout=self._wait_s)
        if not done:
            raise QueryError(
                "The stars of this field are being fetched; ask again in a minute.", cause="timeout",
                retry_at=datetime.now(UTC) + timedelta(seconds=30), reasons={"archive": "still fetching, ask again soon"},
            )  # fmt: skip
        return task.result()

    def _landed(self, key: tuple[object, ...], task: asyncio.Task[GaiaLayer]) -> None:
        self._fetching.pop(key, None)
        if not task.cancelled():
            task.exception()  # nobody may be waiting any more; the next one asks again

    async def _fetch(self, release: str, tiles: Sequence[GaiaTile], depth: float) -> GaiaLayer:
        async with self._single_flight.only(_flight_names(release, tiles, depth)):
            _, missing = await asyncio.to_thread(self._known, release, tiles, depth)
            missing = await self._still_missing(release, missing, depth)
            if not missing:
                return "cache"
            reasons = {"cache": "not all of the field is in it"}
            for place in self._places:
                try:
                    found = await place.tap.tiles(place.table(release), missing, depth)
                except QueryError as error:
                    reasons[place.layer] = error.message
                    last = error
                    continue
                await self._keep(release, found, depth)
                return place.layer
            raise QueryError(
                "; ".join(f"{layer}: {reason}" for layer, reason in reasons.items()), cause=last.cause, reasons=reasons,
                retry_at=last.details.get("retry_at"),
            )  # fmt: skip

    async def _still_missing(self, release: str, tiles: Sequence[GaiaTile], depth: float) -> list[GaiaTile]:
        """Bring tiles from object storage; those that are not there."""
        missing: list[GaiaTile] = []
        for tile in tiles:
            brought = await self._objects.bring(release, tile, depth, self._cache.folder) if self._objects else None
            if brought is None:
                missing.append(tile)
            else:
                path, depth_there = brought
                await asyncio.to_thread(self._cache.adopt, release, tile, depth_there, path)
        return missing

    async def _keep(self, release: str, found: Mapping[GaiaTile, Stars], depth: float) -> None:
        for tile, stars in found.items():
            path = await asyncio.to_thread(self._cache.put, release, tile, depth, stars)
            if self._objects is not None:
                await self._objects.keep(release, tile, depth, path, await asyncio.to_thread(_sha256, path))
        await asyncio.to_thread(self._cache.evict)
        if self._objects is not None:
            await self._objects.evict()


def _flight_names(release: str, tiles: Sequence[GaiaTile], depth: float) -> list[str]:
    """One name per cell of order 5, so that neighbouring fields seldom wait for each other."""
    parents = {tile.pixel >> (2 * (tile.order - _FLIGHT_ORDER)) for tile in tiles}
    return [f"{release}-{depth:g}-{parent}" for parent in sorted(parents)]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
