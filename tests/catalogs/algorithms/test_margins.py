"""Margins of partitions against a search over all rows and cells."""

import numpy as np
import pytest

from catalogs_service.algorithms.healpix import DEEPEST, cells, partition
from catalogs_service.algorithms.margins import Tiling, margin_rows
from catalogs_service.algorithms.sphere import separation_deg

PLACES = {
    "0h": (0.0, 0.0), "north pole": (0.0, 90.0), "south pole": (0.0, -90.0), "corner of base cells": (45.0, 41.8103149),
    "corner at the equator": (90.0, 0.0),
}  # fmt: skip


def around(rng, ra, dec, radius_deg, n):
    """Positions within a radius of a place, uniform."""
    distance, angle = radius_deg * np.sqrt(rng.random(n)), rng.uniform(0, 2 * np.pi, n)
    if abs(dec) == 90.0:
        return np.degrees(angle), np.copysign(90 - distance, dec)
    there = dec + distance * np.sin(angle)
    return (ra + distance * np.cos(angle) / np.cos(np.radians(there))) % 360.0, there


def tiling_of(index, threshold, highest_order=11):
    parts = partition(np.sort(index), threshold=threshold, highest_order=highest_order)
    return Tiling(np.array([part.order for part in parts]), np.array([part.pixel for part in parts]))


def margins_of(index, tiling, radius_deg):
    """(row, order, pixel) of all partitions."""
    found = set()
    for own, (start, stop) in enumerate(zip(tiling.start, tiling.stop, strict=True)):
        rows = np.flatnonzero((index >= start) & (index < stop))
        near = margin_rows(index[rows], own, tiling, radius_deg)
        found |= set(zip(rows[near.row].tolist(), near.order.tolist(), near.pixel.tolist(), strict=True))
    return found


def holds(order, pixel, index):
    return index >> (2 * (DEEPEST - order)) == pixel


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("radius_deg", "field_deg", "highest_order"), [(0.001, 0.05, 11), (0.016, 0.2, 11), (0.1, 6.0, 6)]
)
def test_whatever_lies_within_the_radius_is_in_the_margin(place, radius_deg, field_deg, highest_order):
    """Pairs of any two positions across a border: the row is in the margin of the cell, or gap, of the other position."""
    rng = np.random.default_rng(3)
    ra, dec = around(rng, *PLACES[place], field_deg, 700)
    index = cells(ra, dec)
    tiling = tiling_of(index, 40, highest_order)
    assert len(tiling.order) > 8
    found = margins_of(index, tiling, radius_deg)
    # the other list has a star near each row, on the circle where that is hardest
    angle = rng.uniform(0, 2 * np.pi, len(ra))
    other_dec = np.clip(dec + 0.999 * radius_deg * np.sin(angle), -90, 90)
    other_ra = (ra + 0.999 * radius_deg * np.cos(angle) / np.maximum(np.cos(np.radians(dec)), 1e-3)) % 360
    near = separation_deg(ra, dec, other_ra, other_dec) <= radius_deg
    assert near.mean() > 0.5
    other = cells(other_ra, other_dec)
    deepest = int(tiling.order.max())
    crossings = 0
    for row in np.flatnonzero(near):
        part = np.flatnonzero((other[row] >= tiling.start) & (other[row] < tiling.stop))
        order = int(tiling.order[part[0]]) if len(part) else deepest
        pixel = int(other[row] >> (2 * (DEEPEST - order)))
        if not holds(order, pixel, index[row]):
            crossings += 1
            assert (int(row), order, pixel) in found
    assert crossings > 20


def test_only_what_is_near_a_border_is_in_a_margin():
    rng = np.random.default_rng(4)
    ra, dec = rng.uniform(0, 360, 20_000), np.degrees(np.arcsin(rng.uniform(-1, 1, 20_000)))
    index = cells(ra, dec)
    tiling = tiling_of(index, 1000)
    assert len(margins_of(index, tiling, 1 / 3600)) < 20


def test_no_row_is_in_the_margin_of_its_own_cell():
    rng = np.random.default_rng(5)
    index = cells(*around(rng, 0.0, 0.0, 0.05, 500))
    tiling = tiling_of(index, 40)
    assert not any(holds(order, pixel, index[row]) for row, order, pixel in margins_of(index, tiling, 0.01))


def test_a_partition_without_rows_has_no_margin():
    tiling = Tiling(np.array([0]), np.array([3]))
    assert len(margin_rows(np.empty(0, np.int64), 0, tiling, 0.1).row) == 0
