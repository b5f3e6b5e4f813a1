"""A sky index on disk: made once from a star list, then mapped into memory by every process that needs it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from astrometry_service.adapters.index_folders import find_indexes, richest_sky
from astrometry_service.algorithms.matching import IndexOptions, build_sky_index
from astrometry_service.domain.sky_index import IndexLevel, SkyIndex
from astrometry_service.domain.star_lists import SkyMap

__all__ = ["SkyIndexStore"]

VERSION = 1
MANIFEST = "index.json"
STAR_ARRAYS = {"ra_deg": "<f8", "dec_deg": "<f8", "mag": "<f4"}
LEVEL_ARRAYS = {
    "vectors": "<f8", "start": "<i4", "band_edge": "<f8", "band_first": "<i4", "band_count": "<i4", "quads": "<i4",
    "codes": "<u2", "cell_start": "<i4",
}  # fmt: skip


class SkyIndexStore:
    """A folder with the arrays of one index.

    The arrays are mapped, not read: a process that solves one field touches some megabytes of them. The folder appears
    complete or not at all.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._index: SkyIndex | None = None

    def load(self) -> SkyMap | None:
        """The stars, or None when no index was made here."""
        index = self.patterns()
        return index.sky if index is not None else None

    def patterns(self) -> SkyIndex | None:
        """The index, or None when none was made here, or by another version of this module."""
        if self._index is None:
            facts = self.facts()
            if facts is not None and facts["version"] == VERSION:
                self._index = self._read(facts)
        return self._index

    def facts(self) -> dict[str, Any] | None:
        """What the index is made of: source, stars, patterns, options; None when there is none."""
        try:
            facts: dict[str, Any] = json.loads((self._folder / MANIFEST).read_text())
        except (OSError, ValueError):
            return None
        return facts

    def build(
        self,
        sky: SkyMap,
        source: str,
        *,
        options: IndexOptions | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> SkyIndex:
        """Make the index of a star list and put it in place of an older one.

        Parameters
        ----------
        source : name of the list, for people
        """
        index = build_sky_index(sky, options, progress=progress)
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=self._folder.parent, prefix=f".{self._folder.name}-"))
        try:
            self._write(fresh, index, source)
            old = fresh.with_name(f"{fresh.name}-old")
            if self._folder.exists():
                self._folder.rename(old)
            fresh.rename(self._folder)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        self._index = None
        return index

    def build_from_indexes(
        self, folders: tuple[str, ...] = (), *, progress: Callable[[float], None] | None = None
    ) -> SkyIndex | None:
        """Make the index of the stars in the richest all-sky index file; None when there is no such file."""
        found = richest_sky(find_indexes(folders).files)
        if found is None:
            return None
        sky, file = found
        return self.build(sky, file.path.name, progress=progress)

    def _write(self, folder: Path, index: SkyIndex, source: str) -> None:
        shapes: dict[str, list[int]] = {}

        def put(name: str, values: NDArray[Any], kind: str) -> None:
            np.save(folder / f"{name}.npy", np.ascontiguousarray(values, dtype=kind))
            shapes[name] = list(values.shape)

        for name, kind in STAR_ARRAYS.items():
            put(name, getattr(index.sky, name), kind)
        for number, level in enumerate(index.levels):
            for name, kind in LEVEL_ARRAYS.items():
                put(f"level{number}_{name}", getattr(level, name), kind)
        facts = {
            "version": VERSION, "source": source, "stars": len(index.sky), "patterns": index.patterns, "shapes": shapes,
            "levels": [
                {"smallest": level.smallest, "cell_side": level.cell_side, "code_cells": level.code_cells}
                for level in index.levels
            ],
        }  # fmt: skip
        (folder / MANIFEST).write_text(json.dumps(facts))
        folder.chmod(0o755)

    def _read(self, facts: dict[str, Any]) -> SkyIndex | None:
        """Map the arrays; None when a file is missing or not of the size that the manifest says."""

        def get(name: str, kind: str) -> Any:
            # copy on write: the kernels take only writable buffers, the file stays as it is
            values = np.load(self._folder / f"{name}.npy", mmap_mode="c", allow_pickle=False)
            if list(values.shape) != facts["shapes"][name] or values.dtype != np.dtype(kind):
                raise ValueError(f"{name} is not what the index says")
            return values

        try:
            stars = SkyMap(**{name: get(name, kind) for name, kind in STAR_ARRAYS.items()})
            levels = tuple(
                IndexLevel(**level, **{name: get(f"level{number}_{name}", kind) for name, kind in LEVEL_ARRAYS.items()})
                for number, level in enumerate(facts["levels"])
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return SkyIndex(stars, levels)
