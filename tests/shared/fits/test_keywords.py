"""Facts from headers: aliases, units, dates, places."""

import math

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import FK4, FK5, SkyCoord
from astropy.io import fits
from astropy.time import Time

from astro_shared.contracts.settings import InputSettings
from astro_shared.errors import InvalidRequestError
from astro_shared.fits.date_forms import parse_moment
from astro_shared.fits.dates import to_text
from astro_shared.fits.keywords import QUANTITIES, FrameFacts, frame_facts
from astro_shared.fits.pointing import sexagesimal
from astro_shared.fits.site import SkyEvidence, east_longitude, sidereal_time_deg


def facts(*cards) -> FrameFacts:
    return frame_facts(fits.Header([fits.Card(*c) for c in cards]))


def test_an_empty_header_gives_nothing_but_a_warning():
    empty = facts()
    assert empty.gain_e_per_adu is None and empty.ra_deg is None and empty.date_mid is None
    assert empty.warnings == ("the header gives no date of observation",)


@pytest.mark.parametrize("name", sorted(QUANTITIES))
def test_every_alias_of_every_quantity_is_read(name):
    row = QUANTITIES[name]
    good = {"latitude_deg": 40.0, "longitude_deg": 20.0, "airmass": 1.5, "saturation_adu": 6e4}.get(name, 2.5)
    for keyword in row.keywords:
        found = facts((keyword, good))
        assert getattr(found, name) == good, keyword
        assert found.sources[name] == keyword.removeprefix("HIERARCH ") or found.sources[name] == keyword


def test_the_first_alias_wins_and_unbelievable_values_are_passed_over():
    assert facts(("RDNOISE", 5.0), ("READNOIS", 7.0)).read_noise_e == 5.0
    odd = facts(("RDNOISE", -1.0), ("READNOIS", 7.0))
    assert odd.read_noise_e == 7.0 and "RDNOISE = -1" in " ".join(odd.warnings)


def test_numbers_written_as_text_count():
    assert facts(("GAIN", " 1.5 ")).gain_e_per_adu == 1.5
    assert facts(("GAIN", "UNKNOWN"), ("EGAIN", 2.0)).gain_e_per_adu == 2.0
    assert facts(("GAIN", True)).gain_e_per_adu is None


def test_a_camera_setting_is_no_gain():
    both = facts(("GAIN", 100), ("EGAIN", 0.78))
    assert both.gain_e_per_adu == 0.78 and "EGAIN is used" in " ".join(both.warnings)
    alone = facts(("GAIN", 139))
    assert alone.gain_e_per_adu is None and "setting of a camera" in " ".join(alone.warnings)


def test_the_unit_of_the_pixels_decides_the_gain():
    assert facts(("BUNIT", "ELECTRONS"), ("GAIN", 1.5)).gain_e_per_adu == 1.0
    assert facts(("BUNIT", "electron/s"), ("EXPTIME", 20.0), ("GAIN", 1.5)).gain_e_per_adu == 20.0
    assert facts(("BUNIT", "MJy/sr"), ("GAIN", 3.7)).gain_e_per_adu is None
    assert facts(("BUNIT", "adu"), ("GAIN", 1.5)).gain_e_per_adu == 1.5


def test_units_in_comments_are_obeyed():
    assert facts(("EXPOSURE", 50.0, "Exposure time minutes")).exposure_s == 3000.0
    assert facts(("EXPOSURE", 0.5, "[d] time on source")).exposure_s == 43200.0
    assert facts(("EXPTIME", 1500, "[ms]")).exposure_s == 1.5
    assert facts(("EXPTIME", 30, "[s] exposure")).exposure_s == 30.0
    assert facts(("SATURATE", 1e5, "[electrons]"), ("GAIN", 2.0)).saturation_adu == 5e4
    assert facts(("RDNOISE", 4.0, "[ADU]"), ("GAIN", 2.0)).read_noise_e == 8.0
    assert facts(("PIXSCALE", 0.0005, "degrees per pixel")).pixel_scale_arcsec == pytest.approx(1.8)


