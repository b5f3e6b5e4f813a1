"""Resident memory of a child and everything it started, from /proc."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_INTERVAL_S = 0.1


def resident_mb(pid: int) -> float:
    """Return resident memory, MB, of a process and its descendants; 0 where it is gone or there is no /proc."""
    return sum(_resident_bytes(each) for each in _family(pid)) / (1 << 20)


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
