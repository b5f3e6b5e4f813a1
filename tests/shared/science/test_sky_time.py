import numpy as np
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord, get_body_barycentric
from astropy.time import Time
from astropy.utils import iers

from astro_shared.science.sky_time import (
    altitude_deg,
    barycentric_earth_au,
    local_triad,
    mean_direction,
    observation_time,
    parallactic_angle_deg,
    parse_angle_deg,
    position_from_vectors,
    separation_deg,
    unit_vectors,
    wrap_180,
)


def test_separation_is_exact_for_tiny_and_opposite_pairs() -> None:
    assert separation_deg(10.0, 20.0, 10.0, 20.0 + 1e-9) == pytest.approx(1e-9, rel=1e-5)
    assert separation_deg(0.0, 0.0, 180.0, 0.0) == pytest.approx(180.0)
    assert separation_deg(359.9, 0.0, 0.1, 0.0) == pytest.approx(0.2)


def test_mean_direction_works_across_zero_hours_and_at_the_pole() -> None:
    ra, dec = mean_direction([359.0, 1.0, np.nan], [0.0, 0.0, 0.0])
    assert wrap_180(ra) == pytest.approx(0.0, abs=1e-12) and dec == pytest.approx(0.0)
    assert mean_direction([0.0, 90.0, 180.0, 270.0], [89.0] * 4)[1] == pytest.approx(90.0)


def test_vectors_and_positions_are_inverse() -> None:
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(0, 360, 100), rng.uniform(-90, 90, 100)
    back = position_from_vectors(3.0 * unit_vectors(ra, dec))
    np.testing.assert_allclose(back, (ra, dec), atol=1e-12)
    toward, east, north = local_triad(ra, dec)
    np.testing.assert_allclose(np.cross(east, north), toward, atol=1e-14)


@pytest.mark.parametrize(
    ("text", "hours", "expected"),
    [
        ("12:34:56.7", True, 188.73625),
        ("-00 30 00", False, -0.5),
        ("+47d11m", False, 47 + 11 / 60),
        ("1.5", False, 1.5),
        ("12:75:00", False, None),
        (float("nan"), False, None),
        ("off", False, None),
        (None, False, None),
        (True, False, None),
    ],
)
def test_angles_of_headers(text: object, hours: bool, expected: float | None) -> None:
    found = parse_angle_deg(text, hours=hours)
    assert found is None if expected is None else found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("cards", "mjd"),
    [
        ({"DATE-OBS": "2017-12-20T01:00:00-0700", "EXPTIME": 60}, 58107.333333 + 30 / 86400),
        ({"DATE-OBS": "2024-03-15", "UT": "06:00:00", "EXPOSURE": "86.4"}, 60384.25 + 0.0005),
        ({"DATE-OBS": "26/07/102"}, 52481.0),
        ({"DATE-OBS": "31/12/99", "TIME-OBS": "12:00:00"}, 51543.5),
        ({"MJD-OBS": 58000.5, "EXPTIME": 0}, 58000.5),
        ({"JD": 2451545.0}, 51544.5),
        ({"DATE-AVG": "2020-01-01T00:00:00", "DATE-OBS": "2010-01-01", "EXPTIME": 1000}, 58849.0),
        ({"DATE-OBS": "1951-11-29T00:00:00Z"}, 33979.0),
    ],
)
def test_middle_of_the_exposure(cards: dict[str, object], mjd: float) -> None:
    found = observation_time(cards)
    assert found is not None and found.mjd == pytest.approx(mjd, abs=2e-6)


@pytest.mark.parametrize(
    "cards", [{}, {"DATE-OBS": "soon"}, {"DATE-OBS": "2024-13-45"}, {"MJD-OBS": float("inf")}, {"JD": 12}]
)
def test_damaged_dates_are_no_time(cards: dict[str, object]) -> None:
    assert observation_time(cards) is None


@pytest.mark.parametrize("year", [1951.9, 2016.0, 2031.4])
def test_place_of_the_earth(year: float) -> None:
    expected = get_body_barycentric("earth", Time(year, format="jyear", scale="tdb"), ephemeris="builtin").xyz.to_value(
        "au"
    )
    np.testing.assert_allclose(barycentric_earth_au(year), expected, atol=1e-9)


@pytest.mark.parametrize("ra", [250.0, 310.0, 350.0])
def test_altitude_and_zenith_direction_agree_with_astropy(ra: float) -> None:
    site = {"latitude_deg": -30.24, "longitude_deg": -70.74}
    place = EarthLocation(lat=site["latitude_deg"], lon=site["longitude_deg"])
    mjd, dec = 58000.1, -12.0
    with iers.conf.set_temp("auto_download", False):
        frame = AltAz(obstime=Time(mjd, format="mjd"), location=place)
        star = SkyCoord(ra, dec, unit="deg").transform_to(frame)
        zenith = SkyCoord(alt=90.0, az=0.0, unit="deg", frame=frame).icrs
        toward = SkyCoord(ra, dec, unit="deg").position_angle(zenith).deg
    # Precession and nutation are left out of ours: a quarter of a degree in 2017.
    assert altitude_deg(ra, dec, mjd=mjd, **site) == pytest.approx(star.alt.deg, abs=0.3)
    assert wrap_180(parallactic_angle_deg(ra, dec, mjd=mjd, **site) - toward) == pytest.approx(0.0, abs=1.0)
