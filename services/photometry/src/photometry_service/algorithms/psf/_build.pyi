"""Types of the compiled module."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

def star_equations(
    data: F32,
    mask: U8,
    rms: F32,
    shot: float,
    planes: F32,
    terms: int,
    mix: F32,
    oversampling: int,
    half_table: int,
    shapes: F64,
    inner: F64,
    outer: F64,
    half: int,
    radius: float,
    weight_floor: float,
    clip: float,
    misfit: float,
    with_shape: bool,
    star: F64,
    matrix: F64,
    vector: F64,
    chi2_red: F64,
) -> None: ...
def residual_equations(
    data: F32,
    mask: U8,
    rms: F32,
    shot: float,
    planes: F32,
    terms: int,
    mix: F32,
    oversampling: int,
    half_table: int,
    half: int,
    radius: float,
    weight_floor: float,
    clip: float,
    misfit: float,
    star: F64,
    factor: F64,
    spacing: float,
    nodes: int,
    band: F64,
    vector: F64,
) -> None: ...
