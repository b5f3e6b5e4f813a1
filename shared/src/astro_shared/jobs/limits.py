"""Bounds of one execution."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

MB = 1 << 20


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
