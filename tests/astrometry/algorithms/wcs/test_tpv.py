import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from astro_shared.testing.optics import Camera, Distortion
from astrometry_service.algorithms.wcs.header import tpv_cards, transform_from_cards
from astrometry_service.algorithms.wcs.plane_fit import PixelFrame, PlanePolynomial
from astrometry_service.algorithms.wcs.polynomials import n_terms
from astrometry_service.algorithms.wcs.tpv import TpvTransform, pv_index


def wild_transform(degree: int, *, ra: float = 10.0, dec: float = 60.0) -> TpvTransform:
    """A frame of one degree with distortion terms of all kinds, some hundred pixels in the corners."""
    rng = np.random.default_rng(degree)
    coefficients = np.zeros((2, n_terms(degree)))
    coefficients[:, 3:] = rng.normal(0, 3e-3, coefficients[:, 3:].shape)
    coefficients[:, :3] = [[0.01, -0.5, 0.1], [-0.02, 0.09, 0.51]]
    return PlanePolynomial(PixelFrame.of(4096, 3000), coefficients, ra, dec).to_tpv()


PIXELS = np.random.default_rng(1).uniform(0, 1, (2, 400)) * np.array([[4095.0], [2999.0]])


@pytest.mark.parametrize("degree", [1, 2, 3, 5, 7])
def test_round_trip_is_below_a_micro_pixel(degree: int) -> None:
    transform = wild_transform(degree)
    x, y = transform.sky_to_pixel(*transform.pixel_to_sky(*PIXELS))
    np.testing.assert_allclose((x, y), PIXELS, atol=1e-6)


@pytest.mark.parametrize("degree", [1, 2, 3, 5, 7])
@pytest.mark.parametrize(("ra", "dec"), [(10.0, 60.0), (359.99, -3.0), (200.0, 89.8)])
def test_astropy_reads_the_same_sky(degree: int, ra: float, dec: float) -> None:
    transform = wild_transform(degree, ra=ra, dec=dec)
    wcs = WCS(fits.Header(tpv_cards(transform)))
    world = wcs.all_pix2world(*PIXELS, 0)
    back = transform.sky_to_pixel(*world)
    np.testing.assert_allclose(back, PIXELS, atol=1e-6)


def test_reads_the_simulator_s_header() -> None:
    camera = Camera(distortion=Distortion(cubic_px=30.0, quintic_px=5.0))
    transform = transform_from_cards(camera.wcs_header(150.0, 20.0))
    assert transform.degree == 5
    ra, dec = camera.wcs(150.0, 20.0).all_pix2world([3.0, 2000.0], [5.0, 1000.0], 0)
    np.testing.assert_allclose(transform.pixel_to_sky([3.0, 2000.0], [5.0, 1000.0]), (ra, dec), atol=1e-11)


def test_cards_survive_the_way_through_a_header() -> None:
    transform = wild_transform(4)
    again = transform_from_cards(fits.Header.fromstring(fits.Header(tpv_cards(transform)).tostring()))
    np.testing.assert_allclose(again.pixel_to_sky(*PIXELS), transform.pixel_to_sky(*PIXELS), rtol=0, atol=1e-12)


def test_radial_terms_are_refused() -> None:
    cards = tpv_cards(wild_transform(3)) | {"PV1_3": 0.01}
    with pytest.raises(ValueError, match="radial"):
        transform_from_cards(cards)


def test_linear_terms_are_trivial_and_written() -> None:
    transform = wild_transform(5)
    cards = transform.pv_cards()
    assert (cards["PV1_0"], cards["PV1_1"], cards["PV1_2"]) == (0.0, 1.0, 0.0)
    assert (cards["PV2_0"], cards["PV2_1"], cards["PV2_2"]) == (0.0, 1.0, 0.0)
    assert "PV1_3" not in cards and "PV1_11" not in cards


def test_numbering_of_the_terms() -> None:
    """FITS registry: PV1_4 xi^2, PV1_8 xi^2 eta, PV1_22 eta^5, PV1_31 xi^7; axis 2 with xi and eta exchanged."""
    assert [pv_index(1, *e) for e in ((2, 0), (2, 1), (0, 5), (7, 0))] == [4, 8, 22, 31]
    assert [pv_index(2, *e) for e in ((0, 2), (1, 2), (5, 0), (0, 7))] == [4, 8, 22, 31]


def test_jacobian_agrees_with_differences() -> None:
    transform = wild_transform(5)
    x, y = PIXELS
    jacobian = transform.plane_jacobian(x, y)
    for column, (dx, dy) in enumerate(((0.5, 0.0), (0.0, 0.5))):
        ahead, behind = transform.pixel_to_plane(x + dx, y + dy), transform.pixel_to_plane(x - dx, y - dy)
        np.testing.assert_allclose(jacobian[:, 0, column], ahead[0] - behind[0], atol=1e-10)
        np.testing.assert_allclose(jacobian[:, 1, column], ahead[1] - behind[1], atol=1e-10)


def test_places_without_a_pixel_are_nan() -> None:
    """xi' = xi - 0.3 xi^3 folds over at xi = 1.05 deg and never exceeds 0.70 deg."""
    pv = np.zeros((2, n_terms(3)))
    pv[0, 1] = pv[1, 2] = 1.0
    pv[0, 6] = -0.3
    transform = TpvTransform((0.0, 0.0), np.zeros(2), np.eye(2) * 1e-3, pv)
    x, _ = transform.plane_to_pixel(np.array([0.5, 0.9, np.nan]), np.zeros(3))
    assert x[0] == pytest.approx(549.88, abs=0.01) and np.isnan(x[1:]).all()
    assert np.isnan(transform.sky_to_pixel(180.0, 0.0)[0])
