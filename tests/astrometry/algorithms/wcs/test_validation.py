import math

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS

from astro_shared.testing.optics import Camera
from astrometry_service.algorithms.wcs.cards import clean_cards
from astrometry_service.algorithms.wcs.header import is_wcs_keyword, tpv_cards, transform_from_cards
from astrometry_service.algorithms.wcs.sip import sip_export
from astrometry_service.algorithms.wcs.tpv import TpvTransform
from astrometry_service.algorithms.wcs.validation import (
    StarEvidence,
    WcsLimits,
    WcsValidation,
    check_transform,
    state_with_stars,
    validate_header,
)
from astrometry_service.domain.wcs_state import WcsState

TAN = {
    "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 2.0, "CRPIX1": 500.5, "CRPIX2": 400.5,
    "CD1_1": -2e-4, "CD1_2": 1e-5, "CD2_1": 1e-5, "CD2_2": 2e-4, "RADESYS": "ICRS",
}  # fmt: skip


def read(**changes: object) -> WcsValidation:
    cards = {**TAN, **changes}
    return validate_header({k: v for k, v in cards.items() if v is not None}, 1000, 800)


def test_a_good_header_is_unverified_until_stars_confirm_it() -> None:
    found = read()
    assert found.state is WcsState.UNVERIFIED and found.transform is not None
    assert (found.ra_deg, found.dec_deg) == pytest.approx((150.0, 2.0), abs=1e-9)
    assert found.scale_arcsec == pytest.approx(0.7209, abs=1e-3) and found.parity == -1
    assert found.rotation_deg == pytest.approx(math.degrees(math.atan2(1e-5, 2e-4)), abs=0.01)
    assert state_with_stars(found, StarEvidence(0.5, 80.0, 0.4)) is WcsState.VALID
    assert state_with_stars(found, StarEvidence(0.2, 80.0, 0.4)) is WcsState.UNVERIFIED
    assert state_with_stars(found, StarEvidence(0.5, 10.0, 0.4)) is WcsState.UNVERIFIED


def test_no_cards_are_a_missing_wcs() -> None:
    assert validate_header({"OBJECT": "M 67"}, 100, 100).state is WcsState.MISSING


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"CRVAL1": float("nan")}, "finite"),
        ({"CD1_1": float("inf")}, "finite"),
        ({"CD1_1": "wrong"}, "finite"),
        ({"CRVAL2": 95.0}, "latitude"),
        ({"CRVAL1": None}, "CRVAL1"),
        ({"CTYPE1": "RA---XXX", "CTYPE2": "DEC--XXX"}, "projection"),
        ({"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"}, "celestial"),
        ({"CD1_1": 0.0, "CD1_2": 0.0}, "singular"),
        ({"CD1_1": -2e-4, "CD1_2": 2e-4, "CD2_1": -2e-4, "CD2_2": 2e-4}, "singular"),
        ({"CD1_1": -2e3, "CD2_2": 2e3}, "scale"),
        ({"CD1_1": -2e-4, "CD2_2": 9e-4}, "square"),
    ],
)
def test_impossible_headers_are_malformed_with_a_reason(changes: dict[str, object], word: str) -> None:
    found = read(**changes)
    assert found.state is WcsState.MALFORMED and found.transform is None
    assert word in " ".join(found.problems) and found.problems


def test_a_sip_order_of_30000_is_left_out_before_parsing() -> None:
    found = read(CTYPE1="RA---TAN-SIP", CTYPE2="DEC--TAN-SIP", A_ORDER=30000, B_ORDER=30000, A_2_0=1e-5)
    assert found.state is WcsState.UNVERIFIED and found.kind == "TAN"
    assert any("30000" in repair for repair in found.repairs)


