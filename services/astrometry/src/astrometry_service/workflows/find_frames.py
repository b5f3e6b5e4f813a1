"""Which of a user's frames hold a position: cells first, then the outlines themselves."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from astro_shared.contracts.frames import FrameFootprint
from astrometry_service.algorithms.field_search import contains, position_keys, unique_cells

__all__ = ["FindFrames", "Footprints"]


class Footprints(Protocol):
    """Where the outlines are kept."""

    async def touching(self, owner: str, cells: list[int]) -> list[FrameFootprint]:
        """Frames of a user that one of the cells belongs to."""
        ...


class FindFrames:
    """Use case: frames at a position."""

    def __init__(self, footprints: Footprints) -> None:
        self._footprints = footprints

    async def __call__(self, owner: str, ra_deg: float, dec_deg: float) -> list[FrameFootprint]:
        """Frames whose outline holds the position, newest first."""
        near = await self._footprints.touching(owner, unique_cells(position_keys(ra_deg, dec_deg)))
        return [frame for frame in near if contains(np.array(frame.outline_deg), ra_deg, dec_deg)[0]]
