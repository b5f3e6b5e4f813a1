import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

def mutual_nearest(places: Floats, others: Floats, radius: float) -> tuple[Indices, Indices]: ...
def reweighted_affine(
    x: Floats,
    y: Floats,
    target: Floats,
    rounds: int,
    floor: float,
    tukey: float,
    tolerance: float,
    matrix: Floats,
    normal: Floats,
    weights: Floats,
    distance: Floats,
) -> bool: ...
