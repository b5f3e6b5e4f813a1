import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]

def assign(
    starts: Indices,
    candidates: Indices,
    windows: Indices,
    n_targets: int,
    tree: Indices,
    taken: NDArray[np.uint8],
    matched: Indices,
) -> int: ...
