"""Gaia tiles on their way from the worker, which has the network, to its child, which has not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from astro_shared.jobs.task import TaskContext
from catalogs_service.adapters.mirror_writer import arrow_table, write_partition
from catalogs_service.adapters.partition_cache import load_columns
from catalogs_service.domain.gaia import GaiaStars, GaiaTile
from catalogs_service.ports import GaiaTileSource

QUESTION = "gaia_tiles"


class RemoteTiles:
    """A `GaiaTileSource` in the child: asks its worker, and reads the file that comes back."""

    def __init__(self, context: TaskContext) -> None:
        self._context = context

    async def tiles(self, tiles: Sequence[GaiaTile], *, release: str, depth: float) -> GaiaStars:
        payload = {"tiles": [[tile.order, tile.pixel] for tile in tiles], "release": release, "depth": depth}
        answer = await asyncio.to_thread(self._context.ask, QUESTION, payload)
        path = Path(answer["path"])
        stars = load_columns(path, pq.read_schema(path).names)
        path.unlink()
        return GaiaStars(stars, answer["layer"], depth)


async def answer_tiles(source: GaiaTileSource, payload: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The worker's side: fetch what the child asked for and leave it as a file below ``folder``."""
    tiles = [GaiaTile(order, pixel) for order, pixel in payload["tiles"]]
    found = await source.tiles(tiles, release=payload["release"], depth=payload["depth"])
    path = folder / f"gaia-{tiles[0].pixel}.parquet"
    await asyncio.to_thread(lambda: write_partition(path, arrow_table(found.stars.columns)))
    return {"path": str(path), "layer": found.layer}