def test_thousands_of_cards_and_absurd_indices_do_no_harm() -> None:
    many = {f"PV{axis}_{m}": 1.0 for axis in (1, 2) for m in range(100)} | {f"CD{i}_{i}": 1.0 for i in range(3, 99)}
    found = read(**many, WCSAXES=10**9)
    assert found.state in (WcsState.UNVERIFIED, WcsState.MALFORMED)
    assert len(clean_cards({**TAN, **many}).cards) <= 1000


def test_look_up_tables_are_dropped_with_a_word() -> None:
    found = read(CPDIS1="LOOKUP", D2IMDIS1="Lookup")
    assert found.state is WcsState.UNVERIFIED and "look-up" in found.repairs[0]


def test_contradictions_are_repaired() -> None:
    found = read(PC1_1=1.0, PC2_2=1.0, CDELT1=0.1, CDELT2=0.1, CROTA2=33.0)
    assert found.scale_arcsec == pytest.approx(0.7209, abs=1e-3) and len(found.repairs) == 2
    zeros = read(CD1_1=0.0, CD1_2=0.0, CD2_1=0.0, CD2_2=0.0, CDELT1=-2e-4, CDELT2=2e-4)
    assert zeros.scale_arcsec == pytest.approx(0.72, abs=1e-3)
    both = read(CTYPE1="RA---TPV", CTYPE2="DEC--TPV", PV1_1=1.0, PV2_1=1.0, A_ORDER=2, B_ORDER=2, A_2_0=1e-3)
    assert both.kind == "TPV" and "SIP" in both.repairs[0]


def test_tan_with_pv_terms_is_tpv() -> None:
    header = Camera(shape=(800, 1000)).wcs_header(150.0, 2.0)
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    found = validate_header(header, 1000, 800)
    assert found.kind == "TPV" and found.state is WcsState.UNVERIFIED
    expected = Camera(shape=(800, 1000)).wcs(150.0, 2.0).all_pix2world(3, 5, 0)
    assert found.transform is not None
    np.testing.assert_allclose(found.transform.pixel_to_sky(3.0, 5.0), expected, atol=1e-10)


def test_absent_linear_tpv_terms_mean_one() -> None:
    """wcslib takes an absent PVi_1 for zero, the convention for one."""
    found = read(CTYPE1="RA---TPV", CTYPE2="DEC--TPV", RADESYS="FK5", EQUINOX=2000.0)
    assert found.state is WcsState.UNVERIFIED and found.scale_arcsec == pytest.approx(0.7209, abs=1e-3)


def test_galactic_and_old_equatorial_frames_become_icrs() -> None:
    glon = read(CTYPE1="GLON-CAR", CTYPE2="GLAT-CAR", CRVAL1=18.0, CRVAL2=0.0, RADESYS=None)
    expected = SkyCoord(l=18.0, b=0.0, unit="deg", frame="galactic").icrs
    assert glon.frame == "galactic"
    assert (glon.ra_deg, glon.dec_deg) == pytest.approx((expected.ra.deg, expected.dec.deg), abs=1e-6)
    old = read(RADESYS="FK4", EQUINOX=1950.0)
    expected = SkyCoord(150.0, 2.0, unit="deg", frame="fk4", equinox="B1950").icrs
    assert (old.ra_deg, old.dec_deg) == pytest.approx((expected.ra.deg, expected.dec.deg), abs=1e-4)


def test_swapped_axes_and_cubes_are_understood() -> None:
    swapped = read(CTYPE1="DEC--TAN", CTYPE2="RA---TAN", CRVAL1=2.0, CRVAL2=80.0, CD1_1=2e-4, CD2_2=2e-4)
    assert (swapped.ra_deg, swapped.dec_deg) == pytest.approx((80.0, 2.0), abs=1e-6)
    cube = read(CTYPE3="VOPT", CRVAL3=-9959.0, CRPIX3=1.0, CD3_3=66.0, CUNIT3="m/s", NAXIS=3, WCSAXES=3)
    assert cube.state is WcsState.UNVERIFIED and cube.ra_deg == pytest.approx(150.0, abs=1e-6)


