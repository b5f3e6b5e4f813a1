"""Types of the compiled module."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

def moffat_nodes(
    log_s: float,
    e1: float,
    e2: float,
    beta: float,
    oversampling: int,
    points: F64,
    weights: F64,
    second_order: bool,
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
