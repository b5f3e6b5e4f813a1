"""Cells, ranges and partitions: nothing lost, nothing twice."""

import itertools

import numpy as np
import pytest

from catalogs_service.algorithms.healpix import DEEPEST, cells, partition, region_cells, region_ranges
from catalogs_service.algorithms.sphere import unit_vectors, within_cone, within_polygon
from catalogs_service.domain.regions import Cone, Polygon


def whole_sky(n, seed=1):
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))


def inside(ranges, index):
    start, stop = ranges
    place = np.searchsorted(start, index, side="right") - 1
    return (place >= 0) & (index < stop[np.maximum(place, 0)])


@pytest.mark.parametrize("centre", [(0.0, 0.0), (45.0, 90.0), (0.0, -90.0), (359.9, 41.8)])
@pytest.mark.parametrize("radius", [0.01, 0.5, 10.0, 80.0, 180.0])
def test_ranges_cover_the_cone_and_little_more(centre, radius):
    ra, dec = whole_sky(20_000)
    rng = np.random.default_rng(2)
    near = unit_vectors(*centre) + rng.normal(0, np.radians(radius), (20_000, 3))
    near /= np.linalg.norm(near, axis=1)[:, None]
    ra = np.r_[ra, np.degrees(np.arctan2(near[:, 1], near[:, 0])) % 360]
    dec = np.r_[dec, np.degrees(np.arcsin(np.clip(near[:, 2], -1, 1)))]
    ranges = region_ranges(Cone(*centre, radius))
    covered = inside(ranges, cells(ra, dec))
    within = within_cone(unit_vectors(ra, dec), *centre, radius)
    assert not np.any(within & ~covered)
    area = np.sum((ranges[1] - ranges[0]).astype(float)) / (12 * 4.0**DEEPEST)
    assert area < 1.6 * np.sin(np.radians(radius) / 2) ** 2 + 1e-12
    assert np.all(ranges[0][1:] > ranges[1][:-1])


def test_polygon_ranges_cover_the_polygon():
    vertices = ((359.0, 10.0), (2.0, 9.0), (1.0, 13.0))
    ra, dec = np.random.default_rng(4).uniform([355, 8], [365, 14], (20_000, 2)).T % 360
    covered = inside(region_ranges(Polygon(vertices)), cells(ra, dec))
    assert not np.any(within_polygon(unit_vectors(ra, dec), vertices) & ~covered)


def test_cells_of_one_order_hold_every_position_of_the_cone():
    ra, dec = whole_sky(50_000)
    within = within_cone(unit_vectors(ra, dec), 10.0, 60.0, 8.0)
    assert set(cells(ra, dec, 6)[within]) <= set(region_cells(Cone(10.0, 60.0, 8.0), 6))


def test_partitions_hold_every_row_once_and_stay_below_the_threshold():
    ra, dec = whole_sky(30_000)
    ra = np.r_[ra, np.full(3_000, 77.0)]
    dec = np.r_[dec, np.full(3_000, 33.0)]
    index = np.sort(cells(ra, dec))
    parts = partition(index, threshold=500, highest_order=8)
    assert parts[0].start == 0
    assert parts[-1].stop == len(index)
    assert all(a.stop == b.start for a, b in itertools.pairwise(parts))
    assert all(part.stop - part.start <= 500 or part.order == 8 for part in parts)
    for part in parts:
        assert np.all(index[part.start : part.stop] >> (2 * (DEEPEST - part.order)) == part.pixel)
