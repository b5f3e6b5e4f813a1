"""The synthetic camera against wcslib."""

import numpy as np
import pytest
from astropy.wcs.utils import proj_plane_pixel_scales

from astro_shared.testing.optics import TPV_INDEX, Camera, Distortion, PointSpread


def test_index_table_is_the_registered_one():
    assert {TPV_INDEX[k] for k in [(1, 0), (0, 1)]} == {1, 2}
    assert [TPV_INDEX[k] for k in [(2, 0), (1, 1), (0, 2), (3, 0), (0, 3), (4, 0), (0, 5), (6, 0), (0, 7)]] == [
        4, 5, 6, 7, 10, 12, 22, 24, 38,
    ]  # fmt: skip
    assert not {3, 11, 23, 39} & set(TPV_INDEX.values())


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("ra", "dec", "rotation"), [(150.0, 22.0, 12.0), (0.01, -30.0, 200.0), (60.0, 89.7, -75.0)])
def test_star_places_are_those_of_wcslib(mirrored, ra, dec, rotation):
    camera = Camera(
        shape=(1500, 2400), rotation_deg=rotation, mirrored=mirrored, distortion=Distortion(25.0, -8.0, 4.0)
    )
    rng = np.random.default_rng(3)
    x, y = rng.uniform(-50, 2450, 300), rng.uniform(-50, 1550, 300)
    wcs = camera.wcs(ra, dec)
    back_x, back_y = camera.sky_to_pixel(*wcs.all_pix2world(x, y, 0), ra, dec)
    assert np.abs(back_x - x).max() < 1e-7
    assert np.abs(back_y - y).max() < 1e-7


def test_parity_scale_and_rotation_are_as_said():
    camera = Camera(scale_arcsec=0.7, rotation_deg=30.0, distortion=Distortion(0, 0, 0))
    wcs = camera.wcs(100.0, 0.0)
    assert np.allclose(proj_plane_pixel_scales(wcs) * 3600, 0.7)
    assert np.linalg.det(camera.cd_deg) < 0
    assert np.linalg.det(Camera(mirrored=True).cd_deg) > 0
    cx, cy = camera.centre_px
    (ra0, ra1), (dec0, dec1) = wcs.all_pix2world([cx, cx], [cy, cy + 100], 0)
    assert np.isclose(np.degrees(np.arctan2(ra1 - ra0, dec1 - dec0)), 30.0, atol=1e-3)


def test_distortion_has_the_size_asked_for_at_the_corner():
    straight, bent = Camera(distortion=Distortion(0, 0, 0)), Camera(distortion=Distortion(20.0, 0, 0))
    corner = np.zeros(1)
    x, y = straight.sky_to_pixel(*bent.wcs(10.0, 5.0).all_pix2world(corner, corner, 0), 10.0, 5.0)
    # the corner pixel's centre is half a pixel inside the corner
    assert np.hypot(x, y)[0] == pytest.approx(20.0, rel=0.01)


def test_places_beyond_reach_are_nan():
    x, _ = Camera().sky_to_pixel(np.array([190.0, 330.0]), np.array([2.0, -2.0]), 150.0, 2.0)
    assert np.isnan(x).all()


def test_width_varies_by_the_fraction_asked_for():
    psf = PointSpread(fwhm_px=3.0, fwhm_variation=0.1)
    width, _, _ = psf.at(np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    assert width == pytest.approx([3.0, 3.3])
