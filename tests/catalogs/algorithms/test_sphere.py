"""Directions, cones and polygons against closed formulas."""

import numpy as np
import pytest

from catalogs_service.algorithms.sphere import (
    enclosing_cone,
    positions,
    separation_deg,
    unit_vectors,
    within_cone,
    within_polygon,
)
from catalogs_service.domain.regions import Cone, Polygon
from catalogs_service.errors import RegionError


def test_positions_and_vectors_are_inverse_of_each_other():
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(0, 360, 1000), rng.uniform(-90, 90, 1000)
    back_ra, back_dec = positions(3.7 * unit_vectors(ra, dec))
    assert np.max(separation_deg(ra, dec, back_ra, back_dec)) < 1e-12


def test_right_ascension_stays_below_360():
    ra, _ = positions(np.array([[1.0, -1e-17, 0.0]]))
    assert ra[0] == 0.0


@pytest.mark.parametrize("sep_arcsec", [1e-6, 0.01, 1.0, 3600.0, 90 * 3600.0, 179.9 * 3600.0])
def test_separation_along_a_meridian_is_the_difference_in_declination(sep_arcsec):
    assert separation_deg(33.0, -89.95, 33.0, -89.95 + sep_arcsec / 3600) * 3600 == pytest.approx(
        sep_arcsec, rel=1e-8, abs=1e-10
    )


def test_cone_across_the_pole_and_zero_hours():
    ra, dec = np.array([0.0, 180.0, 359.9, 0.2, 10.0]), np.array([89.5, 89.5, 0.0, 0.0, 88.0])
    assert within_cone(unit_vectors(ra, dec), 90.0, 90.0, 1.0).tolist() == [True, True, False, False, False]
    assert within_cone(unit_vectors(ra, dec), 0.05, 0.0, 0.2).tolist() == [False, False, True, True, False]


def test_polygon_across_zero_hours_in_either_sense():
    vertices = ((359.0, -1.0), (1.0, -1.0), (1.0, 1.0), (359.0, 1.0))
    points = unit_vectors(np.array([0.0, 359.5, 2.0, 180.0]), np.zeros(4))
    assert within_polygon(points, vertices).tolist() == [True, True, False, False]
    assert within_polygon(points, vertices[::-1]).tolist() == [True, True, False, False]


def test_polygon_around_the_pole():
    vertices = ((0.0, 88.0), (120.0, 88.0), (240.0, 88.0))
    assert within_polygon(unit_vectors([7.0, 60.0], [90.0, 87.0]), vertices).tolist() == [True, False]


def test_concave_and_degenerate_polygons_are_refused():
    with pytest.raises(RegionError, match="convex"):
        within_polygon(unit_vectors([0.0], [0.0]), ((0, 0), (4, 0), (1, 1), (0, 4)))
    with pytest.raises(RegionError, match="neighbouring"):
        within_polygon(unit_vectors([0.0], [0.0]), ((0, 0), (0, 0), (1, 1)))


@pytest.mark.parametrize(
    ("ra", "dec", "radius"),
    [(361, 0, 1), (-1, 0, 1), (0, 91, 1), (float("nan"), 0, 1), (0, 0, 0), (0, 0, 181), (0, 0, float("inf"))],
)
def test_cones_off_the_sky_are_refused(ra, dec, radius):
    with pytest.raises(RegionError):
        Cone(ra, dec, radius)


def test_polygons_off_the_sky_are_refused():
    with pytest.raises(RegionError):
        Polygon(((0, 0), (1, 0)))
    with pytest.raises(RegionError):
        Polygon(((0, 0), (1, 0), (1, float("nan"))))


@pytest.mark.parametrize("centre", [(0.0, 0.0), (123.0, 89.9), (200.0, -45.0)])
def test_enclosing_cone_holds_all_and_is_not_much_too_large(centre):
    rng = np.random.default_rng(2)
    vectors = unit_vectors(*centre) + rng.normal(0, 1, (4000, 3))
    vectors = vectors[np.linalg.norm(vectors - unit_vectors(*centre), axis=1) < 2][:2000] * 0.01 + unit_vectors(*centre)
    ra, dec = positions(vectors)
    ra0, dec0, radius = enclosing_cone(ra, dec)
    sep = separation_deg(ra0, dec0, ra, dec)
    assert np.all(sep <= radius)
    assert radius < 1.25 * np.max(separation_deg(*centre, ra, dec))


def test_enclosing_cone_of_one_position_and_of_the_whole_sky():
    assert enclosing_cone(np.array([5.0]), np.array([6.0]))[2] < 1e-6
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(0, 360, 3000), np.degrees(np.arcsin(rng.uniform(-1, 1, 3000)))
    ra0, dec0, radius = enclosing_cone(ra, dec)
    assert np.all(separation_deg(ra0, dec0, ra, dec) <= radius)
