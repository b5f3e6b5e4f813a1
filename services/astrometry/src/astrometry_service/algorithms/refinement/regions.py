"""The 24 regions of a frame: local matches and affines, and which of them agree with each other.

The reference stars come in carried to pixels by the start, so each region only has to find a small shift: by the
commonest offset and nearest neighbours (``nearest``), or by astroalign's triangles (``astroalign``); ``auto`` takes
the first and falls back on the second where it fails.

References
----------
Beroiz et al. 2020, Astronomy and Computing 32, 100384 (astroalign).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from astrometry_service.algorithms.refinement._regions import mutual_nearest
from astrometry_service.algorithms.refinement.affine_fit import fit_affine

__all__ = ["Region", "RegionOptions", "RegionStars", "match_regions", "region_grid"]

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class RegionOptions:
    """Every number of the region step.

    Attributes
    ----------
    columns, rows : regions of a landscape frame; exchanged for portrait
    brightest : sources per region
    min_stars : least sources and reference stars of a region
    stars_per_region : with fewer sources per region than this on average, regions merge (3 x 2, then 1)
    margin_px : reference stars are cut this much wider
    seeds : ``auto``, ``nearest`` or ``astroalign``
    control_points : of astroalign
    astroalign_min_sources : a region with fewer sources goes to ``nearest``
    offset_reach_px, offset_cell_px : pairs that vote for an offset, and how close their offsets lie together
    pair_radius_px, pair_rounds : nearest pairs within this of the affine, that many times
    max_linear_change : relative difference (Frobenius) of the linear part from the median of the regions
    spread_factor : ... or this many times the median difference, where distortion makes regions differ
    max_centre_offset_px : difference of the prediction at the frame's centre
    clipping_threshold : times the median rms
    workers : threads of the astroalign form
    """

    columns: int = 6
    rows: int = 4
    brightest: int = 40
    min_stars: int = 6
    stars_per_region: int = 10
    margin_px: float = 40.0
    seeds: str = "auto"
    control_points: int = 20
    astroalign_min_sources: int = 20
    offset_reach_px: float = 25.0
    offset_cell_px: float = 2.5
    pair_radius_px: float = 3.0
    pair_rounds: int = 3
    max_linear_change: float = 0.02
    spread_factor: float = 5.0
    max_centre_offset_px: float = 120.0
    clipping_threshold: float = 3.0
    workers: int = 1


@dataclass(frozen=True)
class RegionStars:
    """What the regions are matched from.

    Attributes
    ----------
    x, y : (n,), pixel, sources, brightest first
    ref_x, ref_y : (m,), pixel, reference stars where the start puts them, brightest first
    ref_plane : (m, 2), deg, standard coordinates of the reference stars
    nx, ny : pixel
    """

    x: Floats
    y: Floats
    ref_x: Floats
    ref_y: Floats
    ref_plane: Floats
    nx: int
    ny: int


@dataclass(frozen=True)
class Region:
    """One region and what became of it.

    Attributes
    ----------
    bounds : x0, y0, x1, y1 in pixels
    sources, references : how many were offered to the match
    method : ``nearest``, ``astroalign`` or empty when there was no match
    source_rows, reference_rows : (k,), the pairs, as rows of `RegionStars`
    affine : (2, 3), deg; (xi, eta) = affine @ (x - xc, y - yc, 1) about the **frame's centre**
    covariance : (3, 3), deg^2, of one row of the affine
    rms_px : pixel, per axis
    accepted : coherent with the other regions
    reason : why not, in one word
    """

    bounds: tuple[float, float, float, float]
    sources: int
    references: int
    method: str
    source_rows: Indices
    reference_rows: Indices
    affine: Floats
    covariance: Floats
    rms_px: float
    accepted: bool = False
    reason: str = ""


def region_grid(nx: int, ny: int, sources: int, options: RegionOptions) -> tuple[int, int]:
    """Columns and rows of regions for a frame with this many sources."""
    columns, rows = options.columns, options.rows
    if sources < columns * rows * options.stars_per_region:
        columns, rows = max(columns // 2, 1), max(rows // 2, 1)
    if sources < columns * rows * options.stars_per_region:
        columns = rows = 1
    return (columns, rows) if nx >= ny else (rows, columns)


def match_regions(stars: RegionStars, options: RegionOptions | None = None) -> tuple[Region, ...]:
    """Match every region by itself and mark those that agree.

    Parameters
    ----------
    stars : both lists, brightest first
    options : thresholds

    Returns
    -------
    One `Region` per cell, row by row; those without a match have an empty ``method`` and a NaN affine.
    """
    options = options or RegionOptions()
    columns, rows = region_grid(stars.nx, stars.ny, stars.x.size, options)
    x_edges, y_edges = np.linspace(0, stars.nx, columns + 1) - 0.5, np.linspace(0, stars.ny, rows + 1) - 0.5
    cells = [
        (float(x_edges[i]), float(y_edges[j]), float(x_edges[i + 1]), float(y_edges[j + 1]))
        for j in range(rows)
        for i in range(columns)
    ]
    if options.workers > 1:
        with ThreadPoolExecutor(options.workers) as pool:
            found = list(pool.map(lambda cell: _match_one(stars, cell, options), cells))
    else:
        found = [_match_one(stars, cell, options) for cell in cells]
    return _coherent(tuple(found), stars, options)


def _match_one(stars: RegionStars, bounds: tuple[float, float, float, float], options: RegionOptions) -> Region:
    x0, y0, x1, y1 = bounds
    pad = options.margin_px
    s = np.flatnonzero((stars.x >= x0) & (stars.x < x1) & (stars.y >= y0) & (stars.y < y1))[: options.brightest]
    inside = (stars.ref_x >= x0 - pad) & (stars.ref_x < x1 + pad) & (stars.ref_y >= y0 - pad)
    r = np.flatnonzero(inside & (stars.ref_y < y1 + pad))
    wider = (x1 - x0 + 2 * pad) * (y1 - y0 + 2 * pad) / ((x1 - x0) * (y1 - y0))
    r = r[: int(1.5 * s.size * wider) + 6]
    empty = Region(bounds, s.size, r.size, "", *_no_pairs(), np.full((2, 3), np.nan), np.full((3, 3), np.nan), np.nan)
    if s.size < options.min_stars or r.size < options.min_stars:
        return replace(empty, reason="too_few_stars")
    src, ref = np.stack([stars.x[s], stars.y[s]], 1), np.stack([stars.ref_x[r], stars.ref_y[r]], 1)
    try:
        method, pairs = _seed(src, ref, options)
        if pairs is None:
            return replace(empty, reason="no_match")
        i, j = s[pairs[0]], r[pairs[1]]
        # Fitted about the region's own middle, for conditioning, then moved to the frame's centre.
        middle = np.array([(x0 + x1) / 2.0, (y0 + y1) / 2.0])
        affine, covariance, _, sigma = fit_affine(
            stars.x[i] - middle[0], stars.y[i] - middle[1], stars.ref_plane[j], floor=1e-10
        )
    except np.linalg.LinAlgError:
        return replace(empty, reason="stars_on_a_line")
    shift = np.eye(3)
    shift[:2, 2] = np.array([(stars.nx - 1) / 2.0, (stars.ny - 1) / 2.0]) - middle
    scale = np.sqrt(abs(np.linalg.det(affine[:, :2])))
    return replace(
        empty, method=method, source_rows=i, reference_rows=j, affine=affine @ shift,
        covariance=shift.T @ covariance @ shift, rms_px=float(sigma / scale),
    )  # fmt: skip


def _seed(src: Floats, ref: Floats, options: RegionOptions) -> tuple[str, tuple[Indices, Indices] | None]:
    """Pairs of one region, by the methods in their order."""
    triangles = options.seeds in ("auto", "astroalign") and src.shape[0] >= options.astroalign_min_sources
    order = ["nearest"]
    if triangles:
        order = ["astroalign", "nearest"] if options.seeds == "astroalign" else ["nearest", "astroalign"]
    for method in order:
        matrix = (
            _astroalign_start(src, ref, options) if method == "astroalign" else _commonest_offset(src, ref, options)
        )
        pairs = _nearest_pairs(src, ref, matrix, options) if matrix is not None else None
        if pairs is not None:
            return method, pairs
    return "", None


def _commonest_offset(src: Floats, ref: Floats, options: RegionOptions) -> Floats | None:
    """Shift (2, 3) that most pairs within reach have in common; None when no two agree."""
    neighbours = cKDTree(ref).query_ball_point(src, options.offset_reach_px)
    counts = [len(n) for n in neighbours]
    if sum(counts) < 3:
        return None
    rows = np.repeat(np.arange(src.shape[0]), counts)
    offsets = ref[np.concatenate([np.asarray(n, dtype=np.intp) for n in neighbours if n])] - src[rows]
    tree = cKDTree(offsets)
    votes = tree.query_ball_point(offsets, options.offset_cell_px, return_length=True)
    best = int(np.argmax(votes))
    if votes[best] < 3:
        return None
    together = tree.query_ball_point(offsets[best], options.offset_cell_px)
    return np.hstack([np.eye(2), offsets[together].mean(axis=0)[:, None]])


def _astroalign_start(src: Floats, ref: Floats, options: RegionOptions) -> Floats | None:
    """Similarity (2, 3) found by astroalign, or None. Its seed shuffle is unseeded: only a start is taken from it."""
    import astroalign

    try:
        found, _ = astroalign.find_transform(src, ref, max_control_points=options.control_points)
    except (astroalign.MaxIterError, ValueError, TypeError, np.linalg.LinAlgError, IndexError):
        return None
    return np.asarray(found.params[:2], dtype=np.float64)


def _nearest_pairs(src: Floats, ref: Floats, matrix: Floats, options: RegionOptions) -> tuple[Indices, Indices] | None:
    """Mutual nearest pairs within the pair radius of an affine that is refitted in each round."""
    middle = src.mean(axis=0)
    for turn in range(options.pair_rounds):
        rows, hits = mutual_nearest(src @ matrix[:, :2].T + matrix[:, 2], ref, options.pair_radius_px)
        if rows.size < max(4, options.min_stars - 2):
            return None
        if turn + 1 < options.pair_rounds:
            x, y = (src[rows] - middle).T
            local, _, _, _ = fit_affine(x, y, ref[hits], floor=0.02)
            matrix = np.hstack([local[:, :2], (local[:, 2] - local[:, :2] @ middle)[:, None]])
    return rows, hits


def _coherent(regions: tuple[Region, ...], stars: RegionStars, options: RegionOptions) -> tuple[Region, ...]:
    """Accept the regions whose linear part, centre and rms agree with the median of all."""
    matched = [k for k, region in enumerate(regions) if region.method]
    if not matched:
        return regions
    linear = np.array([regions[k].affine[:, :2] for k in matched])
    centre = np.array([regions[k].affine[:, 2] for k in matched])
    rms = np.array([regions[k].rms_px for k in matched])
    median = np.median(linear, axis=0)
    change = np.linalg.norm((linear - median).reshape(len(matched), -1), axis=1) / np.linalg.norm(median)
    limit = max(options.max_linear_change, options.spread_factor * float(np.median(change)))
    scale = np.sqrt(abs(np.linalg.det(median))) or np.nan
    away = np.hypot(*(centre - np.median(centre, axis=0)).T) / scale
    too_wide = options.clipping_threshold * max(float(np.median(rms)), 0.05)
    out = list(regions)
    for n, k in enumerate(matched):
        reason = ""
        if change[n] > limit:
            reason = "linear_part"
        elif away[n] > options.max_centre_offset_px:
            reason = "centre_offset"
        elif rms[n] > too_wide:
            reason = "rms"
        out[k] = replace(out[k], accepted=not reason, reason=reason)
    return tuple(out)


def _no_pairs() -> tuple[Indices, Indices]:
    return np.zeros(0, np.intp), np.zeros(0, np.intp)
