"""Types of the compiled module."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

def lacosmic(
    data: NDArray[np.float32],
    variance: NDArray[np.float32],
    bad: NDArray[np.uint8],
    hit: NDArray[np.uint8],
    full: bool,
    sigclip: float,
    low: float,
    objlim: float,
    rounds: int,
    satlevel: float,
    saturated_core: float,
    by: int,
    fallback: Callable[[], tuple[float, float]],
    most: int,
    kernel: NDArray[np.float32] | None,
) -> int: ...