def test_pixel_scale_comes_from_the_optics_when_not_said():
    # 9 micrometres behind 3.2 m: 206265 * 9e-6 / 3.2
    assert facts(("XPIXSZ", 9.0), ("FOCALLEN", 3200.0)).pixel_scale_arcsec == pytest.approx(0.58012, abs=1e-5)
    assert facts(("XPIXSZ", 9.0), ("FOCALLEN", 0.0)).pixel_scale_arcsec is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-03-15T02:30:00", "2024-03-15T02:30:00.000Z"),
        ("2024-03-15 02:30:00.25", "2024-03-15T02:30:00.250Z"),
        ("2024-03-15T02:30Z", "2024-03-15T02:30:00.000Z"),
        ("2017-12-19T18:33:43.317-0700", "2017-12-20T01:33:43.317Z"),
        ("2017-12-19T18:33:43+05:30", "2017-12-19T13:03:43.000Z"),
        ("2016-12-31T23:59:60", "2017-01-01T00:00:00.000Z"),
        ("26/07/102", "2002-07-26T00:00:00.000Z"),
        ("29/11/51", "1951-11-29T00:00:00.000Z"),
        ("05/06/2004", "2004-06-05T00:00:00.000Z"),
        ("20071011", "2007-10-11T00:00:00.000Z"),
    ],
)
def test_dates_in_all_their_forms(text, expected):
    moment = parse_moment(text)
    assert moment is not None and to_text(moment.when) == expected


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2024-13-01", "2024-02-30T00:00:00", "9999-01-01", "0001-01-01", "1/2/3/4"]
)
def test_nonsense_is_no_date(text):
    assert parse_moment(text) is None


def test_the_middle_is_half_an_exposure_after_the_start():
    f = facts(("DATE-OBS", "2024-03-15T23:59:30"), ("EXPTIME", 120.0))
    assert f.date_mid == "2024-03-16T00:00:30.000Z"
    expected = Time("2024-03-16T00:00:30", scale="utc")
    assert f.mjd_mid == pytest.approx(expected.mjd, abs=1e-9)
    assert f.epoch_jyear == pytest.approx(expected.jyear, abs=1e-7)


def test_day_and_clock_are_joined():
    for clock in (
        ("TIME-OBS", "19:36:37"),
        ("UT", "19 36 37"),
        ("UTSTART", 19.6102777778, "[h]"),
        ("TM-START", 70597.0),
    ):
        f = facts(("DATE-OBS", "26/07/102"), clock, ("EXPTIME", 60))
        assert f.date_mid[:19] == "2002-07-26T19:37:07" or f.date_mid[:19] == "2002-07-26T19:37:06", clock


def test_a_day_without_a_time_is_said():
    f = facts(("DATE-OBS", "2011-06-28"), ("EXPTIME", 10.0))
    assert f.date_mid == "2011-06-28T00:00:05.000Z" and "no time" in " ".join(f.warnings)
    assert facts(("DATE-OBS", "2011-06-28"), ("MJD-OBS", 55740.5)).date_mid.startswith("2011-06-28T12:00")


def test_local_time_is_found_out_by_the_julian_date():
    f = facts(("DATE-OBS", "2024-03-14T19:30:00"), ("MJD-OBS", Time("2024-03-15T02:30:00").mjd), ("EXPTIME", 0.002))
    assert f.date_mid.startswith("2024-03-15T02:30") and "local time" in " ".join(f.warnings)
    rounded = facts(("DATE-OBS", "2024-03-15T02:30:00"), ("MJD-OBS", round(Time("2024-03-15T02:30:00").mjd, 3)))
    assert rounded.date_mid.startswith("2024-03-15T02:30:00")


def test_other_time_scales_become_utc():
    f = facts(("DATE-OBS", "2024-03-15T02:30:00"), ("TIMESYS", "TAI"), ("EXPTIME", 2.0))
    assert f.date_mid == "2024-03-15T02:29:24.000Z"  # 37 s since 2017
    zulu = facts(("DATE-OBS", "2024-03-15T02:30:00Z"), ("TIMESYS", "TDB"), ("EXPTIME", 2.0))
    assert zulu.date_mid == "2024-03-15T02:30:01.000Z"


def test_a_middle_in_the_header_is_used_as_it_is():
    assert facts(("DATE-AVG", "2024-03-15T02:31:00"), ("DATE-OBS", "2024-03-15T02:30:00")).date_mid.startswith(
        "2024-03-15T02:31:00"
    )