def test_centre_far_from_the_pointing_is_refused() -> None:
    found = validate_header(TAN, 1000, 800, pointing=(160.0, 2.0), pointing_error_deg=1.0)
    assert found.state is WcsState.MALFORMED and "pointing" in found.problems[0]


def test_a_map_that_folds_within_the_frame_is_refused() -> None:
    transform = transform_from_cards(
        tpv_cards(TpvTransform.linear((150.0, 2.0), np.array([500.0, 400.0]), np.eye(2) * 1e-3))
    )
    pv = np.zeros((2, 10))
    pv[:, :3] = transform.pv
    pv[0, 6] = -3.0
    folded = TpvTransform(transform.crval_deg, transform.crpix, transform.cd, pv)
    found = check_transform(folded, 1000, 800)
    assert found.state is WcsState.MALFORMED and any("fold" in p or "round trip" in p for p in found.problems)


def test_unusual_shapes_are_doubts_not_faults() -> None:
    found = read(CD1_1=-2e-4, CD2_2=2.3e-4)
    assert found.state is WcsState.UNVERIFIED and "square" in found.doubts[0]
    assert check_transform(found.transform, 1000, 800, limits=WcsLimits(absurd_shape=0.1)).state is WcsState.MALFORMED


@pytest.mark.parametrize("keyword", ["CTYPE1", "PV2_39", "A_ORDER", "BP_1_0", "CD1_2", "RADECSYS", "AMDX3", "WAT1_001"])
def test_wcs_keywords_are_known(keyword: str) -> None:
    assert is_wcs_keyword(keyword)
    assert not is_wcs_keyword("OBJECT") and not is_wcs_keyword("EXPTIME") and not is_wcs_keyword("CTYPE1A")


def test_sip_export_is_the_same_sky() -> None:
    camera = Camera(shape=(1500, 2000))
    transform = transform_from_cards(camera.wcs_header(150.0, 20.0))
    export = sip_export(transform, 2000, 1500)
    assert export.forward_max_px < 1e-9 and export.inverse_max_px < 1e-3
    wcs = WCS(fits.Header(export.cards))
    x, y = np.random.default_rng(1).uniform(0, 1500, (2, 100))
    np.testing.assert_allclose(wcs.all_pix2world(x, y, 0), transform.pixel_to_sky(x, y), atol=1e-10)
    # The stored inverse, as a program without iteration uses it.
    focal = wcs.sip_pix2foc(x, y, 1)
    back = np.array(wcs.sip_foc2pix(*focal, 1))
    np.testing.assert_allclose(back, (x, y), atol=3e-3)


def test_sip_export_of_a_plain_map_has_no_polynomials() -> None:
    export = sip_export(TpvTransform.linear((1.0, 2.0), np.zeros(2), np.eye(2) * 1e-4), 100, 100)
    assert export.cards["CTYPE1"] == "RA---TAN" and "A_ORDER" not in export.cards


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"CRVAL1": "10:00:00", "CRVAL2": "+02:00:00"}, "read CRVAL1"),
        ({"CD1_1": 0.0, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.0, "CDELT1": -2e-4, "CDELT2": 2e-4}, "CD matrix of zeros"),
        ({"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV"}, "PV1_1 is absent"),
        ({"CTYPE1": "RA---ZEA", "CTYPE2": "DEC--ZEA", "A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-6}, "beside ZEA"),
        ({"CUNIT1": "furlong"}, "furlong"),
    ],
)  # fmt: skip
def test_every_repair_is_said(changes: dict[str, object], word: str) -> None:
    found = read(**changes)
    assert found.state is WcsState.UNVERIFIED and word in "; ".join(found.repairs)
    assert (found.ra_deg, found.dec_deg) == pytest.approx((150.0, 2.0), abs=1e-6)


