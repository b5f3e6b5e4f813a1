"""All solving engines of this machine, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import httpx

from astro_shared.contracts.astrometry import EnginesView, EngineView
from astrometry_service.adapters.index_engine import IndexEngine
from astrometry_service.adapters.index_folders import IndexSkyStars, find_indexes
from astrometry_service.adapters.nova import NovaEngine
from astrometry_service.adapters.siril import SirilEngine
from astrometry_service.adapters.sky_index_store import SkyIndexStore
from astrometry_service.adapters.solve_field import SolveFieldEngine
from astrometry_service.domain.solving import EngineStatus
from astrometry_service.ports import AllSkyStars, SolveEngine

__all__ = ["engine_list", "local_engines", "local_sky", "usable_engines"]


def local_engines(index_folders: Sequence[str] = (), *, scratch: Path | None = None) -> list[SolveEngine]:
    """The engines that need no network: the ``astrometry`` package, ``solve-field``, Siril."""
    indexes = find_indexes(index_folders).files
    return [
        IndexEngine(indexes, scratch=scratch),
        SolveFieldEngine(indexes, scratch=scratch),
        SirilEngine(scratch=scratch),
    ]


def local_sky(index_folders: Sequence[str] = (), *, pattern_folder: Path | None = None) -> AllSkyStars:
    """The list of bright stars all over the sky: our own index where one was made, else the stars of an index file.

    Only the first has patterns for solving with nothing known, and is mapped rather than read (15 ms against 0.7 s).
    """
    if pattern_folder is not None:
        store = SkyIndexStore(pattern_folder)
        if store.patterns() is not None:
            return store
    return IndexSkyStars(find_indexes(index_folders).files)


def engine_list(index_folders: Sequence[str] = ()) -> EnginesView:
    """All engines and index files of this machine; starts no solver and asks nothing of the network."""
    scan = find_indexes(index_folders)
    statuses = usable_engines(local_engines(index_folders))
    with httpx.Client() as client:
        statuses.append(NovaEngine(client, None).status())
    return EnginesView(
        engines=tuple(EngineView(**asdict(status)) for status in statuses),
        index_folders=tuple(str(folder) for folder in scan.folders),
        index_files=len(scan.files),
        index_problems=scan.problems,
    )


def usable_engines(engines: Sequence[SolveEngine]) -> list[EngineStatus]:
    """Which engines can be used here, why not, and what would make them usable."""
    return [engine.status() for engine in engines]
