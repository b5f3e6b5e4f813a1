"""Barycentric dates against published and independent ones."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.time import Time

from astro_shared.science.barycentric import bjd_tdb

S = 1 / 86400


def test_the_date_is_that_of_astropys_own_correction():
    place = SkyCoord(ra=[10.0, 210.0, 83.0] * u.deg, dec=[-60.0, 35.0, 20.0] * u.deg)
    time = Time("2025-03-01T02:00:30", scale="utc", location=EarthLocation.from_geocentric(0, 0, 0, u.m))
    expected = (time.tdb + time.light_travel_time(place, "barycentric")).jd
    found = bjd_tdb(time.mjd, place.ra.deg, place.dec.deg)
    assert np.abs(found - expected).max() < 1e-3 * S


def test_one_place_gives_one_number():
    assert bjd_tdb(60000.0, 83.0, 20.0).shape == ()


def test_opposite_places_differ_by_twice_the_delay():
    """Along the ecliptic the Earth is one astronomical unit nearer to one star: 499 s, and 69.2 s of TDB."""
    spring = Time("2025-09-22T18:19:00").mjd  # the Earth stands at right ascension 0 as seen from the Sun
    ahead, behind = bjd_tdb(spring, [0.0, 180.0], [0.0, 0.0])
    assert (ahead - behind) / S == pytest.approx(2 * 499.0, rel=0.02)
    assert ((ahead + behind) / 2 - (spring + 2400000.5)) / S == pytest.approx(69.184, abs=0.01)
