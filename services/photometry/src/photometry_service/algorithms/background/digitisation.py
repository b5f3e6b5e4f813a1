"""The step of whole numbers in which pixels were written."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["digitisation"]

DIGITISED_SHARE, RARE_VALUE = 0.5, 0.05
"""Share of the pixels that common values must hold; where they hold fewer, the steps are too fine to matter. A value is
rare that is seen once, or this often for each time that the most common one is."""


def digitisation(data: NDArray[np.float32], mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Step and offset of digitised data, in the unit of the data; (0, 0) when they are not digitised.

    Rare values do not count: mended pixels lie between the steps.
    """
    stride = max(1, data.size // 4096) | 1
    sample = data.ravel()[::stride][~mask.ravel()[::stride]].astype(np.float64)
    if sample.size < 64:
        return 0.0, 0.0
    low, high = np.quantile(sample, [0.02, 0.9])
    inner = sample[(sample >= low) & (sample <= high)]
    values, counts = np.unique(inner, return_counts=True)
    common = counts > max(1.0, RARE_VALUE * counts.max(initial=0))
    values, counts = values[common], counts[common]
    if values.size < 2 or counts.sum() < DIGITISED_SHARE * inner.size:
        return 0.0, 0.0
    resolution = 4 * np.finfo(np.float32).eps * np.abs(values).max()
    differences = np.diff(values)
    differences = differences[differences > resolution]
    if differences.size == 0:
        return 0.0, 0.0
    step = differences.min()
    steps = (values - values[0]) / step
    digitised = np.abs(steps - np.round(steps)).max() < 0.05 and step > 2 * resolution
    return (float(step), float(values[0])) if digitised else (0.0, 0.0)
