"""Types of the compiled module."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

class StarPsfs:
    def __init__(
        self,
        planes: F32,
        terms: int,
        oversampling: int,
        half_table: int,
        mix: F32,
        room: int = ...,
    ) -> None: ...

def moffat_nodes(
    shapes: F64,
    oversampling: int,
    inner: F64,
    outer: F64,
    out: F64,
) -> None: ...
def evaluate_stamps(
    planes: F32,
    terms: int,
    oversampling: int,
    half_table: int,
    mix: F32,
    x: F64,
    y: F64,
    half: int,
    out: F32,
) -> None: ...
