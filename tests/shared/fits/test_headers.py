"""Headers made safe: texts, broken cards, and the sky."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from astro_shared.fits import clean_text, has_sky, header_of_text, header_text, read_frame, tidy_sky_cards
from astro_shared.testing.fits_bytes import card, header_bytes, image_bytes, image_cards, padded, star_image
from astro_shared.testing.fits_corpus.cards import SIP, SKY

STARS = star_image()


def header_of(tmp_path, extra: bytes) -> tuple[fits.Header, tuple[str, ...]]:
    path = tmp_path / "a.fits"
    path.write_bytes(header_bytes(image_cards((64, 64)), extra=extra) + padded(STARS.astype(">i2").tobytes()))
    frame = read_frame(path)
    return frame.header, frame.warnings


def test_texts_lose_what_terminals_and_tables_obey(tmp_path):
    header, _ = header_of(tmp_path, card("OBJECT", b"'M\x1b[31m67\r\n\0\xc3'"))
    assert header["OBJECT"] == "M?[31m67????"


def test_header_text_is_printable_lines(tmp_path):
    extra = card("OBJECT", b"'\x07bell'") + b"COMMENT \x01\x02\xff".ljust(80) + card("EXPTIME", 12.5)
    lines = header_text(header_of(tmp_path, extra)[0]).splitlines()
    assert all(len(line) <= 80 and line.isprintable() for line in lines)
    assert any(line.startswith("EXPTIME =                 12.5") for line in lines)


def test_clean_text_is_short_and_plain():
    assert clean_text("  a\tb\u2028c\u00e9  ") == "a?b?c?"
    assert len(clean_text("x" * 5000)) == 200
    assert clean_text("x" * 50, limit=10) == "x" * 10


def test_values_that_break_the_standard_are_read_as_text_and_named(tmp_path):
    extra = (
        card("GAIN", b"1.5.5") + card("EXPTIME", 3.0) + card("CRVAL1", b"05:32:00.0 / hours") + card("UT", b"12:00:00")
    )
    header, warnings = header_of(tmp_path, extra)
    assert (header["GAIN"], header["EXPTIME"], header["CRVAL1"], header["UT"]) == (
        "1.5.5",
        3.0,
        "05:32:00.0",
        "12:00:00",
    )
    assert "GAIN, CRVAL1, UT break the FITS standard and are read as text" in " ".join(warnings)


def test_cards_that_can_not_be_read_at_all_are_left_out_and_named(tmp_path):
    header, warnings = header_of(tmp_path, card("CRVAL1", b"NaN") + card("GAIN", b"1e999") + card("EXPTIME", 3.0))
    assert "CRVAL1" not in header and "GAIN" not in header
    assert "ignored: CRVAL1, GAIN" in " ".join(warnings)


def test_the_original_header_is_that_of_the_file_byte_for_byte(tmp_path):
    path = tmp_path / "a.fits"
    path.write_bytes(image_bytes(STARS, OBJECT="M 67", BSCALE=2.0, BZERO=32768.0, CRVAL1="05:32:00"))
    head = path.read_bytes()[:2880]
    lines = [head[at : at + 80].decode() for at in range(0, len(head), 80)]
    shown = read_frame(path).original_header.splitlines()
    assert shown == lines[: lines.index("END".ljust(80)) + 1]
    assert any(line.startswith("BZERO   =") for line in shown) and "BITPIX  =                   16" in shown[1]


def test_the_original_header_of_an_extension_is_followed_by_the_primary(tmp_path):
    path = tmp_path / "a.fits"
    primary = fits.PrimaryHDU(header=fits.Header([("TELESCOP", "ours")]))
    fits.HDUList([primary, fits.ImageHDU(STARS.astype("i2"), name="SCI")]).writeto(path)
    lines = read_frame(path).original_header.splitlines()
    assert lines[0].startswith("XTENSION= 'IMAGE") and lines.count("END".ljust(80)) == 2
    assert any(line.startswith("TELESCOP= 'ours") for line in lines)


def test_compressed_files_show_the_header_that_stands_in_them(tmp_path):
    path = tmp_path / "a.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(STARS.astype("i2"))]).writeto(path)
    assert "ZBITPIX =                   16" in read_frame(path).original_header


def test_ordinary_cards_come_through(tmp_path):
    extra = (
        card("DATE-OBS", "2020-01-01T00:00:00") + card("GAIN", b"1.5D0 / gain") + card("FLAG", True) + card("N", 7)
        + b"HIERARCH ESO TEL AIRM START = 1.25 / airmass".ljust(80) + b"HISTORY flattened".ljust(80)
        + card("LONGSTR", "first &") + b"CONTINUE  'second'".ljust(80) + card("EMPTY", b"")
    )  # fmt: skip
    header, warnings = header_of(tmp_path, extra)
    assert (header["DATE-OBS"], header["GAIN"], header["FLAG"], header["N"]) == ("2020-01-01T00:00:00", 1.5, True, 7)
    assert header["HIERARCH ESO TEL AIRM START"] == 1.25
    assert header["LONGSTR"] == "first second"
    assert "flattened" in str(header["HISTORY"])
    assert warnings == ()


def sky_header(cards: dict) -> fits.Header:
    return fits.Header(list(cards.items()))


def test_a_good_sky_is_kept_as_it_is():
    for cards in (SKY, {**SIP, "A_ORDER": 3, "B_ORDER": 3, "A_3_0": 1e-8}):
        header, warnings = tidy_sky_cards(sky_header(cards))
        assert warnings == [] and has_sky(header)
        assert dict(header) == cards


def test_the_header_given_is_not_changed():
    original = sky_header({**SKY, "A_ORDER": 30000})
    tidy_sky_cards(original)
    assert original["A_ORDER"] == 30000


@pytest.mark.filterwarnings("ignore")
def test_a_cube_is_reduced_to_its_celestial_plane():
    cube = {
        **SKY, "WCSAXES": 3, "CTYPE3": "VELO-LSR", "CRVAL3": 5e3, "CRPIX3": 1.0, "CDELT3": 100.0, "CUNIT3": "m/s",
        "CD3_3": 100.0, "RESTFRQ": 1.1e11,
    }  # fmt: skip
    header, warnings = tidy_sky_cards(sky_header(cube))
    assert "CTYPE3, CRVAL3, CRPIX3, CDELT3, CUNIT3, CD3_3 are left out" in warnings[0]
    assert not [k for k in header if "3" in k]
    full = WCS(sky_header(cube)).celestial
    x, y = np.array([3.0, 40.0]), np.array([5.0, 60.0])
    assert np.allclose(WCS(header).all_pix2world(x, y, 0), full.all_pix2world(x, y, 0), atol=1e-12)


def test_a_spectrum_in_front_is_no_sky():
    cards = {"CTYPE1": "FREQ", "CTYPE2": "RA---TAN", "CTYPE3": "DEC--TAN", "CRPIX1": 1.0, "CRPIX2": 1.0, "CRPIX3": 1.0,
             "CRVAL1": 1e9, "CRVAL2": 10.0, "CRVAL3": 20.0, "CDELT1": 1.0, "CDELT2": 1.0, "CDELT3": 1.0}  # fmt: skip
    header, warnings = tidy_sky_cards(sky_header(cards))
    assert not has_sky(header) and "not a pair on the sky" in warnings[1]


def test_header_that_says_it_has_no_sky_gives_no_warning():
    header, warnings = tidy_sky_cards(sky_header({"CTYPE1": "", "CTYPE2": "", "CRVAL1": 1.0, "CDELT1": 1.0}))
    assert warnings == [] and not has_sky(header)


def test_scales_without_axis_types_are_said_to_be_no_sky():
    _, warnings = tidy_sky_cards(sky_header({k: v for k, v in SKY.items() if not k.startswith("CTYPE")}))
    assert "no axis types" in warnings[0]


def test_what_can_be_repaired_stays_as_it_is():
    zeros = {**SKY, "CD1_1": 0.0, "CD2_2": 0.0, "CDELT1": -2.8e-4, "CDELT2": 2.8e-4}
    text = {**SKY, "CRVAL1": "05:32:00.0", "CRVAL2": "+20:00:00", "CRPIX1": "32.0"}
    dashes = {**SKY, "CTYPE1": "RA--TAN", "CTYPE2": "DEC-TAN"}
    for cards in (zeros, text, dashes):
        header, warnings = tidy_sky_cards(sky_header(cards))
        assert dict(header) == cards and warnings == []


def test_look_up_tables_are_taken_out_with_a_warning():
    header, warnings = tidy_sky_cards(sky_header({**SKY, "CPDIS1": "LOOKUP", "D2IMDIS1": "Lookup", "NPOLEXT": "x"}))
    assert "look-up-table distortions of the WCS are ignored: CPDIS1, D2IMDIS1, NPOLEXT" in warnings[0]
    assert has_sky(header) and "CPDIS1" not in header and "NPOLEXT" not in header


def test_plate_constants_are_left_alone():
    header, warnings = tidy_sky_cards(sky_header({"AMDX1": 67.2, "AMDY1": 67.3, "PLTRAH": 8, "CNPIX1": 3}))
    assert warnings == [] and header["AMDX1"] == 67.2


@pytest.mark.parametrize("order", [10, 30000, -1])
def test_dangerous_orders_never_reach_wcslib(tmp_path, order):
    path = tmp_path / "a.fits"
    path.write_bytes(image_bytes(STARS, **{**SIP, "A_ORDER": order, "B_ORDER": order}))
    frame = read_frame(path)
    assert f"A_ORDER = {order} is outside 0 to 9: the SIP polynomials are left out (A_ORDER, B_ORDER)" in frame.warnings
    assert not any(k.endswith("_ORDER") for k in frame.header) and has_sky(frame.header)


def test_a_header_is_read_back_from_its_text_without_what_astropy_writes_and_cannot_read():
    words = "ccd=<CCDData>, target_wcs=WCS KeywordsNumber of WCS axes: 2CTYPE : 'RA---TAN'  'DEC--TAN'  CRVAL : 204.8640878996"
    header = fits.Header(
        [("CRVAL1", 10.5, "deg"), ("HIERARCH ESO TEL AIRM", 1.2), ("WCSPROJ", words), ("LONG", "a" * 100)]
    )
    header["HISTORY"] = "flattened"
    back = header_of_text(header_text(header))
    assert (back["CRVAL1"], back.comments["CRVAL1"], back["HIERARCH ESO TEL AIRM"]) == (10.5, "deg", 1.2)
    assert back["LONG"] == "a" * 100 and str(back["HISTORY"]) == "flattened"
    assert all(card.value is not None for card in back.cards)
    assert header_of_text(header.tostring())["CRVAL1"] == 10.5
