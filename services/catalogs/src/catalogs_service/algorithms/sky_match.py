"""One-to-one matching of sources to a list on the sky, with every candidate and its chance probability.

A pair is a candidate when

    s <= min(cap, n_sigma sqrt(sigma_source^2 + sigma_list^2) + floor).

Candidates are ranked by the likelihood of a true counterpart, -2 ln L = s^2 / sigma^2 + 2 ln sigma^2 with sigma^2 =
sigma_source^2 + sigma_list^2 + (floor / n_sigma)^2; for equal errors that is the order of separation. Pairs are chosen
best first among those whose two ends are free, so that no source and no list entry is used twice. The chance
probability is 1 - exp(-pi rho s^2), rho the density of the list around the source.

The sources are put into the cells of a sky grid that their circles touch; the list streams past, each entry looking
into its own cell only (``sky_grid``, ``_sky_pairs.pyx``). Time grows with the sum of both lists.

References
----------
Sutherland & Saunders 1992, MNRAS 259, 413 (likelihood of a counterpart).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from catalogs_service.algorithms import _sky_pairs
from catalogs_service.algorithms.sky_grid import FILTER_BITS, grid_for_circles, grid_for_density
from catalogs_service.algorithms.sphere import ARCSEC_PER_DEG
from catalogs_service.domain.positions import Floats, Placed

Indices = NDArray[np.int64]

# Rows that a density is counted from; at 25 rows a cell its error stays 20 %.
_DENSITY_ROWS = 200_000
_RAD_PER_ARCSEC = np.pi / 180 / ARCSEC_PER_DEG


@dataclass(frozen=True, slots=True)
class MatchRadius:
    """How near is near. ``cap_arcsec`` bounds sources or entries with huge errors."""

    n_sigma: float = 3.0
    floor_arcsec: float = 1.0
    cap_arcsec: float = 60.0


@dataclass(frozen=True, slots=True)
class Candidates:
    """Pairs (m,), sorted by source, then best first.

    ``source`` and ``entry`` are row numbers, ``sep_arcsec`` the separation, ``sep_sigma`` the separation in combined
    errors (NaN where neither side has an error), ``p_chance`` the chance probability, ``best`` the one-to-one choice.
    """

    source: Indices
    entry: Indices
    sep_arcsec: Floats
    sep_sigma: Floats
    p_chance: Floats
    best: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.source)


@dataclass(frozen=True, slots=True)
class SkyPairs:
    """Pairs (m,) before any is chosen, in no order; ``badness`` is -2 ln L, the rest as in `Candidates`."""

    source: Indices
    entry: Indices
    sep_arcsec: Floats
    sep_sigma: Floats
    p_chance: Floats
    badness: Floats

    def __len__(self) -> int:
        return len(self.source)

    def ranked(self, best: NDArray[np.bool_]) -> Candidates:
        """The pairs in their order, with the choice (m,) that `one_to_one` made."""
        order = _by_source(self.source, self.entry, self.badness)
        return Candidates(
            self.source[order],
            self.entry[order],
            self.sep_arcsec[order],
            self.sep_sigma[order],
            self.p_chance[order],
            best[order],
        )


def match_sky(sources: Placed, entries: Placed, radius: MatchRadius = MatchRadius()) -> Candidates:
    """Every pair near enough, its rank, chance probability and the one-to-one choice.

    Parameters
    ----------
    sources : (n,), at the epoch of the entries
        Rows that are not finite get no candidate.
    entries : (k,), of the list
    radius : MatchRadius

    Returns
    -------
    Candidates
        Sorted by source, then by likelihood, then by row of the list. Empty where either side is.
    """
    pairs = sky_pairs(sources, entries, radius)
    return pairs.ranked(one_to_one(pairs.source, pairs.entry, pairs.badness))


def sky_pairs(sources: Placed, entries: Placed, radius: MatchRadius = MatchRadius()) -> SkyPairs:
    """Every pair near enough; parameters as for `match_sky`.

    Sources may be given in pieces: their pairs together are those of all sources, from which `one_to_one` chooses.
    """
    ra, dec, rows = _radians(sources.ra, sources.dec)
    if len(rows) == 0 or len(entries.ra) == 0:
        return _none()
    list_ra, list_dec = _radians_of_list(entries.ra, entries.dec)
    source_var = np.broadcast_to(_variance_rad2(sources.error_arcsec), np.shape(sources.ra))[rows]
    list_var = _variance_rad2(entries.error_arcsec)
    i, entry, sep = _pairs(ra, dec, source_var, list_ra, list_dec, list_var, radius)
    sigma2 = source_var[i] + (list_var[0] if len(list_var) == 1 else list_var[entry])
    density = _density_deg2(ra, dec, list_ra, list_dec)
    softened = sigma2 + (max(radius.floor_arcsec, 1e-6) * _RAD_PER_ARCSEC / radius.n_sigma) ** 2
    badness = sep**2 / softened + 2 * np.log(softened)
    with np.errstate(invalid="ignore", divide="ignore"):
        sep_sigma = np.where(sigma2 > 0, sep / np.sqrt(sigma2), np.nan)
    p_chance = -np.expm1(-np.pi * density[i] * np.degrees(sep) ** 2)
    return SkyPairs(rows[i], entry, sep / _RAD_PER_ARCSEC, sep_sigma, p_chance, badness)


def one_to_one(source: Indices, entry: Indices, badness: Floats) -> NDArray[np.bool_]:
    """Choose pairs (m,) in order of badness, ties by source and entry, each source and each entry at most once."""
    chosen = np.ones(len(source), bool)
    if len(source) == 0:
        return chosen
    # only pairs that share an end with another have rivals, and their rivals are among them
    rivals = np.flatnonzero((np.bincount(source)[source] > 1) | (np.bincount(entry)[entry] > 1))
    rivals = rivals[np.lexsort((entry[rivals], source[rivals], badness[rivals]))]
    picked = np.zeros(len(rivals), np.uint8)
    taken = np.zeros(int(source.max()) + 1, np.uint8), np.zeros(int(entry.max()) + 1, np.uint8)
    _sky_pairs.assign_in_order(source[rivals], entry[rivals], picked, *taken)
    chosen[rivals] = picked.astype(bool)
    return chosen


def _by_source(source: Indices, entry: Indices, badness: Floats) -> Indices:
    """Order by source, then badness, then entry; the finer keys are looked at only where a source has several pairs."""
    order = np.argsort(source)
    several = np.flatnonzero((np.bincount(source)[source] > 1)[order]) if len(source) else order
    rows = order[several]
    order[several] = rows[np.lexsort((entry[rows], badness[rows], source[rows]))]
    return order


def _none() -> SkyPairs:
    nothing, rows = np.empty(0), np.empty(0, np.int64)
    return SkyPairs(rows, rows, nothing, nothing, nothing, nothing)


def _radians(ra_deg: Floats, dec_deg: Floats) -> tuple[Floats, Floats, Indices]:
    """Finite positions in radians and their rows."""
    ra, dec = np.asarray(ra_deg, float), np.asarray(dec_deg, float)
    rows = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
    return np.radians(ra[rows] % 360.0), np.radians(dec[rows]), rows


def _radians_of_list(ra_deg: Floats, dec_deg: Floats) -> tuple[Floats, Floats]:
    """The list in radians, NaN where a coordinate is not finite."""
    ra, dec = np.ascontiguousarray(ra_deg, float), np.ascontiguousarray(dec_deg, float)
    bad = ~(np.isfinite(ra) & np.isfinite(dec))
    if bad.any():
        ra, dec = np.where(bad, np.nan, ra), np.where(bad, np.nan, dec)
        if np.nanmin(ra, initial=0) < 0 or np.nanmax(ra, initial=0) >= 360:
            ra = ra % 360.0
    elif ra.min(initial=0) < 0 or ra.max(initial=0) >= 360:
        ra = ra % 360.0
    return np.radians(ra), np.radians(dec)


def _variance_rad2(error_arcsec: Floats | float | None) -> Floats:
    """Errors squared in rad^2, one element for a number; unknown ones count as zero."""
    error = np.atleast_1d(np.asarray(0.0 if error_arcsec is None else error_arcsec, float))
    return np.where(np.isfinite(error), error * _RAD_PER_ARCSEC, 0.0) ** 2


def _pairs(
    ra: Floats,
    dec: Floats,
    source_var: Floats,
    list_ra: Floats,
    list_dec: Floats,
    list_var: Floats,
    radius: MatchRadius,
) -> tuple[Indices, Indices, Floats]:
    """Pairs of the whole list, in pieces of a buffer that grows where one entry has more pairs than it holds."""
    floor, cap = radius.floor_arcsec * _RAD_PER_ARCSEC, radius.cap_arcsec * _RAD_PER_ARCSEC
    reach = np.minimum(radius.n_sigma * np.sqrt(source_var + list_var.max()) + floor, cap)
    grid = grid_for_circles(ra, dec, reach)
    place = np.stack([ra, dec, source_var, np.cos(dec), np.sin(dec)], axis=1)[grid.source]
    room, begin = max(2 * len(ra), 1024), 0
    pieces: list[tuple[Indices, Indices, Floats]] = []
    while begin < len(list_ra):
        out_source, out_entry, out_sep = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room)
        following, count = _sky_pairs.pairs_from(
            begin, list_ra, list_dec, list_var, grid.height, grid.zone_offset, FILTER_BITS, grid.bitmap, grid.bits,
            grid.bucket_start, grid.cell, grid.source, place, radius.n_sigma, floor, cap,
            out_source, out_entry, out_sep,
        )  # fmt: skip
        pieces.append((out_source[:count], out_entry[:count], out_sep[:count]))
        room = room * 4 if following == begin else room
        begin = following
    sources, entries, seps = zip(*pieces, strict=True)
    return np.concatenate(sources), np.concatenate(entries), np.concatenate(seps)


def _density_deg2(ra: Floats, dec: Floats, list_ra: Floats, list_dec: Floats) -> Floats:
    """Entries per square degree around each source.

    Counted in the grid cell of the source; never below half the mean over all such cells, since a cell at the edge of
    the list is partly empty. Of a long list every k-th row is counted, in cells k times as large.
    """
    every = max(len(list_ra) // _DENSITY_ROWS, 1)
    list_ra, list_dec = np.ascontiguousarray(list_ra[::every]), np.ascontiguousarray(list_dec[::every])
    grid, place = grid_for_density(ra, dec, list_ra, list_dec)
    counts = np.zeros(len(grid.cell), np.int64)
    _sky_pairs.count_in_cells(
        list_ra, list_dec, grid.height, grid.zone_offset, grid.bits, grid.bucket_start, grid.cell, counts
    )
    area = grid.cell_area_deg2() / every
    mean = max(counts.sum(), 1) / area.sum()
    return np.asarray(np.maximum(counts / area, mean / 2)[place])


__all__ = ["Candidates", "MatchRadius", "SkyPairs", "match_sky", "one_to_one", "sky_pairs"]
