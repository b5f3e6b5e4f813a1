"""Light of neighbours against apertures on a frame that holds only the neighbour."""

import numpy as np
import pytest

from astro_shared.testing.profiles import add_stars
from photometry_service.algorithms.apertures.photometry import ApertureOptions, aperture_photometry
from photometry_service.algorithms.background.estimate import Background
from photometry_service.algorithms.detection.crowding import neighbour_share


def test_neighbour_share_is_the_light_in_the_aperture():
    x, y, flux = np.array([50.0, 57.0, 90.0]), np.array([50.0, 50.0, 90.0]), np.array([1000.0, 50000.0, 10.0])
    image = np.zeros((120, 120))
    add_stars(image, x[1:2], y[1:2], flux[1:2], fwhm=np.array([3.2]), e1=np.zeros(1), e2=np.zeros(1), beta=3.0)
    background = Background(np.zeros((3, 3)), np.ones((3, 3)), np.ones((3, 3), np.int32), image.shape, 64)
    light = aperture_photometry(
        image.astype(np.float32), background, 50.0, 50.0, fwhm_px=3.2, options=ApertureOptions(annulus_fwhm=None)
    )
    share = neighbour_share(x, y, flux, radius_px=4.8, fwhm_px=3.2)
    assert share[0] == pytest.approx(light.flux_e[0, 1] / 1000.0, rel=0.06)  # the table knows no pixels
    assert share[1] < 0.02
    assert share[2] == 0.0


def test_neighbour_share_of_sources_without_flux():
    share = neighbour_share(
        np.array([10.0, 12.0, np.nan]),
        np.array([10.0, 10.0, 5.0]),
        np.array([-5.0, 100.0, 50.0]),
        radius_px=4.0,
        fwhm_px=3.0,
    )
    assert np.isinf(share[0])
    assert share[1] == 0.0
    assert share[2] == 0.0


def test_share_of_no_source_and_of_one():
    empty = np.array([])
    assert neighbour_share(empty, empty, empty, radius_px=4.0, fwhm_px=3.0).shape == (0,)
    one = np.array([5.0])
    assert neighbour_share(one, one, one, radius_px=4.0, fwhm_px=3.0)[0] == 0.0
