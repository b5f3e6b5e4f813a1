"""The all-sky patterns of this machine: made by the worker when a child first wants them, mapped by every child."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog

from astro_shared.errors import AlidadeError
from astro_shared.jobs.job_types import JobRun
from astro_shared.jobs.task import TaskContext
from astrometry_service.adapters.programs import run_program
from astrometry_service.adapters.sky_index_store import SkyIndexStore
from astrometry_service.domain.sky_index import SkyIndex
from astrometry_service.domain.star_lists import SkyMap

__all__ = ["SKY_PATTERNS", "RemoteSky", "SkyMaker"]

SKY_PATTERNS = "sky_patterns"
BUILD_LIMIT_S = 900.0
_log = structlog.get_logger("astrometry_service")


class SkyMaker:
    """Answers ``sky_patterns`` with the folder of the patterns.

    Parameters
    ----------
    folder : where they are kept
    index_folders : with index files that they can be made of, besides the standard ones
    """

    def __init__(self, folder: Path, index_folders: Sequence[str]) -> None:
        self._folder, self._index_folders = folder, tuple(index_folders)
        self._one_at_a_time = asyncio.Lock()
        self._tried = False

    async def answer(self, payload: dict[str, Any], run: JobRun) -> dict[str, Any]:
        """The folder, or null; made now where it is not there and the child wants to wait for it (half a minute, once)."""
        async with self._one_at_a_time:
            there = await asyncio.to_thread(self._there)
            if not there and payload["make"] and not self._tried:
                self._tried = True
                await run.progress(0.15, "all-sky patterns", "made once for this machine")
                there = await asyncio.to_thread(self._make)
        return {"folder": str(self._folder) if there else None}

    def _there(self) -> bool:
        return SkyIndexStore(self._folder).patterns() is not None

    def _make(self) -> bool:
        """In a process of its own, which takes half a minute of a processor and some hundred megabytes."""
        command = [sys.executable, "-m", "astrometry_service.cli", "build-sky", str(self._folder), *self._index_folders]
        with tempfile.TemporaryDirectory(prefix="alidade-sky-maker-") as scratch:
            done = run_program(command, folder=Path(scratch), limit_s=BUILD_LIMIT_S, path=os.defpath)
        _log.info("sky_patterns_made", folder=str(self._folder), seconds=round(done.seconds, 1), said=done.last_line)
        return self._there()


class RemoteSky:
    """An `AllSkyStars` whose folder the parent knows."""

    def __init__(self, context: TaskContext) -> None:
        self._context = context
        self._store: SkyIndexStore | None = None
        self._asked_to_make = False

    def load(self) -> SkyMap | None:
        """The stars, where the patterns are made already."""
        store = self._found(make=False)
        return store.load() if store is not None else None

    def patterns(self) -> SkyIndex | None:
        """The patterns; waits while they are made."""
        store = self._found(make=not self._asked_to_make)
        self._asked_to_make = True
        return store.patterns() if store is not None else None

    def _found(self, *, make: bool) -> SkyIndexStore | None:
        if self._store is None and (make or not self._asked_to_make):
            try:
                folder = self._context.ask(SKY_PATTERNS, {"make": make})["folder"]
            except AlidadeError:
                return None
            self._store = SkyIndexStore(Path(folder)) if folder is not None else None
        return self._store
