"""Stars close to each other: groups that cannot be fitted one by one, and neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from photometry_service.domain.psf import FloatArray

__all__ = ["LARGEST_GROUP", "close_groups", "near_any"]

LARGEST_GROUP = 10
"""Larger groups are cut: the closest pairs join first, and no join makes a group larger than this."""


def close_groups(x: FloatArray, y: FloatArray, radius_px: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Friends of friends, the closest first.

    Parameters
    ----------
    x, y : (n,), pixels; positions that are not finite join no group

    Returns
    -------
    members : (m,), indices into x, group after group, ascending within a group
    start : (groups + 1,), where each group begins in ``members``
    """
    nothing = np.empty(0, dtype=np.intp), np.zeros(1, dtype=np.intp)
    usable = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if usable.size < 2 or radius_px <= 0:
        return nothing
    places = np.stack([x[usable], y[usable]], axis=1)
    pairs = cKDTree(places).query_pairs(radius_px, output_type="ndarray")
    if pairs.shape[0] == 0:
        return nothing
    distance = np.hypot(*(places[pairs[:, 0]] - places[pairs[:, 1]]).T)
    groups: dict[int, list[int]] = {}
    owner: dict[int, int] = {}
    for one, other in usable[pairs[np.lexsort((pairs[:, 1], pairs[:, 0], distance))]]:
        a, b = owner.setdefault(one, one), owner.setdefault(other, other)
        left, right = groups.setdefault(a, [one]), groups.setdefault(b, [other])
        if a == b or len(left) + len(right) > LARGEST_GROUP:
            continue
        left.extend(right)
        owner.update(dict.fromkeys(right, a))
        del groups[b]
    found = sorted(sorted(g) for g in groups.values() if len(g) > 1)
    members = np.array([m for g in found for m in g], dtype=np.intp)
    return members, np.concatenate([[0], np.cumsum([len(g) for g in found])]).astype(np.intp)


def near_any(x: FloatArray, y: FloatArray, star_x: FloatArray, star_y: FloatArray, radius: float) -> NDArray[np.bool_]:
    """(n,): whether a position has one of the stars within a radius; never for positions that are not finite."""
    near = np.zeros(x.size, dtype=bool)
    usable = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    known = np.isfinite(star_x) & np.isfinite(star_y)
    if known.any() and usable.size:
        tree = cKDTree(np.stack([star_x[known], star_y[known]], axis=1))
        near[usable] = tree.query(np.stack([x[usable], y[usable]], axis=1))[0] < radius
    return near
