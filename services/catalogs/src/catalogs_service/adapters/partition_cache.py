"""Partitions of mirrors in memory, the least recently used leave first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from catalogs_service.adapters.mirror_writer import HEALPIX_COLUMN
from catalogs_service.adapters.tables.arrow import numpy_column
from catalogs_service.algorithms.sphere import unit_vectors
from catalogs_service.domain.columns import column_spec
from catalogs_service.domain.stars import Stars
from catalogs_service.errors import MirrorDamagedError


@dataclass(frozen=True, slots=True)
class LoadedPartition:
    """Rows of one partition sorted by ``index`` (order-29 cell), with their unit vectors."""

    stars: Stars
    index: NDArray[np.int64]
    vectors: NDArray[np.float64]
    size_bytes: int


def load_partition(path: Path) -> LoadedPartition:
    """Read one Parquet partition; text becomes fixed-width bytes."""
    try:
        table = pq.read_table(path, use_threads=False, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise MirrorDamagedError(
            f"A partition of a reference list cannot be read: {path.name}.", partition=path.name
        ) from error
    columns: dict[str, NDArray[Any]] = {}
    for name in table.column_names:
        if name != HEALPIX_COLUMN:
            columns[name] = _typed(name, numpy_column(table.column(name)))
    index = np.asarray(table.column(HEALPIX_COLUMN).to_numpy(), np.int64)
    vectors = unit_vectors(columns["ra"], columns["dec"])
    size = int(sum(values.nbytes for values in columns.values()) + index.nbytes + vectors.nbytes)
    return LoadedPartition(Stars(columns), index, vectors, size)


def load_columns(path: Path, names: Sequence[str]) -> Stars:
    """Some columns of one partition."""
    try:
        table = pq.read_table(path, columns=list(names), use_threads=False, partitioning=None)
    except (pa.ArrowException, OSError) as error:
        raise MirrorDamagedError(
            f"A partition of a reference list cannot be read: {path.name}.", partition=path.name
        ) from error
    return Stars({name: _typed(name, numpy_column(table.column(name))) for name in names})


def _typed(name: str, values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype == object:
        return np.array([str(value).encode("ascii", errors="replace") for value in values], dtype="S")
    spec = column_spec(name)
    return values.astype(spec.dtype, copy=False) if spec is not None else values


class PartitionCache:
    """Loaded partitions up to a number of bytes, shared by the threads of a process."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._held: OrderedDict[Path, LoadedPartition] = OrderedDict()
        self._size = 0

    def get(self, path: Path) -> LoadedPartition:
        """The partition, from memory or from disk."""
        with self._lock:
            held = self._held.get(path)
            if held is not None:
                self._held.move_to_end(path)
                return held
        loaded = load_partition(path)
        with self._lock:
            if path not in self._held:
                self._held[path] = loaded
                self._size += loaded.size_bytes
            while self._size > self._limit and len(self._held) > 1:
                _, gone = self._held.popitem(last=False)
                self._size -= gone.size_bytes
        return loaded

    def forget(self, folder: Path) -> None:
        """Drop what was read below a folder that is gone."""
        with self._lock:
            for path in [path for path in self._held if path.is_relative_to(folder)]:
                self._size -= self._held.pop(path).size_bytes
