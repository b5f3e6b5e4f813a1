"""Types of the compiled module."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I32 = NDArray[np.int32]
U8 = NDArray[np.uint8]

def marginal_gaussians(data: F32, mask: U8, x: I32, y: I32, half: int, out: F64) -> None: ...
def tile_peaks(data: F32, mask: U8, tile: int, out: I32, border: int) -> None: ...
