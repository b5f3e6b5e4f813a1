"""Bounds of one execution, and the watch over its resident memory."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MB = 1 << 20
_PAGE = os.sysconf("SC_PAGE_SIZE")
_INTERVAL_S = 0.1


@dataclass(frozen=True)
class Limits:
    """What one execution may use.

    Attributes
    ----------
    wall_s : s
        Watched by the worker.
    memory_mb : MB of resident memory of the child and its own children
        Watched by the worker, because numerical libraries reserve far more address space than they use.
    file_mb : MB
        Largest single file (RLIMIT_FSIZE).
    cpu_s : s or None
        Processor time (RLIMIT_CPU); None for four times ``wall_s``: it ends what a frozen worker does not.
    address_space_mb : MB or None
        Address space (RLIMIT_AS); for children that only parse.
    """

    wall_s: float = 1800.0
    memory_mb: int = 2500
    file_mb: int = 4096
    cpu_s: int | None = None
    address_space_mb: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain form, for the order to the fork server."""
        return asdict(self)


def resident_mb(pid: int) -> float:
    """Return resident memory, MB, of a process and its descendants; 0 where it is gone or there is no /proc."""
    return sum(_resident_bytes(each) for each in _family(pid)) / MB


async def watch_memory(pid: int, limit_mb: float, kill: Callable[[], None]) -> float:
    """Look at a process until it has more than ``limit_mb``, then kill it and return what it had.

    Runs until cancelled otherwise.
    """
    while True:
        used = resident_mb(pid)
        if used > limit_mb:
            kill()
            return used
        await asyncio.sleep(_INTERVAL_S)


def _family(pid: int) -> Iterator[int]:
    yield pid
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return
    for thread in threads:
        try:
            children = (thread / "children").read_text()
        except OSError:
            continue
        for child in children.split():
            yield from _family(int(child))


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0
