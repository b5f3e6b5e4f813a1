import numpy as np
import pytest
from astropy.coordinates import SkyCoord, SkyOffsetFrame

from astro_shared.science.tangent_plane import deproject, project, sky_jacobian


@pytest.mark.parametrize(("ra0", "dec0"), [(150.0, 22.0), (0.01, -5.0), (359.99, 60.0), (40.0, 90.0), (10.0, -89.99)])
def test_round_trip_keeps_a_nano_degree_everywhere(ra0: float, dec0: float) -> None:
    rng = np.random.default_rng(1)
    xi, eta = rng.uniform(-2, 2, (2, 500))
    back = project(*deproject(xi, eta, ra0_deg=ra0, dec0_deg=dec0), ra0_deg=ra0, dec0_deg=dec0)
    # 1e-12 degrees are 4 nano-arcseconds, a thousandth of what double precision leaves of a right ascension.
    np.testing.assert_allclose(back, (xi, eta), atol=1e-12)


def test_matches_the_tangents_of_offset_angles() -> None:
    """Independent formula: xi = tan(lon), eta = tan(lat) / cos(lon) in the frame centred on the tangent point."""
    rng = np.random.default_rng(2)
    ra, dec = 30.0 + rng.uniform(-3, 3, 200), 55.0 + rng.uniform(-3, 3, 200)
    offset = SkyCoord(ra, dec, unit="deg").transform_to(SkyOffsetFrame(origin=SkyCoord(30.0, 55.0, unit="deg")))
    lon, lat = offset.lon.wrap_at("180d").rad, offset.lat.rad
    expected = np.degrees(np.tan(lon)), np.degrees(np.tan(lat) / np.cos(lon))
    np.testing.assert_allclose(project(ra, dec, ra0_deg=30.0, dec0_deg=55.0), expected, atol=1e-11)


def test_the_far_half_of_the_sky_has_no_image() -> None:
    xi, eta = project([10.0, 190.0, np.nan], [0.0, 0.0, 0.0], ra0_deg=10.0, dec0_deg=0.0)
    assert xi[0] == 0.0 and eta[0] == 0.0
    assert np.isnan(xi[1:]).all() and np.isnan(eta[1:]).all()


def test_jacobian_agrees_with_differences() -> None:
    xi, eta = np.array([0.0, 0.7, -1.2]), np.array([0.0, -0.4, 1.5])
    jacobian = sky_jacobian(xi, eta, ra0_deg=200.0, dec0_deg=70.0)
    step = 1e-5
    for column, (dx, dy) in enumerate(((step, 0.0), (0.0, step))):
        ra1, dec1 = deproject(xi + dx, eta + dy, ra0_deg=200.0, dec0_deg=70.0)
        ra0, dec0 = deproject(xi - dx, eta - dy, ra0_deg=200.0, dec0_deg=70.0)
        east = (ra1 - ra0) * np.cos(np.radians(0.5 * (dec0 + dec1))) / (2 * step)
        np.testing.assert_allclose(jacobian[:, 0, column], east, atol=1e-7)
        np.testing.assert_allclose(jacobian[:, 1, column], (dec1 - dec0) / (2 * step), atol=1e-7)
