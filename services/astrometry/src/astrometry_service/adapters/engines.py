"""All solving engines of this machine, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import httpx

from astro_shared.contracts.astrometry import EnginesView, EngineView
from astrometry_service.adapters.index_engine import IndexEngine
from astrometry_service.adapters.index_folders import IndexScan, IndexSkyStars, find_indexes
from astrometry_service.adapters.nova import NovaEngine
from astrometry_service.adapters.siril import SirilEngine
from astrometry_service.adapters.sky_index_store import SkyIndexStore
from astrometry_service.adapters.solve_field import SolveFieldEngine
from astrometry_service.domain.solving import EngineStatus
from astrometry_service.ports import SolveEngine

__all__ = ["all_sky_status", "engine_list", "local_engines", "usable_engines"]


def local_engines(index_folders: Sequence[str] = (), *, scratch: Path | None = None) -> list[SolveEngine]:
    """The engines that need no network: the ``astrometry`` package, ``solve-field``, Siril."""
    indexes = find_indexes(index_folders).files
    return [
        IndexEngine(indexes, scratch=scratch),
        SolveFieldEngine(indexes, scratch=scratch),
        SirilEngine(scratch=scratch),
    ]


def engine_list(
    index_folders: Sequence[str] = (), sky_folder: Path | None = None, *, nova_online: bool = True
) -> EnginesView:
    """All engines and index files of this machine; starts no solver and asks nothing of the network."""
    scan = find_indexes(index_folders)
    statuses = [all_sky_status(scan, sky_folder), *usable_engines(local_engines(index_folders))]
    with httpx.Client() as client:
        nova = (
            NovaEngine(client, None).status()
            if nova_online
            else EngineStatus("nova", False, "switched off by the operator")
        )
    statuses.insert(-1, nova)
    return EnginesView(
        engines=tuple(EngineView(**asdict(status)) for status in statuses),
        index_folders=tuple(str(folder) for folder in scan.folders),
        index_files=len(scan.files),
        index_problems=scan.problems,
    )


def all_sky_status(scan: IndexScan, sky_folder: Path | None) -> EngineStatus:
    """Whether fields without any hint can be looked up in a local list of stars all over the sky."""
    facts = SkyIndexStore(sky_folder).facts() if sky_folder is not None else None
    if facts is not None:
        reason = f"{facts['stars']} stars of {facts['source']}, {facts['patterns']} patterns"
        return EngineStatus("all-sky", True, reason, details={"source": str(facts["source"])})
    source = IndexSkyStars(scan.files).path
    if source is not None:
        return EngineStatus(
            "all-sky", True, f"made of {source.name} when it is first wanted, which takes half a minute"
        )
    how = "apt-get install astrometry-data-tycho2, or: alidade indexes sky FILE"
    return EngineStatus("all-sky", False, "no list of stars all over the sky", how)


def usable_engines(engines: Sequence[SolveEngine]) -> list[EngineStatus]:
    """Which engines can be used here, why not, and what would make them usable."""
    return [engine.status() for engine in engines]
