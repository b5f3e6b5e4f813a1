"""All solving engines of this machine, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from astrometry_service.adapters.index_engine import IndexEngine
from astrometry_service.adapters.index_folders import find_indexes
from astrometry_service.adapters.siril import SirilEngine
from astrometry_service.adapters.solve_field import SolveFieldEngine
from astrometry_service.domain.solving import EngineStatus
from astrometry_service.ports import SolveEngine

__all__ = ["local_engines", "usable_engines"]


def local_engines(index_folders: Sequence[str] = (), *, scratch: Path | None = None) -> list[SolveEngine]:
    """The engines that need no network: the ``astrometry`` package, ``solve-field``, Siril."""
    indexes = find_indexes(index_folders).files
    return [
        IndexEngine(indexes, scratch=scratch),
        SolveFieldEngine(indexes, scratch=scratch),
        SirilEngine(scratch=scratch),
    ]


def usable_engines(engines: Sequence[SolveEngine]) -> list[EngineStatus]:
    """Which engines can be used here, why not, and what would make them usable."""
    return [engine.status() for engine in engines]
