"""Types of the compiled module."""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]
IntP = NDArray[np.intp]

def matched_filter(
    image: F32,
    frame: F32,
    with_model: bool,
    mask: U8,
    rms: F32,
    along_y: F32,
    along_x: F32,
    variance_y: F32,
    variance_x: F32,
    squares: F32,
    shot: float,
    floor2: float,
    out: F32,
) -> None: ...
def find_maxima(
    snr: F32,
    threshold: float,
    found_y: IntP,
    found_x: IntP,
) -> int: ...
def filter_flux(
    image: F32,
    mask: U8,
    kernel: F32,
    y: IntP,
    x: IntP,
    out: F32,
) -> None: ...
def half_maximum_moments(
    image: F32,
    mask: U8,
    y: IntP,
    x: IntP,
    reach: int,
    out: F64,
) -> None: ...
