"""Sky level and noise of a frame on a mesh, and their maps.

Every mesh gives a clipped mean, median and standard deviation from one histogram of its pixels; the level is
SExtractor's mode; a median filter takes out meshes spoilt by a bright object; cubic interpolation gives the maps.
In a second pass the pixels of the sources found above the first map are left out; a steep sky takes more passes.

References
----------
Bertin & Arnouts (1996), A&AS 117, 393, section 3 (mesh, clipping, mode).
Keys (1981), IEEE Trans. ASSP 29, 1153 (cubic convolution).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from photometry_service.algorithms.background.digitisation import digitisation
from photometry_service.algorithms.background.map import Background
from photometry_service.algorithms.background.mesh_filters import fill_meshes
from photometry_service.algorithms.background.passes import (
    BackgroundOptions,
    NoGoodPixelsError,
    mark_sources,
    measure_pass,
)
from photometry_service.algorithms.background.sky_floor import find_floor, padding_at
from photometry_service.algorithms.background.steep_sky import follow_sky, is_steep

__all__ = ["Background", "BackgroundOptions", "NoGoodPixelsError", "estimate_background", "mark_sources"]


def estimate_background(
    data: NDArray[np.float32], mask: NDArray[np.bool_] | None = None, options: BackgroundOptions | None = None
) -> Background:
    """Measure level and noise of a frame on a mesh.

    Parameters
    ----------
    data : (ny, nx), any unit of any scale, finite where not masked
    mask : (ny, nx), True = leave out
    options
        Defaults: box 64, 3x3 filter, 3-sigma clip, sources left out in a second pass.

    Returns
    -------
    Background
        In the unit of ``data``. The rms is the clipped standard deviation divided by what clipping takes from
        a Gaussian (1.5 % at 3 sigma). Meshes that are mostly masked or without any noise (padding of a stack) are
        filled from their neighbours; a constant frame has rms 0 everywhere.

    Raises
    ------
    NoGoodPixelsError
        No mesh has 16 good pixels.

    Notes
    -----
    Level = 2.5 median - 1.5 mean, or the median where ``|mean - median|`` > 0.3 sigma or where the digitisation is
    coarser than sigma / 1.5. Digitised values are counted
    in bins of whole steps and the median is interpolated inside its bin: the median of integers itself may be
    off by half a step, which the mode would multiply by 2.5. A level that changes from mesh to mesh by more than half of
    the noise of a pixel is followed by more passes, on meshes of half the size where that matters.
    Where the sky was cut off at its lowest value (see ``sky_floor``), level and noise are those before that.
    """
    options = options or BackgroundOptions()
    if mask is None:
        mask = np.zeros(data.shape, np.bool_)
    if mask.shape != data.shape:
        raise ValueError(f"mask is {mask.shape}, data are {data.shape}")
    data = np.ascontiguousarray(data, dtype=np.float32)
    quantum = digitisation(data, mask)
    floor = find_floor(data, mask)
    if floor is not None:
        mask = mask | padding_at(data, floor.value)
    first = measure_pass(data, mask, options, quantum, floor=floor)
    if not options.mask_sources or not first.sky.mesh_rms.any():
        return first.sky
    dark = first.silent & (first.sky.mesh < first.sky.mesh[~first.silent].min(initial=np.inf))
    padding = np.unique(first.sky.mesh[dark]).astype(np.float32) if floor is None else np.empty(0, np.float32)
    hidden = mask | np.isin(data, padding) if padding.size else mask
    sky = replace(first.sky, mesh=fill_meshes(first.sky.mesh, ~dark))
    try:
        followed = follow_sky(data, hidden, sky, options, quantum) if is_steep(sky) else None
        if followed is None:
            sources = mark_sources(data, sky, options.source_sigma, options.source_grow_px)
            followed = measure_pass(data, hidden | sources, options, quantum, floor=floor).sky
        sky = followed
    except NoGoodPixelsError:
        pass
    return _padded(sky, first.sky, dark) if padding.size else sky


def _padded(sky: Background, first: Background, padding: NDArray[np.bool_]) -> Background:
    """The sky, and the value of the padding where a mesh of the first pass holds nothing else."""
    rows, columns = (np.arange(n) * m // n for n, m in zip(sky.mesh.shape, padding.shape, strict=True))
    place = np.ix_(rows, columns)
    return replace(sky, mesh=np.where(padding[place], first.mesh[place], sky.mesh))
