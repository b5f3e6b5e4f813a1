"""Synthetic skies against astropy's own propagation and against their recipe."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import Distance, SkyCoord
from astropy.time import Time

from astro_shared.testing.skies import MAS_PER_RADIAN, StarCounts, earth_au, make_sky, propagate


def separation_mas(ra: float, dec: float, other: SkyCoord) -> float:
    return float(SkyCoord(ra * u.deg, dec * u.deg).separation(other).mas)


@pytest.mark.parametrize(("ra", "dec"), [(10.0, 20.0), (359.9999, -45.0), (200.0, 89.9)])
def test_proper_motion_agrees_with_astropy(ra, dec):
    start = SkyCoord(
        ra * u.deg, dec * u.deg, distance=Distance(parallax=10 * u.mas), pm_ra_cosdec=900 * u.mas / u.yr,
        pm_dec=-700 * u.mas / u.yr, radial_velocity=0 * u.km / u.s, obstime=Time(2016.0, format="jyear", scale="tdb"),
    )  # fmt: skip
    moved = start.apply_space_motion(Time(2026.0, format="jyear", scale="tdb"))
    new_ra, new_dec = propagate(
        np.array([ra]), np.array([dec]), pmra=np.array([900.0]), pmdec=np.array([-700.0]), parallax=np.zeros(1),
        years=10.0, observer_au=np.zeros(3),
    )  # fmt: skip
    # astropy also moves the star in depth; over 10 years that changes its place by less than 0.01 mas
    assert separation_mas(new_ra[0], new_dec[0], moved) < 0.01


def test_parallax_moves_a_star_by_its_ellipse():
    ecliptic_pole = np.array([270.0]), np.array([66.5607])
    shifts = []
    for epoch in np.linspace(2024.0, 2025.0, 9):
        ra, dec = propagate(
            *ecliptic_pole, pmra=np.zeros(1), pmdec=np.zeros(1), parallax=np.array([100.0]), years=0.0,
            observer_au=earth_au(epoch),
        )  # fmt: skip
        shifts.append(separation_mas(ra[0], dec[0], SkyCoord(*(v[0] * u.deg for v in ecliptic_pole))))
    # at the ecliptic's pole the ellipse is a circle of the parallax, within the orbit's eccentricity and the
    # Sun's own distance from the barycentre (0.017 + 0.01)
    assert np.allclose(shifts, 100.0, atol=3.0)


def test_counts_follow_the_slope():
    mags = StarCounts(10, 20, 0.3).sample(np.random.default_rng(1), 200_000)
    assert mags.min() >= 10 and mags.max() <= 20
    counts, _ = np.histogram(mags, np.arange(14, 21))
    ratio = counts[1:] / counts[:-1]
    # a ratio of two Poisson counts of at least 2,000: 3 per cent
    assert np.allclose(ratio, 10**0.3, rtol=0.1)


@pytest.mark.parametrize(("ra", "dec"), [(0.05, 10.0), (180.0, 89.8), (77.0, -60.0)])
def test_the_disc_is_full_and_uniform_across_zero_hours_and_the_pole(ra, dec):
    sky = make_sky(np.random.default_rng(2), ra, dec, radius_deg=0.5, stars_per_square_deg=20_000)
    far = SkyCoord(sky.ra * u.deg, sky.dec * u.deg).separation(SkyCoord(ra * u.deg, dec * u.deg)).deg
    assert far.max() <= 0.5 + 1e-9
    assert ((sky.ra >= 0) & (sky.ra < 360)).all()
    # half of the area lies within radius / sqrt(2)
    assert abs(np.mean(far < 0.5 / np.sqrt(2)) - 0.5) < 4 * 0.5 / np.sqrt(len(sky))


def test_the_same_seed_gives_the_same_sky():
    one, two = (make_sky(np.random.default_rng(5), 1, 2, radius_deg=0.2, stars_per_square_deg=9000) for _ in range(2))
    assert np.array_equal(one.ra, two.ra) and np.array_equal(one.bp_rp, two.bp_rp)


def test_the_scale_of_motions_is_milliarcseconds():
    assert pytest.approx(206264806.247, rel=1e-9) == MAS_PER_RADIAN
