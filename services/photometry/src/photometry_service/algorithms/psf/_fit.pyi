"""Types of the compiled module."""

import numpy as np
from numpy.typing import NDArray

from photometry_service.algorithms.psf._model import StarPsfs

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]
IntP = NDArray[np.intp]
I32 = NDArray[np.int32]

def fit_stars(
    data: F32,
    residual: F32,
    rms: F32,
    state: U8,
    shot: float,
    weight_floor: float,
    psfs: StarPsfs,
    order: IntP,
    half_fit: I32,
    half_render: I32,
    sweeps: int,
    full_sweeps: int,
    tolerance: float,
    largest_step: float,
    fit_position: bool,
    star: F64,
    change: F64,
) -> None: ...
def describe_stars(
    data: F32,
    residual: F32,
    rms: F32,
    state: U8,
    shot: float,
    weight_floor: float,
    psfs: StarPsfs,
    index: IntP,
    half_fit: I32,
    fit_position: bool,
    statistics_only: bool,
    star: F64,
    result: F64,
) -> None: ...