def test_a_date_of_the_request_is_read_or_refused():
    header = fits.Header([("DATE-OBS", "2020-01-01T00:00:00"), ("EXPTIME", 60.0)])
    told = frame_facts(header, InputSettings(date_mid="2024-03-15T02:30:00Z"))
    assert (told.date_mid, told.sources["date"]) == ("2024-03-15T02:30:00.000Z", "request")
    with pytest.raises(InvalidRequestError):
        frame_facts(header, InputSettings(date_mid="2024-03-15"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12:30:00", 12.5),
        ("-00:30:00", -0.5),
        ("+49 49 19", 49 + 49 / 60 + 19 / 3600),
        ("12h30m36s", 12.51),
        ("5:06.5", 5 + 6.5 / 60),
        ("12 30", 12.5),
        ("12:61:00", None),
        ("1506.5", None),
        ("1.5", None),
    ],
)
def test_sexagesimal_numbers(text, value):
    assert sexagesimal(text) == (None if value is None else pytest.approx(value))


@pytest.mark.parametrize(
    ("cards", "ra", "dec"),
    [
        ([("RA", 150.1), ("DEC", -22.2)], 150.1, -22.2),
        ([("RA", "10:00:24"), ("DEC", "-22:12:00")], 150.1, -22.2),
        ([("OBJCTRA", "10 00 24"), ("OBJCTDEC", "-22 12 00")], 150.1, -22.2),
        ([("RA", "150.1"), ("DEC", "-22.2")], 150.1, -22.2),
        ([("TELRA", 5.5, "[h] right ascension"), ("TELDEC", 10.0)], 82.5, 10.0),
        ([("RA", 5.5, "hours"), ("DEC", 10.0)], 82.5, 10.0),
        ([("RA", 5.5, "degrees"), ("DEC", 10.0)], 5.5, 10.0),
        ([("RA", "UNKNOWN"), ("DEC", "UNKNOWN"), ("RA_TARG", 110.0), ("DEC_TARG", 80.0)], 110.0, 80.0),
        ([("RA", -10.0), ("DEC", 5.0)], 350.0, 5.0),
    ],
)
def test_pointings_in_all_their_units(cards, ra, dec):
    f = facts(*cards)
    assert (f.ra_deg, f.dec_deg) == (pytest.approx(ra), pytest.approx(dec))
    assert not [w for w in f.warnings if "RA" in w]


def test_a_small_number_without_a_unit_is_degrees_unless_the_header_shows_otherwise():
    plain = facts(("RA", 5.6), ("DEC", -30.0))
    assert plain.ra_deg == 5.6 and "taken as degrees" in " ".join(plain.warnings)
    shown = facts(("RA", 5.6), ("DEC", -30.0), ("OBJCTRA", "05:36:00"), ("OBJCTDEC", "-30:00:00"))
    assert shown.ra_deg == pytest.approx(84.0) and "taken as hours" in " ".join(shown.warnings)


def test_places_off_the_sky_are_not_believed():
    f = facts(("RA", 400.0), ("DEC", 10.0))
    assert f.ra_deg is None and "can not be read" in " ".join(f.warnings)
    assert facts(("RA", 10.0), ("DEC", 495.0)).ra_deg is None


def test_old_equinoxes_are_precessed():
    old = facts(("RA", 150.0), ("DEC", 20.0), ("EQUINOX", 1950.0))
    expected = SkyCoord(150 * u.deg, 20 * u.deg, frame=FK4(equinox="B1950")).icrs
    # FK5 axes are used for every equinox: within some arcsec of FK4, far below any pointing error
    assert SkyCoord(old.ra_deg * u.deg, old.dec_deg * u.deg).separation(expected).arcsec < 5
    now = facts(("RA", 150.0), ("DEC", 20.0), ("EQUINOX", "J2024.5"))
    expected = SkyCoord(150 * u.deg, 20 * u.deg, frame=FK5(equinox="J2024.5")).icrs
    assert SkyCoord(now.ra_deg * u.deg, now.dec_deg * u.deg).separation(expected).arcsec < 0.1