def test_sexagesimal_text_of_an_exchanged_axis_counts_hours_on_the_axis_of_right_ascension() -> None:
    found = read(CTYPE1="DEC--TAN", CTYPE2="RA---TAN", CRVAL1="-00:30:00", CRVAL2="05:32:00")
    assert (found.ra_deg, found.dec_deg) == pytest.approx((83.0, -0.5), abs=1e-6)
    assert read(CRVAL1="150.0").ra_deg == pytest.approx(150.0, abs=1e-9)


# Headers as people and programs write them, and a word of what is said of the repair.
REPAIRED = {
    "comma decimals": ({"CRVAL1": "150,0", "CD1_1": "-0,0002"}, "read CD1_1"),
    "quoted numbers": ({"CRVAL1": "150.0", "CRPIX1": "500.5", "CD2_2": "2.0E-4"}, "read CRPIX1"),
    "exponents of Fortran": ({"CD1_1": "-2.0D-4", "CD2_2": "2.0d-4"}, "read CD1_1"),
    "hours, minutes, seconds": ({"CRVAL1": "10h00m00.0s", "CRVAL2": "+02d00m00s"}, "read CRVAL1"),
    "with blanks": ({"CRVAL1": "10 00 00.0", "CRVAL2": "+02 00 00"}, "read CRVAL2"),
    "without seconds": ({"CRVAL1": "10:00", "CRVAL2": "02:00"}, "read CRVAL1"),
    "sexagesimal degrees": ({"CRVAL1": "150:00:00", "CRVAL2": "02:00:00"}, "read CRVAL1"),
    "unit behind the number": ({"CRVAL1": "150.0 deg", "CRVAL2": "2.0 deg"}, "read CRVAL1"),
    "hours as a unit": ({"CRVAL1": 10.0, "CUNIT1": "hours"}, "CRVAL1 is in hours"),
    "hours with sexagesimal text": ({"CRVAL1": "10:00:00", "CRVAL2": "2:00:00", "CUNIT1": "h"}, "read CRVAL1"),
    "all in hours": ({"CRVAL1": 10.0, "CUNIT1": "hour", "CD1_1": -2e-4 / 15, "CD1_2": 1e-5 / 15}, "CRVAL1 is in hour"),
    "all in arcseconds": (
        {"CRVAL1": 540000.0, "CRVAL2": 7200.0, "CUNIT1": "arcsec", "CUNIT2": "arcsec"}
        | {"CD1_1": -0.72, "CD1_2": 0.036, "CD2_1": 0.036, "CD2_2": 0.72}, "CRVAL1 is in arcsec",
    ),
    "steps in arcseconds by CUNIT": (
        {"CUNIT1": "arcsec", "CUNIT2": "arcsec", "CD1_1": -0.72, "CD1_2": 0.036, "CD2_1": 0.036, "CD2_2": 0.72},
        "is in degrees",
    ),
    "steps in arcseconds": ({"CD1_1": -0.72, "CD1_2": 0.036, "CD2_1": 0.036, "CD2_2": 0.72}, "steps are in arcseconds"),
    "CDELT in arcseconds": (
        {**dict.fromkeys(("CD1_1", "CD1_2", "CD2_1", "CD2_2")), "CDELT1": -0.72, "CDELT2": 0.72, "CROTA2": -2.8624},
        "steps are in arcseconds",
    ),
    "CD as PC": (
        {"CD1_1": 1.0, "CD1_2": -0.05, "CD2_1": 0.05, "CD2_2": 1.0, "CDELT1": -2e-4, "CDELT2": 2e-4}, "holds no scale",
    ),
    "CROTA1 alone": (
        {**dict.fromkeys(("CD1_1", "CD1_2", "CD2_1", "CD2_2")), "CDELT1": -2e-4, "CDELT2": 2e-4, "CROTA1": -2.8624},
        "CROTA2 is absent",
    ),
    "old names of CD": (
        {**dict.fromkeys(("CD1_1", "CD1_2", "CD2_1", "CD2_2"))}
        | {"CD001001": -2e-4, "CD001002": 1e-5, "CD002001": 1e-5, "CD002002": 2e-4}, "",
    ),
    "no reference pixel": ({"CRPIX1": None, "CRPIX2": None}, "the centre of the image"),
    "no types": ({"CTYPE1": None, "CTYPE2": None}, "absent: read as RA---TAN"),
    "too few dashes": ({"CTYPE1": "RA--TAN", "CTYPE2": "DEC-TAN"}, "as RA---TAN"),
    "too many dashes": ({"CTYPE1": "RA----TAN", "CTYPE2": "DEC---TAN"}, "as DEC--TAN"),
    "underscores": ({"CTYPE1": "RA___TAN", "CTYPE2": "DEC__TAN"}, "as RA---TAN"),
    "small letters": ({"CTYPE1": "ra---tan", "CTYPE2": "dec--tan"}, ""),
    "no projection": ({"CTYPE1": "RA", "CTYPE2": "DEC"}, "as RA---TAN"),
    "a projection misspelt": ({"CTYPE1": "RA---TNA"}, "as RA---TAN"),
    "right ascension twice": ({"CTYPE2": "RA---TAN"}, "as DEC--TAN"),
    "exchanged values": ({"CRVAL1": 2.0, "CRVAL2": 150.0}, "exchanged CRVAL1 and CRVAL2"),
    "equinox in words": ({"EQUINOX": "J2000.0"}, ""),
    "a system that is none": ({"RADESYS": "barycentric"}, "names no system"),
}  # fmt: skip


