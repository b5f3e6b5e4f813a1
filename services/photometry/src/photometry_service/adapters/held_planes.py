"""Image planes that wait on disk while a stack of them is combined.

They are read, not mapped: mapped pages count as resident memory of the process, which is watched.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class HeldPlane:
    """One plane in a file of its own; ``plane[rows]`` reads these rows."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __getitem__(self, rows: slice, /) -> NDArray[Any]:
        first, last, _ = rows.indices(self.shape[0])
        width = math.prod(self.shape[1:])
        values = np.fromfile(
            self.path, self.dtype, max(0, last - first) * width, offset=first * width * self.dtype.itemsize
        )
        return values.reshape(-1, *self.shape[1:])


@dataclass
class PlaneFolder:
    """Puts planes into a folder."""

    folder: Path
    _held: list[Path] = field(default_factory=list)

    def hold(self, plane: NDArray[Any]) -> HeldPlane:
        """Write a plane and return its stand-in."""
        path = self.folder / f"plane{len(self._held)}.raw"
        self._held.append(path)
        np.ascontiguousarray(plane).tofile(path)
        return HeldPlane(path, plane.shape, plane.dtype)
