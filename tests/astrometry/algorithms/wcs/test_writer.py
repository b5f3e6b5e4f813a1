"""The header that is written holds the map that is used, whatever the map came from, as astropy reads it."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from astrometry_service.algorithms.wcs.fits_transform import FitsTransform
from astrometry_service.algorithms.wcs.tpv import TpvTransform
from astrometry_service.algorithms.wcs.validation import validate_header
from astrometry_service.algorithms.wcs.writer import map_cards, writable
from astrometry_service.domain.plane_affine import PlaneAffine

NX, NY = 900, 700
CD = {"CD1_1": -2e-4, "CD1_2": 1.1e-4, "CD2_1": 1.1e-4, "CD2_2": 2e-4}
BASE = {"CRVAL1": 83.0, "CRVAL2": 20.0, "CRPIX1": 430.2, "CRPIX2": 361.7}
SIP = {"A_ORDER": 3, "B_ORDER": 3, "A_2_0": 2e-5, "A_1_1": -1e-5, "B_0_2": 1e-5, "A_3_0": 3e-8, "B_2_1": -2e-8}
PV = {"PV1_4": 4e-3, "PV1_7": 0.3, "PV1_9": 0.3, "PV2_5": 2e-3, "PV2_7": 0.3, "PV2_9": 0.3}


def named(projection, *, longitude="RA", latitude="DEC", suffix=""):
    return {
        f"CTYPE{axis}": f"{name}{'-' * (5 - len(name))}{projection}{suffix}"
        for axis, name in ((1, longitude), (2, latitude))
    }


# (cards, what astropy must be given to see the same sky: the convention spelled out)
HEADERS = {
    "tan": (named("TAN") | BASE | CD, {}),
    "tan in FK5, stale EPOCH": (named("TAN") | BASE | CD | {"RADECSYS": "FK5", "EQUINOX": 2000.0, "EPOCH": 1987.3}, {}),
    "tan of B1950": (named("TAN") | BASE | CD | {"RADESYS": "FK4", "EQUINOX": 1950.0}, {}),
    "tan turned by LONPOLE": (named("TAN") | BASE | CD | {"LONPOLE": 140.0}, {}),
    "tan in arcseconds": (
        named("TAN") | BASE | {"CRVAL1": 83.0 * 3600, "CRVAL2": 72000.0, "CUNIT1": "arcsec", "CUNIT2": "arcsec"}
        | {"CDELT1": -0.8, "CDELT2": 0.8, "PC1_1": 0.9, "PC1_2": -0.3, "PC2_1": 0.3, "PC2_2": 0.9}, {},
    ),
    "tan with CROTA": (named("TAN") | BASE | {"CDELT1": -2e-4, "CDELT2": 2e-4, "CROTA2": 31.0}, {}),
    "swapped axes": (
        {"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", "CRVAL1": 20.0, "CRVAL2": 83.0, "CRPIX1": 400.0, "CRPIX2": 300.0}
        | {"CD1_1": 2e-4, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 2e-4}, {},
    ),
    "sip": (named("TAN", suffix="-SIP") | BASE | CD | SIP, {}),
    "sip without its label": (named("TAN") | BASE | CD | SIP, named("TAN", suffix="-SIP")),
    "sip along one axis": (
        named("TAN", suffix="-SIP") | BASE | CD | {"A_ORDER": 2, "A_2_0": 2e-5}, {"B_ORDER": 2},
    ),
    "sip of another projection": (named("ARC", suffix="-SIP") | BASE | CD | SIP, {}),
    "tan with higher pv terms of latitude alone": (
        named("TAN") | BASE | CD | {"PV2_4": 3e-3, "PV2_7": 0.2}, named("TPV") | {"PV1_1": 1.0, "PV2_1": 1.0},
    ),
    "sip about a far corner": (
        named("TAN", suffix="-SIP") | BASE | CD | {"CRPIX1": -300.0, "CRPIX2": 1300.0}
        | {"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 4e-6}, {},
    ),
    "tpv without its linear terms": (named("TPV") | BASE | CD | PV, {"PV1_1": 1.0, "PV2_1": 1.0}),
    "tpv with a radial term": (
        named("TPV") | BASE | CD | PV | {"PV1_1": 1.0, "PV2_1": 1.0, "PV1_3": 1e-7, "PV2_11": 1e-3}, {},
    ),
    "tpv with linear terms of its own": (
        named("TPV") | BASE | CD | PV | {"PV1_0": 1e-3, "PV1_1": 1.02, "PV1_2": 0.01, "PV2_1": 0.97, "PV2_2": -0.02}, {},
    ),
    "tan with pv of scamp": (named("TAN") | BASE | CD | PV | {"PV1_1": 1.0, "PV2_1": 1.0}, named("TPV")),
    "zpn": (named("ZPN") | BASE | CD | {"PV2_1": 1.0, "PV2_3": 220.0}, {}),
    "stereographic": (named("STG") | BASE | CD, {}),
    "slant orthographic": (named("SIN") | BASE | CD | {"PV2_1": 0.2, "PV2_2": -0.1}, {}),
    "galactic plate carree": (
        named("CAR", longitude="GLON", latitude="GLAT") | BASE | {"CRVAL1": 18.0, "CRVAL2": 0.0} | CD, {},
    ),
    "sanson-flamsteed": (named("SFL") | BASE | CD | {"CRVAL2": 0.0}, {}),
    "at the north pole": (named("TAN", suffix="-SIP") | BASE | CD | SIP | {"CRVAL2": 90.0}, {}),
    "at the south pole across 0h": (named("TAN") | BASE | CD | {"CRVAL1": 0.01, "CRVAL2": -89.97}, {}),
    "wide field of 60 arcsec": (
        named("TAN", suffix="-SIP") | BASE | {k: 60 * v for k, v in CD.items()} | SIP, {},
    ),
    "hubble": (named("TAN") | BASE | {k: v / 15 for k, v in CD.items()}, {}),
}  # fmt: skip


def astropy_sky(cards, x, y):
    sky = WCS(fits.Header(cards)).celestial.pixel_to_world(x, y).icrs
    return sky


def grid():
    x, y = np.meshgrid(np.linspace(-0.5, NX - 0.5, 19), np.linspace(-0.5, NY - 0.5, 17))
    return x.ravel(), y.ravel()


@pytest.mark.parametrize("name", HEADERS)
def test_a_kept_header_is_written_as_it_was_used_and_as_it_was_meant(name):
    given, meant = HEADERS[name]
    found = validate_header(given, NX, NY)
    assert found.transform is not None, found.problems
    used = writable(found.transform, NX, NY)
    cards = map_cards(used)
    x, y = grid()
    scale = found.scale_arcsec
    ra, dec = used.pixel_to_sky(x, y)
    written = astropy_sky(cards, x, y)
    apart = 3600 * np.hypot(
        (((written.ra.deg - ra) + 180) % 360 - 180) * np.cos(np.radians(dec)), written.dec.deg - dec
    )
    assert apart.max() < 1e-4 * scale
    truth = astropy_sky({k: v for k, v in given.items() if k != "EPOCH"} | meant, x, y)
    assert written.separation(truth).arcsec.max() < 1e-3 * scale
    assert (
        isinstance(used, TpvTransform)
        and cards["RADESYS"] == "ICRS"
        and cards["EQUINOX"] == 2000.0
        and cards["LONPOLE"] == 180.0
    )
    assert not {"EPOCH", "CDELT1", "CROTA2", "PC1_1", "A_ORDER", "RADECSYS"} & set(cards)
    if cards["CTYPE1"] == "RA---TPV":
        assert {"PV1_0", "PV1_1", "PV1_2", "PV2_0", "PV2_1", "PV2_2"} <= set(cards)


def test_a_map_of_half_the_sky_keeps_its_own_projection():
    given = named("CAR", longitude="GLON", latitude="GLAT") | {
        "CRVAL1": 0.0, "CRVAL2": 0.0, "CRPIX1": 600.5, "CRPIX2": 450.5, "CDELT1": -0.08, "CDELT2": 0.08, "EPOCH": 1999.0,
    }  # fmt: skip
    found = validate_header(given | {"CTYPE1A": "RA---TAN"}, 1200, 900)
    used = writable(found.transform, 1200, 900)
    cards = map_cards(used)
    assert isinstance(used, FitsTransform) and cards["CTYPE1"] == "GLON-CAR" and "EPOCH" not in cards
    x, y = np.array([3.0, 700.0, 1100.0]), np.array([100.0, 400.0, 800.0])
    written = astropy_sky(cards, x, y)
    ra, dec = used.pixel_to_sky(x, y)
    np.testing.assert_allclose([written.ra.deg, written.dec.deg], [ra, dec], atol=1e-9)


def test_the_sky_of_a_cube_is_written_on_two_axes():
    given = {
        "CTYPE1": "VELO", "CRVAL1": 3.0, "CRPIX1": 1.0, "CDELT1": 1.0, "WCSAXES": 3, "CTYPE2": "RA---SFL", "CTYPE3": "DEC--SFL",
        "CRVAL2": 52.0, "CRVAL3": 0.0, "CRPIX2": 900.0, "CRPIX3": 700.0, "CDELT2": -0.4, "CDELT3": 0.4, "PC2_3": 0.1,
        "PC2_2": 1.0, "PC3_3": 1.0, "PC1_2": 0.0,
    }  # fmt: skip
    whole = FitsTransform(given | {"CDELT2": -0.06, "CDELT3": 0.06})
    assert whole.cards["WCSAXES"] == 2 and whole.cards["PC1_2"] == 0.1 and whole.cards["CTYPE2"] == "DEC--SFL"
    assert not any(name.endswith("3") for name in whole.cards)
    x, y = np.array([3.0, 1700.0]), np.array([100.0, 800.0])
    np.testing.assert_allclose(
        WCS(fits.Header(whole.cards)).all_pix2world(x, y, 0), whole.pixel_to_sky(x, y), atol=1e-10
    )


def test_a_matched_plane_is_written_as_tan():
    plane = PlaneAffine(np.array([[-2e-4, 1e-5, 0.3], [1e-5, 2e-4, -0.2]]), 359.99, -45.0)
    cards = map_cards(plane)
    x, y = grid()
    ra, dec = plane.pixel_to_sky(x, y)
    written = astropy_sky(cards, x, y)
    assert cards["CTYPE1"] == "RA---TAN" and cards["EQUINOX"] == 2000.0
    np.testing.assert_allclose([written.ra.deg, written.dec.deg], [ra, dec], atol=1e-10)