@pytest.mark.parametrize("name", REPAIRED)
def test_headers_as_people_write_them_are_read_as_they_are_meant(name: str) -> None:
    changes, word = REPAIRED[name]
    found = read(**changes)
    assert found.state is WcsState.UNVERIFIED, found.problems
    assert word in "; ".join(found.repairs)
    true = read()
    assert found.transform is not None and true.transform is not None
    x, y = np.array([0.0, 999.0, 300.0]), np.array([0.0, 799.0, 700.0])
    apart = np.hypot(*(np.array(found.transform.pixel_to_sky(x, y)) - np.array(true.transform.pixel_to_sky(x, y))))
    assert apart.max() < 1e-3 * 2e-4 * 800


@pytest.mark.parametrize(
    "cards",
    [
        {"CRVAL1": 1.0, "CRVAL2": 1.0, "CDELT1": 1.0, "CDELT2": 1.0, "CRPIX1": 1.0, "CRPIX2": 1.0},
        {"CRVAL1": 4000.0, "CDELT1": 1.2, "CRPIX1": 1.0},
        {"CTYPE1": "PIXEL", "CTYPE2": "PIXEL", "CRVAL1": 10.0, "CRVAL2": 20.0, "CDELT1": 1e-4, "CDELT2": 1e-4},
        {"CUNIT1": "nm", "CUNIT2": "s", "CRVAL1": 10.0, "CRVAL2": 20.0, "CDELT1": 1e-3, "CDELT2": 1e-3},
    ],
)
def test_a_picture_of_something_else_is_not_taken_for_the_sky(cards: dict[str, object]) -> None:
    assert validate_header(cards, 100, 100).transform is None


def test_surfaces_that_wcslib_may_not_read_are_said() -> None:
    surface = 'wtype=tnx axtype=ra lngcor = "3. 2. 2. 0. -0.2 0.2 -0.2 0.2 0. 1.E-4 0. "'
    clean = clean_cards({**TAN, "CTYPE1": "RA---TNX", "CTYPE2": "DEC--TNX", "WAT1_001": surface})
    assert any("may be left out" in word for word in clean.repairs)
    assert not clean_cards({**TAN, "WAT1_001": surface}).repairs
