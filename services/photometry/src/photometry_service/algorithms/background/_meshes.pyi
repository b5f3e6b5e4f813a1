"""Types of the compiled module."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]

def mesh_statistics(
    data: F32,
    mask: U8,
    y_edges: I32,
    x_edges: I32,
    clip: float,
    rounds: int,
    quantum: float,
    offset: float,
    mean: F64,
    median: F64,
    sigma: F64,
    used: I32,
    good: I32,
) -> None: ...
def render(nodes: F64, step_y: float, step_x: float, data: F32 | None, out: F32, first_row: int = 0) -> None: ...
def mark_sources(
    data: F32, nodes: F64, rms: F64, step_y: float, step_x: float, threshold: float, grow: int, out: U8
) -> None: ...
