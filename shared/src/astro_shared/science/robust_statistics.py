"""Scatter that outliers do not move."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["MAD_TO_SIGMA", "mad_std"]

#: Standard deviation of a normal distribution over its median absolute deviation.
MAD_TO_SIGMA = 1.4826


def mad_std(values: ArrayLike, centre: ArrayLike | None = None, *, axis: int | None = None) -> Any:
    """Standard deviation of normal values with outliers: 1.4826 times the median absolute deviation.

    Parameters
    ----------
    values : any shape
    centre : what they deviate from, to be subtracted as it stands; by default their median along ``axis``
    axis : as for `numpy.median`

    Returns
    -------
    float, or an array without ``axis``; NaN where there are no values or one is NaN
    """
    data: NDArray[Any] = np.asarray(values)
    if data.size == 0:
        return float("nan")
    middle = np.median(data, axis=axis, keepdims=axis is not None) if centre is None else centre
    return MAD_TO_SIGMA * np.median(np.abs(data - middle), axis=axis)
