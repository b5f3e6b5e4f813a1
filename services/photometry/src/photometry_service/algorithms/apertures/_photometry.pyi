"""Types of the compiled module."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]

def measure(
    data: F32,
    state: U8,
    x: F64,
    y: F64,
    radii: F64,
    inner: float,
    outer: float,
    clip: float,
    rounds: int,
    own: F32 | None,
    own_corner: I32,
    total: F64,
    area: F64,
    found: U8,
    level: F64,
    sigma: F64,
    sky_pixels: I32,
    core: U8,
) -> None: ...
