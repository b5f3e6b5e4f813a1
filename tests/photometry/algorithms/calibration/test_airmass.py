"""Airmass against published values and astropy."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.time import Time

from photometry_service.algorithms.calibration.airmass import FORMULAE, airmass, altitude_deg, refraction_deg


@pytest.mark.parametrize("formula", FORMULAE)
def test_zenith_is_one_airmass(formula: str) -> None:
    assert airmass(np.array([90.0]), formula)[0] == pytest.approx(1.0, abs=5e-4)


@pytest.mark.parametrize("formula", FORMULAE)
def test_thirty_degrees_is_nearly_two(formula: str) -> None:
    assert airmass(np.array([30.0]), formula)[0] == pytest.approx(1.994, abs=0.002)


def test_horizon_values_are_those_of_the_papers() -> None:
    # Pickering (2002): 38.75 at the horizon; Kasten & Young (1989): 37.92
    assert airmass(np.array([1e-6]), "pickering")[0] == pytest.approx(38.75, abs=0.1)
    assert airmass(np.array([1e-6]), "kasten_young")[0] == pytest.approx(37.92, abs=0.1)


@pytest.mark.parametrize("formula", FORMULAE)
def test_below_the_horizon_there_is_none(formula: str) -> None:
    assert np.isnan(airmass(np.array([-1.0, 0.0]), formula)).all()


def test_unknown_formula_is_refused() -> None:
    with pytest.raises(ValueError, match="one of"):
        airmass(np.array([45.0]), "young")


def test_refraction_at_the_horizon_is_half_a_degree_and_nothing_at_the_zenith() -> None:
    assert refraction_deg(np.array([0.0]))[0] * 60 == pytest.approx(28.9, abs=1.0)
    assert abs(refraction_deg(np.array([90.0]))[0] * 3600) < 5


@pytest.mark.parametrize("date", ["2017-12-20T05:00:00", "2024-03-15T02:30:00", "1995-07-01T22:10:00"])
def test_altitude_agrees_with_astropy(date: str) -> None:
    time = Time(date)
    place = EarthLocation.from_geodetic(lon=-110.87, lat=31.68, height=0)
    ra, dec = np.array([31.0, 150.0, 279.0, 10.0]), np.array([46.8, -20.0, 38.8, 89.0])
    theirs = SkyCoord(ra, dec, unit="deg").transform_to(AltAz(obstime=time, location=place)).alt.deg
    ours = altitude_deg(ra, dec, time.ut1.jd, latitude_deg=31.68, longitude_deg=-110.87)
    assert np.max(np.abs(ours - theirs)) < 0.02
