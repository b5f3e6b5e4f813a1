"""The middle of the exposure, from every way of writing a date."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.io import fits
from astropy.time import Time

from astro_shared.fits.date_forms import parse_moment
from astro_shared.fits.dates import MidExposure, exposure_span_s, mid_exposure, to_text
from astro_shared.fits.heliocentric import light_travel_s

MIDDLE = "1986-01-01T12:00:00.000Z"
MJD = Time("1986-01-01T12:00:00", scale="utc").mjd


def middle(*cards, exposure_s: float | None = 0.0, place=None, **options) -> MidExposure:
    return mid_exposure(fits.Header([fits.Card(*card) for card in cards]), exposure_s, place, **options)


def text(found: MidExposure) -> str:
    assert found.when is not None, found.notes
    return to_text(found.when)


@pytest.mark.parametrize(
    "keyword",
    [
        "MJD-UTC",
        "MJDSTART",
        "MJDATE",
        "MJD",
        "MJD-OBS",
        "MJD_OBS",
        "MJD-AVG",
        "MJD-BEG",
        "MJD-END",
        "MJD-MID",
        "MJDMID",
        "EXPSTART",
        "EXPEND",
    ],
)
def test_modified_julian_dates_are_read(keyword):
    assert text(middle((keyword, MJD))) == MIDDLE


@pytest.mark.parametrize(
    "keyword",
    [
        "JD",
        "JD-OBS",
        "JD_UTC",
        "JD-MID",
        "JDMID",
        "JD_OBS",
        "JULDATE",
        "JD-END",
        "JDATE",
        "RJD",
        "JULIAN-D",
        "JD-GEO",
        "GEOJD",
        "MIDJD",
        "JD-STRT",
    ],
)
@pytest.mark.parametrize("zero", [0.0, -2400000.0])
def test_julian_dates_are_read_whole_and_shortened(keyword, zero):
    found = middle((keyword, MJD + 2400000.5 + zero))
    assert abs((found.when - parse_moment(MIDDLE).when).total_seconds()) < 0.01


def test_a_modified_date_under_the_name_of_a_julian_date_is_told_by_its_comment():
    assert text(middle(("JD", MJD, "JD - 2400000.5"))) == MIDDLE
    assert text(middle(("JD", str(MJD + 2400000.5)))) == MIDDLE


@pytest.mark.parametrize("keyword", ["MJD-HEL", "HMJD", "MHJD"])
def test_modified_heliocentric_dates_are_told_by_their_name(keyword):
    found = middle((keyword, MJD), place=(210.0, 35.0))
    whole = middle(("HJD", MJD + 2400000.5), place=(210.0, 35.0))
    assert abs((found.when - whole.when).total_seconds()) < 0.01 and "heliocentric" in " ".join(found.notes)


def test_a_scale_in_the_name_goes_before_that_of_the_header():
    assert text(middle(("MJD-TT", MJD + 55.184 / 86400), ("TIMESYS", "UTC"))) == MIDDLE
    assert text(middle(("MJD-UTC", MJD), ("TIMESYS", "TAI"))) == MIDDLE


@pytest.mark.parametrize(
    ("clock", "value"),
    [("UT-END", "12:00:30"), ("TIME-END", "12:00:30"), ("UTMIDDLE", "12:00:00"), ("UT-MID", "12:00:00"), ("UTSTOP", "12:00:30"),
     ("TIME", "11:59:30"), ("EXPSTART", "11:59:30"), ("SHUTCLOS", "12:00:30"), ("UTC-END", "1986-01-01T12:00:30")],
)  # fmt: skip
def test_a_clock_tells_its_part_of_the_exposure(clock, value):
    assert text(middle(("DATE-OBS", "1986-01-01"), (clock, value), exposure_s=60.0)) == MIDDLE


def test_an_end_before_the_start_is_on_the_next_day():
    cards = ("DATE-OBS", "1985-12-31"), ("UTSTART", "23:59:30"), ("UTEND", "00:00:30")
    header = fits.Header([fits.Card(*card) for card in cards])
    assert exposure_span_s(header) == 60.0
    assert text(middle(*cards, exposure_s=60.0)) == "1986-01-01T00:00:00.000Z"


@pytest.mark.parametrize(
    "card",
    [("DATE-OBS", MJD), ("DATE-OBS", str(MJD + 2400000.5)), ("UNIXTIME", 504964800), ("TIMESTAR", "1986-01-01T12:00:00"),
     ("DATESTOP", "1986-01-01T12:00:00"), ("OBSDATE", "1986-01-01T12:00:00"),
     ("DATE", "1986-01-01T12:00:00", "Date of observation"),
     ("HIERARCH DATE-OBS-START", "1986-01-01T12:00:00"), ("TAI", (MJD + 23 / 86400) * 86400)],
)  # fmt: skip
def test_dates_under_odd_names_and_types(card):
    assert abs((middle(card).when - parse_moment(MIDDLE).when).total_seconds()) < 0.001


@pytest.mark.parametrize("keyword", ["JEPOCH", "BEPOCH", "OBSEPOCH"])
def test_the_epoch_of_observation_is_a_date(keyword):
    found = middle((keyword, 1986.0))
    assert found.when.year == 1986 and found.err_s > 1e5


def test_exposures_zones_and_scales_are_no_clocks():
    odd = ("EXPTIME", 60.0), ("TIMEZONE", 7), ("TIMESYS", "UTC"), ("UTCOFFS", 3), ("TELAPSE", 5.0), ("UTC-TAI", -37)
    assert "no time" in " ".join(middle(("DATE-OBS", "1986-01-01"), *odd).notes)


def test_a_date_that_is_not_understood_is_named():
    assert "DATE-OBS = 'last night' is not understood" in " ".join(middle(("DATE-OBS", "last night")).notes)


def test_a_bare_midnight_gives_way_to_a_julian_date():
    assert text(middle(("DATE-OBS", "1986-01-01T00:00:00"), ("MJD-OBS", MJD))) == MIDDLE


@pytest.mark.parametrize("zone", [-7, "-7", "-07:00", "UTC-7", "-0700"])
def test_zones_are_numbers_or_texts(zone):
    assert text(middle(("DATE-LOC", "1986-01-01T05:00:00"), ("TIMEZONE", zone))) == MIDDLE


def test_years_of_two_digits():
    assert parse_moment("86/01/31").when == parse_moment("31/01/86").when == parse_moment("1986-01-31").when
    assert parse_moment("31/12/05").when.year == 2005 and "taken as 2005" in parse_moment("31/12/05").remark


def test_zero_is_no_date():
    assert middle(("MJD-OBS", 0.0), ("JD", 0.0), ("DATE-OBS", "1970-01-01T00:00:00")).when is None


@pytest.mark.parametrize("keyword", ["JD-HELIO", "HJD", "HJD_UTC", "HELJD", "JDHELIO", "HJD-OBS", "HJDMID"])
def test_heliocentric_dates_lose_the_light_travel_time(keyword):
    place, time = SkyCoord(210 * u.deg, 35 * u.deg), Time("1986-01-01T12:00:00", scale="utc")
    centre = EarthLocation.from_geocentric(0, 0, 0, u.m)
    delay = time.light_travel_time(place, "heliocentric", location=centre)
    found = middle((keyword, (time + delay).jd), exposure_s=60.0, place=(210.0, 35.0))
    assert abs((found.when - parse_moment(MIDDLE).when).total_seconds()) < 0.2
    assert "light-travel time was taken off" in " ".join(found.notes)


def test_barycentric_dates_lose_dynamical_time_as_well():
    place, time = SkyCoord(210 * u.deg, 35 * u.deg), Time("1986-01-01T12:00:00", scale="utc")
    centre = EarthLocation.from_geocentric(0, 0, 0, u.m)
    bjd = (time.tdb + time.light_travel_time(place, "barycentric", location=centre)).jd
    found = middle(("BJD_TDB", bjd), place=(210.0, 35.0))
    assert abs((found.when - parse_moment(MIDDLE).when).total_seconds()) < 5.0


def test_without_a_place_a_heliocentric_date_is_good_to_minutes():
    found = middle(("JD-HELIO", 2446432.0))
    assert text(found) == MIDDLE and found.err_s == 300.0 and "8 minutes" in " ".join(found.notes)


def test_the_delay_is_that_of_astropy_at_all_places_and_times():
    rng = np.random.default_rng(1)
    centre = EarthLocation.from_geocentric(0, 0, 0, u.m)
    for mjd, ra, dec in zip(
        rng.uniform(40_000, 62_000, 20), rng.uniform(0, 360, 20), rng.uniform(-90, 90, 20), strict=True
    ):
        time = Time(mjd, format="mjd", scale="utc")
        expected = time.light_travel_time(SkyCoord(ra * u.deg, dec * u.deg), "heliocentric", location=centre).sec
        assert light_travel_s(mjd, ra, dec) == pytest.approx(expected, abs=0.2)


def test_the_end_is_moved_back_by_half_the_exposure():
    assert text(middle(("DATE-END", "1986-01-01T12:00:30"), exposure_s=60.0)) == MIDDLE
    assert text(middle(("DATE", "1999-01-01"), ("MJD-END", MJD + 30 / 86400), exposure_s=60.0)) == MIDDLE


@pytest.mark.parametrize(
    ("comment", "value"),
    [("start of exposure", "11:59:30"), ("UTC at mid-exposure", "12:00:00"), ("exposure midpoint", "12:00:00"),
     ("shutter closed", "12:00:30"), ("End of integration, UT", "12:00:30"), ("", "11:59:30"),
     ("start and end in DATE-END", "11:59:30")],
)  # fmt: skip
def test_the_comment_says_which_moment_it_is(comment, value):
    assert text(middle(("DATE-OBS", f"1986-01-01T{value}", comment), exposure_s=60.0)) == MIDDLE


@pytest.mark.parametrize("clock", ["TIME-OBS", "UT", "UTC", "UTSTART", "UTSHUT", "UT-START", "TIME-BEG"])
@pytest.mark.parametrize(
    "value", ["12:00:00", "12 00 00", "12h00m00s", 12.0, "12.0", "12:00:00.0 PM", "1986-01-01T12:00:00"]
)
@pytest.mark.parametrize("day", ["1986-01-01", "01/01/86", "1986-01-01T00:00:00"])
def test_a_day_is_joined_with_a_clock(clock, value, day):
    assert text(middle(("DATE-OBS", day), (clock, value))) == MIDDLE


def test_local_time_is_brought_to_utc_by_its_zone_or_said():
    found = middle(("DATE-LOC", "1986-01-01T05:00:00"), ("TIMEZONE", -7))
    assert text(found) == MIDDLE and "-7 h" in " ".join(found.notes)
    unknown = middle(("DATE-LOC", "1986-01-01T05:00:00"))
    assert unknown.err_s > 20_000 and "unknown zone" in " ".join(unknown.notes)
    told = middle(("DATE-OBS", "1986-01-01T05:00:00", "local time at start"), ("UTCOFFS", -7.0))
    assert text(told) == MIDDLE


def test_utc_goes_before_local_time():
    assert text(middle(("DATE-LOC", "1986-01-01T05:00:00"), ("DATE-END", "1986-01-01T12:00:00"))) == MIDDLE


@pytest.mark.parametrize(
    ("scale", "ahead_s"), [("TAI", 23.0), ("TT", 55.184), ("ET", 55.184), ("TDB", 55.184), ("GPS", 4.0), ("UTC", 0.0)]
)
def test_time_scales_become_utc(scale, ahead_s):
    when = (Time("1986-01-01T12:00:00") + ahead_s * u.s).isot
    found = middle(("DATE-OBS", when), ("TIMESYS", scale))
    # 23 leap seconds in 1986; TDB differs from TT by 2 ms
    assert abs((found.when - parse_moment(MIDDLE).when).total_seconds()) < 0.003


def test_satellites_count_from_a_reference_day():
    zero = (("MJDREFI", 51910), ("MJDREFF", 0.0), ("TIMESYS", "UTC"))
    assert text(middle(*zero, ("TSTART", (MJD + 10000 - 51910) * 86400)))[:10] == "2013-05-19"
    days = (("BJDREFI", 2457000), ("BJDREFF", 0.0), ("TIMEUNIT", "d"), ("TIMESYS", "UTC"), ("TSTART", 1377.5))
    assert text(middle(*days)) == "2018-09-16T00:00:00.000Z"  # JD 2458377.5


@pytest.mark.parametrize(
    ("written", "year", "sigma_yr"),
    [("1986", 1986.5, 0.289), ("1986-07", 1986.535, 0.024), ("1986.25", 1986.25, 0.003), ("J1986.5", 1986.5, 0.03)],
)
def test_a_year_or_a_month_alone_has_an_error_that_says_so(written, year, sigma_yr):
    found = middle(("DATE-OBS", written))
    assert abs((found.when - parse_moment(MIDDLE).when).total_seconds() / 3.15576e7 - (year - 1986.0)) < 0.003
    assert found.err_s / 3.15576e7 == pytest.approx(sigma_yr, rel=0.05) and found.notes


def test_the_epoch_of_a_plate_is_its_date():
    found = middle(("EPOCH", 1951.911, "Epoch of plate"))
    assert found.when.year == 1951 and found.keyword == "EPOCH"
    assert middle(("EPOCH", 2000.0)).when is None and middle(("EPOCH", 1950.0)).when is None


def test_nothing_is_said_to_be_nothing():
    found = middle(("DATE", "2019-01-01T00:00:00"), ("EPOCH", 2000.0))
    assert found.when is None and "DATE, when the file was written, does not count" in " ".join(found.notes)


@pytest.mark.parametrize(
    "written",
    ["1986-01-01T12:00:00", "1986-01-01 12:00:00,000", "19860101T120000", "1986/01/01 12:00:00", "1986.01.01T12:00:00",
     "1986-01-01T12:00:00UTC", "1986-01-01T14:00:00+0200", "01/01/86 12:00:00", "1 Jan 1986 12:00:00", "Jan 1, 1986 12:00:00",
     "01-JAN-1986 12:00:00", "1986-Jan-01T12:00:00", "Wed Jan  1 12:00:00 1986", "1986-001T12:00:00", "1986-01-01.5",
     "1986 01 01.5", "1/1/1986 12:00:00 PM", "'1986-01-01T12:00:00'", "1986-01-01T12:00"],
)  # fmt: skip
def test_texts_in_all_their_forms(written):
    moment = parse_moment(written)
    assert moment is not None and to_text(moment.when) == MIDDLE and moment.has_time


def test_the_day_comes_first_unless_it_cannot():
    assert parse_moment("05/06/2004").when.month == 6
    assert parse_moment("06/15/2004").when.month == 6


def test_the_span_is_that_of_dates_of_one_kind():
    header = fits.Header([("DATE-OBS", "1986-01-01T12:00:00"), ("DATE-END", "1986-01-01T12:01:00")])
    assert exposure_span_s(header) == 60.0
    days = fits.Header([("MJD-OBS", MJD), ("MJD-END", MJD + 60 / 86400)])
    assert exposure_span_s(days) == pytest.approx(60.0, abs=0.01)
    assert exposure_span_s(fits.Header([("DATE-OBS", "1986-01-01"), ("DATE-END", "1986-01-02")])) is None


def test_the_middle_of_a_stack_lies_between_start_and_end():
    cards = ("DATE-OBS", "1986-01-01T11:00:00"), ("DATE-END", "1986-01-01T13:00:00")
    assert text(middle(*cards, exposure_s=600.0, is_stack=True)) == MIDDLE
    assert text(middle(*cards, exposure_s=600.0)) == "1986-01-01T11:05:00.000Z"


def test_local_time_of_start_and_end_is_not_taken_for_utc():
    cards = ("DATE-OBS", "1986-01-01T05:00:00"), ("DATE-END", "1986-01-01T05:01:00"), ("MJD-OBS", MJD)
    found = middle(*cards, exposure_s=0.0)
    assert text(found) == MIDDLE and "local time" in " ".join(found.notes)
