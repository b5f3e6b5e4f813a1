"""Centre, scale, rotation and size of frames, at the poles and across 0h as elsewhere."""

import numpy as np
import pytest

from astrometry_service.algorithms.wcs.fits_transform import FitsTransform
from astrometry_service.algorithms.wcs.frame_place import frame_place, plane_steps
from astrometry_service.algorithms.wcs.header import tpv_cards
from astrometry_service.algorithms.wcs.tpv import TpvTransform
from astrometry_service.domain.plane_affine import PlaneAffine
from astrometry_service.domain.sources import FrameGeometry

NX, NY = 900, 700
GEOMETRY = FrameGeometry(NX, NY, 2020.0)


def turned(ra, dec, rotation_deg, scale_arcsec, *, mirrored=False, offset=(0.0, 0.0)):
    """A plane whose +y stands at this position angle at the reference point, which is near the frame's centre."""
    a = np.radians(rotation_deg)
    side = 1.0 if mirrored else -1.0
    cd = scale_arcsec / 3600 * np.array([[side * np.cos(a), np.sin(a)], [-side * np.sin(a), np.cos(a)]])
    crpix = np.array([(NX - 1) / 2 + offset[0], (NY - 1) / 2 + offset[1]])
    return TpvTransform.linear((ra, dec), crpix, cd)


@pytest.mark.parametrize("scale", [0.05, 1.5, 12.0])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(
    ("ra", "dec"), [(30.0, 90.0), (30.0, -90.0), (0.0, 0.0), (359.9999, 60.0), (210.0, 89.99999), (77.0, -89.99)]
)
def test_scale_size_and_rotation_are_right_everywhere(ra, dec, mirrored, scale):
    place = frame_place(turned(ra, dec, 25.0, scale, mirrored=mirrored), GEOMETRY)
    assert place.scale_arcsec == pytest.approx(scale, rel=1e-6)
    assert place.rotation_deg == pytest.approx(25.0, abs=1e-3)
    assert place.parity == (1 if mirrored else -1)
    # a row of a tangent plane is 2 atan(half of it) long
    half = np.radians(NX * scale / 7200)
    assert place.width_deg == pytest.approx(np.degrees(2 * np.arctan(half)), rel=1e-4)
    assert place.height_deg / place.width_deg == pytest.approx(NY / NX, rel=1e-3)


@pytest.mark.parametrize("offset", [(0.3, -0.4), (1.0, 0.0), (-0.02, 0.01)])
def test_north_within_a_pixel_of_the_pole_is_that_of_the_reference_point(offset):
    place = frame_place(turned(30.0, 90.0, 40.0, 12.0, offset=offset), GEOMETRY)
    assert place.rotation_deg == pytest.approx(40.0, abs=1e-3) and place.scale_arcsec == pytest.approx(12.0, rel=1e-4)


@pytest.mark.parametrize("lonpole", [None, 0.0, 180.0, 77.0])
@pytest.mark.parametrize(("dec", "rotation"), [(90.0, 0.0), (90.0, 40.0), (-90.0, 40.0)])
def test_a_header_at_the_pole_has_the_rotation_of_its_matrix(dec, rotation, lonpole):
    """LONPOLE, whose default at the north pole is another, turns the meridians there, not the frame."""
    plane = turned(30.0, 0.0, rotation, 12.0)
    cards = {**tpv_cards(plane), "CRVAL2": dec, "LATPOLE": dec}
    cards.pop("LONPOLE")
    if lonpole is not None and dec > 0:
        cards["LONPOLE"] = lonpole
    place = frame_place(FitsTransform(cards), GEOMETRY)
    assert place.rotation_deg == pytest.approx(rotation, abs=1e-3)


def test_rotation_away_from_the_pole_is_that_at_the_centre_of_the_frame():
    """The centre lies 100 pixels of one arcminute below the pole, on the meridian through it."""
    plane = turned(30.0, 90.0, 0.0, 60.0, offset=(0.0, 100.0))
    place = frame_place(plane, GEOMETRY)
    assert place.rotation_deg == pytest.approx(0.0, abs=1e-6) and place.ra_deg == pytest.approx(30.0)


def test_steps_are_the_linear_part_of_a_plane_at_its_own_centre():
    matrix = np.array([[-2e-4, 1e-5, 0.0], [1e-5, 2e-4, 0.0]])
    steps = plane_steps(PlaneAffine(matrix, 0.0, 90.0), np.zeros(1), np.zeros(1), meridian_deg=0.0)
    np.testing.assert_allclose(steps[0], matrix[:, :2], rtol=1e-9)
