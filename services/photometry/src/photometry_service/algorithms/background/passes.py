"""One pass over a frame: level and noise of every mesh, and the pixels on sources above a sky.

References
----------
Bertin & Arnouts (1996), A&AS 117, 393, section 3 (mesh, clipping, mode).
Da Costa (1992), ASP Conf. Ser. 23, 90 (mode from median and mean).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from photometry_service.algorithms.background import _meshes
from photometry_service.algorithms.background.map import Background, extend
from photometry_service.algorithms.background.mesh_filters import fill_meshes, filter_meshes, without_outliers
from photometry_service.algorithms.background.meshes import (
    MeshStatistics,
    clipped_gaussian_sigma,
    mesh_edges,
    mesh_statistics,
)
from photometry_service.algorithms.background.sky_floor import SkyFloor, level_as_cut

__all__ = ["BackgroundOptions", "FilterKind", "NoGoodPixelsError", "Pass", "mark_sources", "measure_pass"]

MAX_MODE_SKEW = 0.3
"""Largest ``|mean - median|`` in sigma for which the mode is trusted (SExtractor)."""

COARSE_STEPS = 1.5
"""Sigma in steps of the digitisation below which the median alone is used: the mode magnifies its rounding."""

MIN_MESH_PIXELS, MIN_MESH_SHARE, FEWEST_GOOD_MESHES = 16, 0.1, 0.5
"""Fewest good pixels, and share of them, that say anything about a mesh: enough where less than half of the meshes are
half good (sources fill the frame). A few meshes must not speak for all."""

FilterKind = Literal["all", "outliers", "none"]


class NoGoodPixelsError(ValueError):
    """No mesh has enough good pixels for a level."""


@dataclass(frozen=True)
class BackgroundOptions:
    """Parameters of the mesh.

    Attributes
    ----------
    box_px : meshes are as near to this as an even division of the frame allows. At least 10 FWHM.
    filter_size : meshes, odd; side of the median filter, 1 for none
    clip_sigma, max_iterations : clipping about the median, to convergence or for so many rounds
    estimator : ``sextractor`` (mode) or ``median``
    mask_sources : leave sources out in a second pass
    source_sigma : S/N of a 3x3 block above which the second pass leaves its surroundings out
    source_grow_px : pixels by which such a block is widened on all sides
    max_masked_fraction : share of masked pixels above which a mesh is filled from its neighbours
    """

    box_px: int = 64
    filter_size: int = 3
    clip_sigma: float = 3.0
    max_iterations: int = 10
    estimator: Literal["sextractor", "median"] = "sextractor"
    mask_sources: bool = True
    source_sigma: float = 4.0
    source_grow_px: int = 4
    max_masked_fraction: float = 0.5


@dataclass(frozen=True, eq=False)
class Pass:
    """What one pass found, and which meshes are constant."""

    sky: Background
    silent: NDArray[np.bool_]


def measure_pass(
    data: NDArray[np.float32],
    mask: NDArray[np.bool_],
    options: BackgroundOptions,
    quantum: tuple[float, float],
    *,
    above: Background | None = None,
    kind: FilterKind = "all",
    floor: SkyFloor | None = None,
) -> Pass:
    """One pass, of the frame or of what it is above a level: statistics of the meshes, mode, filling, filter.

    The filter takes all meshes, those that stand out, or none. With ``floor`` the sky is that before it was cut off there.
    """
    edges = mesh_edges(data.shape, options.box_px)
    found = mesh_statistics(
        data, mask, edges, clip_sigma=options.clip_sigma, max_iterations=options.max_iterations, quantum=quantum,
        above=above, floor=floor,
    )  # fmt: skip
    used, size_px = found.used, np.outer(*(np.diff(edge) for edge in edges))
    good = found.unmasked >= np.maximum(1, (1 - options.max_masked_fraction) * size_px)
    if np.mean(good) < FEWEST_GOOD_MESHES:
        good = used >= np.maximum(MIN_MESH_PIXELS, MIN_MESH_SHARE * size_px)
    if not good.any():
        good = used >= MIN_MESH_PIXELS
    if not good.any():
        raise NoGoodPixelsError(f"no mesh of {options.box_px} px has {MIN_MESH_PIXELS} good pixels")
    own = _level(found, quantum[0], options.estimator)
    silent = good & (found.sigma <= 0)
    noisy = good & ~silent
    level, rms = (
        (fill_meshes(own, noisy), fill_meshes(found.sigma, noisy))
        if noisy.any()
        else (fill_meshes(own, good), 0.0 * own)
    )
    if options.filter_size > 1:
        filtered = filter_meshes(level, options.filter_size)
        if kind == "all":
            level = filtered
        elif kind == "outliers":
            level = without_outliers(level, filtered, rms / np.sqrt(np.maximum(used, 1)))
        rms = np.maximum(filter_meshes(rms, options.filter_size), rms.min())
    level = np.where(silent, own, level)
    sky = Background(
        mesh=level if above is None else above.mesh + level,
        mesh_rms=rms / clipped_gaussian_sigma(options.clip_sigma),
        mesh_pixels=np.where(good, used, 0).astype(np.int32),
        shape=(data.shape[0], data.shape[1]),
        box_px=options.box_px,
        floor=floor,
    )
    return Pass(sky, silent)


def mark_sources(
    data: NDArray[np.float32], background: Background, threshold: float = 4.0, grow_px: int = 4
) -> NDArray[np.bool_]:
    """Pixels on and near sources: within ``grow_px`` of a 3x3 block whose sum is above ``threshold`` sigma.

    Parameters
    ----------
    data : (ny, nx), electron, background included
    background
        Its level is taken off; its rms sets the noise of a block, 3 rms.

    Returns
    -------
    (ny, nx), bool
    """
    if data.shape != background.shape:
        raise ValueError(f"background of a {background.shape} frame, data are {data.shape}")
    out = np.zeros(data.shape, np.uint8)
    mesh = background.mesh
    if background.floor is not None:
        mesh = level_as_cut(mesh, background.mesh_rms, background.floor.edge)
    nodes = np.ascontiguousarray(extend(mesh))
    pixels = np.ascontiguousarray(data, dtype=np.float32)
    _meshes.mark_sources(pixels, nodes, background.mesh_rms, *background.step_px, threshold, grow_px, out)
    return out.view(np.bool_)


def _level(found: MeshStatistics, step: float, estimator: str) -> NDArray[np.float64]:
    """Mode of every mesh where it can be trusted, else the median."""
    mean, median, sigma = found.mean, found.median, found.sigma
    if estimator == "median":
        return median
    use_median = (np.abs(mean - median) > MAX_MODE_SKEW * sigma) | (sigma < COARSE_STEPS * step)
    return np.where(use_median, median, 2.5 * median - 1.5 * mean)
