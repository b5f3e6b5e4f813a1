"""The level of a sky that changes within a mesh: followed pass by pass, each above the level of the one before.

First nothing is left out but what is bad: above a level that is too low the sky itself looks like a source, and what is
left out can not raise it. Then sources are. Where meshes of half the size give another level, these are used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import grey_dilation

from photometry_service.algorithms.background.map import Background
from photometry_service.algorithms.background.mesh_filters import smooth_surface
from photometry_service.algorithms.background.meshes import mesh_edges
from photometry_service.algorithms.background.passes import (
    BackgroundOptions,
    FilterKind,
    mark_sources,
    measure_pass,
)

__all__ = ["follow_sky", "is_steep"]

STEEP_SIGMA = 0.5
"""A sky is steep that changes from mesh to mesh by more than this much of the noise of a pixel."""

MOST_PASSES, SETTLED_SIGMA = 4, 0.3
"""Passes, until no mesh moves by more than this much of the noise of a pixel."""

BRIGHT_FACTOR = 4.0
"""By how much brighter a source must be where sources seem to fill a mesh."""

SMALLEST_FINE_PX, FINE_SIGMA = 24, 1.0
"""Meshes are not halved below this size; the level of finer ones is taken where it differs by this much of the noise."""

STILL_OFF = 0.125
"""Error of the finer level in those of the coarser one: cubic convolution is of third order (Richardson's estimate). It is
added to the noise, or what is left beside something narrow would look like stars."""

LOST_SIGMA, MOST_LOST = 30.0, 0.04
"""A mesh is lost where the finer level is off the coarser one by this much of the median noise; with a larger share lost
there are cliffs in the frame (strips without light, a glow) that no mesh follows."""


def is_steep(sky: Background) -> bool:
    """Whether the level changes from mesh to mesh by what the noise of its pixels shows."""
    steps = [np.abs(np.diff(sky.mesh, axis=axis)).max(initial=0.0) for axis in (0, 1)]
    return max(steps) > STEEP_SIGMA * sky.rms_median


def follow_sky(
    data: NDArray[np.float32], bad: NDArray[np.bool_], start: Background, options: BackgroundOptions,
    quantum: tuple[float, float],
) -> Background | None:  # fmt: skip
    """Level and noise of a steep sky; None where it has cliffs.

    Parameters
    ----------
    data, bad : (ny, nx); True = never used
    start : level to begin with, on the meshes of the options
    quantum : step and offset of the digitisation

    Raises
    ------
    NoGoodPixelsError
    """
    sky = _followed(data, bad, start, options, quantum)
    if options.box_px >= 2 * SMALLEST_FINE_PX:
        finer = replace(options, box_px=options.box_px // 2)
        same = sky.with_meshes(mesh_edges(data.shape, finer.box_px))
        fine = _followed(data, bad, same, finer, quantum)
        moved = np.abs(fine.mesh - same.mesh)
        if moved.max() > FINE_SIGMA * fine.rms_median:
            moved = grey_dilation(moved, 3)
            lost = moved > LOST_SIGMA * fine.rms_median
            if np.mean(lost) > MOST_LOST:
                return None
            left = np.where(lost, moved, STILL_OFF * np.maximum(moved - FINE_SIGMA * fine.mesh_rms, 0))
            sky = replace(fine, mesh_rms=np.hypot(fine.mesh_rms, left))
    return replace(sky, mesh=smooth_surface(sky.mesh, sky.mesh_rms / np.sqrt(np.maximum(sky.mesh_pixels, 1))))


def _followed(
    data: NDArray[np.float32], bad: NDArray[np.bool_], start: Background, options: BackgroundOptions,
    quantum: tuple[float, float],
) -> Background:  # fmt: skip
    """On meshes of one size: without leaving sources out, then with."""
    rough = _settled(data, start, options, quantum, lambda _: bad, "none")
    return _settled(data, rough, options, quantum, lambda sky: bad | _sources(data, sky, options), "outliers")


def _settled(
    data: NDArray[np.float32], sky: Background, options: BackgroundOptions, quantum: tuple[float, float],
    hidden: Callable[[Background], NDArray[np.bool_]], kind: FilterKind,
) -> Background:  # fmt: skip
    """Measure above the level known before, until it stands still; ``hidden`` gives what is left out above a level."""
    for _ in range(MOST_PASSES):
        before, sky = sky, measure_pass(data, hidden(sky), options, quantum, above=sky, kind=kind, floor=sky.floor).sky
        if np.abs(sky.mesh - before.mesh).max() <= SETTLED_SIGMA * sky.rms_median:
            break
    return sky


def _sources(data: NDArray[np.float32], sky: Background, options: BackgroundOptions) -> NDArray[np.bool_]:
    """Sources above a steep sky; in meshes that they fill only the bright ones, as the level may be too low there."""
    marked = mark_sources(data, sky, options.source_sigma, options.source_grow_px)
    y_edges, x_edges = mesh_edges(data.shape, options.box_px)
    share = np.add.reduceat(np.add.reduceat(marked, y_edges[:-1], axis=0, dtype=np.int32), x_edges[:-1], axis=1)
    full = share > options.max_masked_fraction * np.outer(np.diff(y_edges), np.diff(x_edges))
    if full.any():
        bright = mark_sources(data, sky, BRIGHT_FACTOR * options.source_sigma, options.source_grow_px)
        for j, i in np.argwhere(full):
            place = np.s_[y_edges[j] : y_edges[j + 1], x_edges[i] : x_edges[i + 1]]
            marked[place] = bright[place]
    return marked
