import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

def windowed(
    image: NDArray[np.float32],
    mask: NDArray[np.uint8],
    x_start: Floats,
    y_start: Floats,
    background_variance: Floats,
    inverse_gain: float,
    window_sigma: float,
    passes: int,
    step: float,
    x_out: Floats,
    y_out: Floats,
    covariance: Floats,
    ok: NDArray[np.uint8],
) -> None: ...
def psf_fit(
    image: NDArray[np.float32],
    mask: NDArray[np.uint8],
    x_start: Floats,
    y_start: Floats,
    background_variance: Floats,
    inverse_gain: float,
    psf: Floats,
    oversampling: int,
    reach: int,
    passes: int,
    step: float,
    x_out: Floats,
    y_out: Floats,
    flux_out: Floats,
    chi2_out: Floats,
    covariance: Floats,
    rejected: NDArray[np.int32],
    ok: NDArray[np.uint8],
) -> None: ...
def half_light(image: NDArray[np.float32], x: Floats, y: Floats, reach: float, radius: Floats) -> None: ...
def psf_fit_together(
    residual: NDArray[np.float32],
    mask: NDArray[np.uint8],
    x_start: Floats,
    y_start: Floats,
    background_variance: Floats,
    inverse_gain: float,
    psf: Floats,
    oversampling: int,
    reach: int,
    far: int,
    rounds: int,
    passes: int,
    step: float,
    x_out: Floats,
    y_out: Floats,
    flux_out: Floats,
    chi2_out: Floats,
    covariance: Floats,
    rejected: NDArray[np.int32],
    ok: NDArray[np.uint8],
) -> None: ...