def test_sidereal_time_is_that_of_astropy():
    time = Time("2024-03-15T02:30:00", scale="ut1")
    expected = time.sidereal_time("mean", longitude=-110.88 * u.deg).deg
    assert sidereal_time_deg(time.mjd, -110.88) == pytest.approx(expected, abs=0.01)


def evidence(longitude: float, *, hour_angle: bool) -> SkyEvidence:
    """What a telescope at that longitude would write."""
    mjd, ra, dec, latitude = 60000.3, 100.0, 30.0, 31.7
    ha = sidereal_time_deg(mjd, longitude) - ra
    sine = math.sin(math.radians(latitude)) * math.sin(math.radians(dec)) + math.cos(math.radians(latitude)) * math.cos(
        math.radians(dec)
    ) * math.cos(math.radians(ha))
    return SkyEvidence(
        mjd, ra, dec, latitude, ha % 360 if hour_angle else None, None if hour_angle else 1 / max(sine, 0.05)
    )


@pytest.mark.parametrize("hour_angle", [True, False])
def test_the_sky_decides_the_sign_of_a_longitude(hour_angle):
    true = -110.88
    seen = evidence(true, hour_angle=hour_angle)
    assert east_longitude(-true, "Local longitude", seen)[0] == pytest.approx(true)
    assert "towards the west" in east_longitude(-true, "", seen)[1]
    assert east_longitude(true, "", seen) == (true, "")
    assert east_longitude(-true, "degrees east", seen)[0] == pytest.approx(true)
    assert east_longitude(-true, "[deg] +W", seen)[0] == pytest.approx(true)


def test_without_evidence_words_decide_and_then_the_standard():
    nothing = SkyEvidence(None, None, None, None, None, None)
    assert east_longitude(110.0, "West of Greenwich", nothing) == (-110.0, "")
    assert east_longitude(110.0, "", nothing) == (110.0, "")
    assert east_longitude(250.0, "", nothing) == (-110.0, "")


def test_evidence_against_both_signs_changes_nothing():
    absurd = SkyEvidence(60000.3, 100.0, 30.0, 31.7, 20.0, None)
    assert east_longitude(40.0, "", absurd) == (40.0, "")


def test_kinds_of_frames_are_one_word():
    for text, kind in (
        ("Light Frame", "light"),
        ("OBJECT", "light"),
        ("FLAT,SKY", "flat"),
        ("Dark", "dark"),
        ("zero", "bias"),
    ):
        assert facts(("IMAGETYP", text)).image_type == kind


def test_filters_that_are_none_are_passed_over():
    assert facts(("FILTER1", "Clear1L"), ("FILTER2", "F814W")).filter == "F814W"
    assert facts(("FILTER", "Clear")).filter == "Clear"


def test_the_reference_point_of_the_wcs_serves_for_the_light_travel_time():
    date, types = ("HJD", 2446432.0), (("CTYPE1", "RA---TAN"), ("CTYPE2", "DEC--TAN"))
    by_pointing = facts(date, ("RA", 83.0), ("DEC", 20.0)).mjd_mid
    for places in ((83.0, 20.0), ("05:32:00.0", "+20:00:00")):
        found = facts(date, *types, ("CRVAL1", places[0]), ("CRVAL2", places[1]))
        assert found.mjd_mid == pytest.approx(by_pointing, abs=1e-9)
        assert "light-travel time was taken off" in " ".join(found.warnings)


def test_facts_never_fail_on_odd_types():
    odd = facts(
        ("GAIN", "a" * 60), ("RA", True), ("DEC", 5), ("DATE-OBS", 20240315), ("EXPTIME", "long"), ("FILTER", 5)
    )
    assert odd.gain_e_per_adu is None and odd.ra_deg is None and odd.exposure_s is None
    assert odd.date_mid == "2024-03-15T00:00:00.000Z"
    assert not np.isnan(odd.epoch_jyear)


def test_the_documented_table_is_the_one_in_use():
    from pathlib import Path

    page = (Path(__file__).parents[3] / "docs" / "algorithms" / "frame_input.md").read_text()
    for name, row in QUANTITIES.items():
        line = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert [k.strip(" `") for k in line.split("|")[2].split(",")] == [
            k.removeprefix("HIERARCH ") for k in row.keywords
        ]
