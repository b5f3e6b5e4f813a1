"""Searching one mirror on disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from catalogs_service.adapters.mirror_writer import LAYOUT_VERSION, partition_path
from catalogs_service.adapters.partition_cache import LoadedPartition, PartitionCache, load_columns
from catalogs_service.algorithms.healpix import DEEPEST, region_cells, region_ranges
from catalogs_service.algorithms.sphere import within_cone, within_polygon
from catalogs_service.domain.regions import Cone, Region
from catalogs_service.domain.stars import Stars, concatenated
from catalogs_service.errors import MirrorDamagedError

COVERAGE_ORDER = 5


class Mirror:
    """One generation of a reference list: immutable, so that everything about it can be kept in memory."""

    def __init__(self, folder: Path, cache: PartitionCache) -> None:
        try:
            self.facts: dict[str, Any] = json.loads((folder / "mirror.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise MirrorDamagedError("The index of a reference list cannot be read.", folder=folder.name) from error
        if self.facts.get("layout") != LAYOUT_VERSION:
            raise MirrorDamagedError(f"The reference list has layout {self.facts.get('layout')}, not {LAYOUT_VERSION}.")
        self.folder = folder
        self._cache = cache
        parts = np.array(self.facts["partitions"], dtype=np.int64).reshape(-1, 3)
        shift = 2 * (DEEPEST - parts[:, 0])
        self._start, self._stop = parts[:, 1] << shift, (parts[:, 1] + 1) << shift
        self._paths = [folder / partition_path(int(order), int(pixel)) for order, pixel, _ in parts]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self.facts["columns"])

    def padding_deg(self, epoch_jyear: float | None) -> float:
        """How far a star of the list can have moved from its own epoch to another."""
        if epoch_jyear is None or not self.facts["fastest_mas_yr"] or self.facts["ref_epoch_min"] is None:
            return 0.0
        years = max(abs(epoch_jyear - self.facts["ref_epoch_min"]), abs(epoch_jyear - self.facts["ref_epoch_max"]))
        return float(self.facts["fastest_mas_yr"] * years / 3.6e6)

    def covers(self, region: Region) -> bool:
        """Whether the list claims the whole region: all of it, or the order-5 cells that it names."""
        claimed = self.facts.get("coverage")
        return claimed is None or set(region_cells(region, COVERAGE_ORDER).tolist()) <= set(claimed)

    def search(self, region: Region) -> Stars:
        """Rows inside a region at the positions of the list, in HEALPix order."""
        starts, stops = region_ranges(region)
        # partitions and ranges are both sorted and apart: the last range that begins before a partition's end decides
        place = np.searchsorted(starts, self._stop, side="left") - 1
        touched = np.flatnonzero((place >= 0) & (stops[np.maximum(place, 0)] > self._start))
        found = [self._rows_inside(self._cache.get(self._paths[k]), region, starts, stops) for k in touched]
        found = [stars for stars in found if len(stars)]
        return concatenated(found) if found else self._none()

    def scan(self, names: tuple[str, ...]) -> Iterator[Stars]:
        """All rows in pieces, of the named columns those that are there; read past the memory of searches."""
        wanted = [name for name in names if name in self.columns]
        return (load_columns(path, wanted) for path in self._paths)

    def _rows_inside(
        self, part: LoadedPartition, region: Region, starts: NDArray[np.int64], stops: NDArray[np.int64]
    ) -> Stars:
        low, high = np.searchsorted(part.index, starts), np.searchsorted(part.index, stops)
        used = high > low
        rows = _spans(low[used], high[used])
        vectors = part.vectors[rows]
        if isinstance(region, Cone):
            inside = within_cone(vectors, region.ra_deg, region.dec_deg, region.radius_deg)
        else:
            inside = within_polygon(vectors, region.vertices)
        return part.stars.take(rows[inside])

    def _none(self) -> Stars:
        if not self._paths:
            return Stars({"ra": np.empty(0), "dec": np.empty(0)})
        first = self._cache.get(self._paths[0]).stars
        return first.take(np.empty(0, np.int64))


def _spans(low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.int64]:
    """Row numbers of several ranges [low, high), one after the other."""
    length = high - low
    if len(length) == 0:
        return np.empty(0, np.int64)
    offset = np.repeat(low - np.concatenate([[0], np.cumsum(length)[:-1]]), length)
    return np.arange(int(length.sum())) + offset
