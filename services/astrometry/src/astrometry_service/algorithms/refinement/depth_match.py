"""Depth match: flux-ranked, one-to-one pairs of all sources with all reference stars.

Both lists are ranked by brightness. Source by source, the nearest free target among the first S free ones is taken if
its magnitude fits, else the next nearest; both leave the lists. The literal form builds a KD-tree of the slice for every
source; here one KD-tree of all targets gives the candidates and a Fenwick tree tells which lie in the slice, with the same
result (tests/astrometry/algorithms/refinement/test_depth_match.py holds the literal form).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from astrometry_service.algorithms.refinement import _depth_match

__all__ = ["DepthMatch", "DepthMatchOptions", "depth_match", "match_radius", "rank_windows"]

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class DepthMatchOptions:
    """Every number of the depth match.

    Attributes
    ----------
    slice_size : least number of free targets that a source may choose from
    rank_factor : ... or this many times the local rank uncertainty
    max_mag_difference : mag, between the instrumental magnitude with zero point and the reference
    radius_sigmas : match radius in units of the expected error
    min_radius_px : pixel, least radius
    false_match_rate : expected number of chance targets within the radius, at most
    """

    slice_size: int = 60
    rank_factor: float = 3.0
    max_mag_difference: float = 1.5
    radius_sigmas: float = 3.0
    min_radius_px: float = 0.3
    false_match_rate: float = 0.05


@dataclass(frozen=True)
class DepthMatch:
    """Pairs of sources and targets.

    Attributes
    ----------
    sources, targets : (k,), rows of the input lists; one-to-one
    duplicates : (d,), sources whose nearest target went to a closer source (failsafe only)
    method : ``ranked`` or ``nearest_neighbour``
    reason : why the failsafe ran, or empty
    distance : (k,), the unit of the places
    """

    sources: Indices
    targets: Indices
    duplicates: Indices
    method: str
    reason: str
    distance: Floats


def match_radius(error: Floats, density: float, options: DepthMatchOptions, *, pixel: float) -> Floats:
    """Match radii (n,) from expected errors (n,) per axis and the density of targets; any one unit of length."""
    limit = np.sqrt(options.false_match_rate / (np.pi * density)) if density > 0 else np.inf
    wanted = np.maximum(options.radius_sigmas * error, options.min_radius_px * pixel)
    return np.minimum(wanted, max(limit, options.min_radius_px * pixel))


def rank_windows(source_mag: Floats, target_mag: Floats, options: DepthMatchOptions) -> Indices:
    """Size of the slice of free targets for each source.

    Notes
    -----
    By rank, source k expects the targets about its magnitude at the places b to b + u of the free list, where b is the
    backlog (targets brighter than it less the k sources already served: stars off the frame or not detected) and u the
    number of targets within half the allowed magnitude difference. S = max(60, b + 3 u). A source without a magnitude on
    the targets' scale has no rank and may choose from all.
    """
    order = np.sort(np.where(np.isfinite(target_mag), target_mag, np.inf))
    mags = np.where(np.isfinite(source_mag), source_mag, np.inf)
    half = 0.5 * options.max_mag_difference
    brighter = np.searchsorted(order, mags)
    spread = np.searchsorted(order, mags + half) - np.searchsorted(order, mags - half)
    backlog = np.maximum(brighter - np.arange(mags.size), 0)
    windows = np.maximum(options.slice_size, backlog + np.ceil(options.rank_factor * spread))
    return np.where(np.isfinite(source_mag), windows, target_mag.size).astype(np.intp)


def depth_match(
    source_xy: Floats,
    source_mag: Floats,
    target_xy: Floats,
    target_mag: Floats,
    radius: Floats,
    *,
    windows: Indices,
    max_mag_difference: float,
) -> DepthMatch:
    """Pair sources with targets.

    Parameters
    ----------
    source_xy, target_xy : (n, 2), (m, 2), places in one plane, **both sorted by brightness, brightest first**
    source_mag, target_mag : (n,), (m,), mag, on one scale; NaN fits anything
    radius : (n,), match radius of each source; one with NaN has no pair
    windows : (n,), from `rank_windows`
    max_mag_difference : mag

    Returns
    -------
    DepthMatch
        By the failsafe (nearest neighbours, duplicates flagged) when there are more sources than targets or when the
        targets run out.
    """
    n, m = source_xy.shape[0], target_xy.shape[0]
    if n == 0 or m == 0:
        none = np.zeros(0, np.intp)
        return DepthMatch(none, none, none, "ranked", "", np.zeros(0))
    tree = cKDTree(target_xy)
    if n > m:
        return _nearest_neighbours(tree, source_xy, source_mag, target_mag, radius, max_mag_difference, "more_sources")
    starts, candidates = _candidates(tree, source_xy, source_mag, target_mag, radius, max_mag_difference)
    matched = np.empty(n, np.intp)
    counts, taken = np.zeros(m + 1, np.intp), np.zeros(m, np.uint8)
    stopped = _depth_match.assign(starts, candidates, np.ascontiguousarray(windows, np.intp), m, counts, taken, matched)
    if stopped < n:
        return _nearest_neighbours(tree, source_xy, source_mag, target_mag, radius, max_mag_difference, "exhausted")
    rows = np.flatnonzero(matched >= 0)
    targets = matched[rows]
    distance = np.hypot(*(source_xy[rows] - target_xy[targets]).T)
    return DepthMatch(rows, targets, np.zeros(0, np.intp), "ranked", "", distance)


def _candidates(
    tree: cKDTree, source_xy: Floats, source_mag: Floats, target_mag: Floats, radius: Floats, max_mag: float
) -> tuple[Indices, Indices]:
    """Targets within the radius of each source that fit in magnitude, nearest first, in compressed rows."""
    reach = float(np.max(radius, where=np.isfinite(radius), initial=0.0)) * (1 + 1e-9)
    count = min(4, tree.n)
    while True:
        distance, hit = tree.query(source_xy, k=[*range(1, count + 1)], distance_upper_bound=reach)
        if count == tree.n or not np.any(distance[:, -1] <= radius):
            break
        count = min(2 * count, tree.n)
    inside = distance <= radius[:, None]
    safe = np.where(inside, hit, 0)
    inside &= ~(np.abs(source_mag[:, None] - target_mag[safe]) > max_mag)
    starts = np.concatenate([[0], np.cumsum(inside.sum(axis=1))]).astype(np.intp)
    return starts, np.ascontiguousarray(hit[inside], np.intp)


def _nearest_neighbours(
    tree: cKDTree,
    source_xy: Floats,
    source_mag: Floats,
    target_mag: Floats,
    radius: Floats,
    max_mag: float,
    reason: str,
) -> DepthMatch:
    """Nearest target that fits, for all sources at once; a target wanted twice goes to the closest."""
    starts, candidates = _candidates(tree, source_xy, source_mag, target_mag, radius, max_mag)
    rows = np.flatnonzero(np.diff(starts) > 0)
    hits = candidates[starts[rows]]
    distance = np.hypot(*(source_xy[rows] - tree.data[hits]).T)
    order = np.argsort(distance, kind="stable")
    first = np.unique(hits[order], return_index=True)[1]
    winners = np.sort(order[first])
    losers = np.setdiff1d(np.arange(rows.size), winners)
    return DepthMatch(rows[winners], hits[winners], rows[losers], "nearest_neighbour", reason, distance[winners])
