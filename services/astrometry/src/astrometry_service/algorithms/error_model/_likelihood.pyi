import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

def misfit(pairs: Floats, weights: Floats, a: float, s: float) -> float: ...
def slopes(
    pairs: Floats, weights: Floats, seen: Floats, a: float, s: float
) -> tuple[float, float, float, float, float]: ...
