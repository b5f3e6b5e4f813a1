"""Proper motion against astropy and closed formulas."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import Distance, SkyCoord
from astropy.time import Time

from catalogs_service.algorithms.epoch import fastest_motion_deg, moved, propagated
from catalogs_service.algorithms.sphere import separation_deg
from catalogs_service.domain.stars import Stars


def test_motion_agrees_with_astropy_to_a_milliarcsecond_where_perspective_is_negligible():
    rng = np.random.default_rng(1)
    ra, dec = rng.uniform(0, 360, 50), rng.uniform(-89.99, 89.99, 50)
    pmra, pmdec = rng.normal(0, 500, 50), rng.normal(0, 500, 50)
    start = SkyCoord(
        ra=ra * u.deg, dec=dec * u.deg, pm_ra_cosdec=pmra * u.mas / u.yr, pm_dec=pmdec * u.mas / u.yr,
        distance=Distance(100, u.pc), radial_velocity=np.zeros(50) * u.km / u.s,
        obstime=Time(1990.0, format="jyear", scale="tcb"),
    )  # fmt: skip
    end = start.apply_space_motion(new_obstime=Time(2020.0, format="jyear", scale="tcb"))
    ours = moved(ra, dec, pmra, pmdec, np.full(50, 30.0))
    assert np.max(separation_deg(*ours, end.ra.deg, end.dec.deg)) * 3.6e6 < 1.0


def test_a_star_moves_over_the_pole():
    ra, dec = moved(np.array([0.0]), np.array([90 - 1 / 3600]), np.array([0.0]), np.array([200.0]), np.array([10.0]))
    assert ra[0] == pytest.approx(180.0)
    assert (90 - dec[0]) * 3600 == pytest.approx(1.0, abs=1e-6)


def stars(**columns):
    base = {"ra": np.array([10.0]), "dec": np.array([20.0]), "ref_epoch": np.array([2016.0])}
    return Stars({**base, **{name: np.array([value], float) for name, value in columns.items()}})


def test_errors_grow_with_the_error_of_the_motion():
    moved_stars = propagated(
        stars(pmra=5.0, pmdec=0.0, ra_error=0.3, dec_error=0.4, pmra_error=0.1, pmdec_error=0.2), 2026.0
    )
    assert moved_stars["ra_error"][0] == pytest.approx(np.hypot(0.3, 1.0))
    assert moved_stars["dec_error"][0] == pytest.approx(np.hypot(0.4, 2.0))
    assert moved_stars["ref_epoch"][0] == 2026.0


def test_correlation_of_position_and_motion_counts():
    moved_stars = propagated(
        stars(pmra=5.0, pmdec=0.0, ra_error=0.3, dec_error=0.4, pmra_error=0.1, pmdec_error=0.2, ra_pmra_corr=-0.5),
        2026.0,
    )
    assert moved_stars["ra_error"][0] == pytest.approx(np.sqrt(0.3**2 + 1.0 - 2 * 0.5 * 0.3 * 1.0))


def test_a_star_without_motion_stays_and_becomes_less_certain():
    moved_stars = propagated(
        stars(pmra=np.nan, pmdec=np.nan, ra_error=0.3, dec_error=0.4, pmra_error=np.nan, pmdec_error=np.nan), 2026.0
    )
    assert moved_stars["ra"][0] == pytest.approx(10.0, abs=1e-12)
    assert moved_stars["ra_error"][0] == pytest.approx(np.hypot(0.3, 100.0))


def test_a_list_without_motions_is_left_alone():
    moved_stars = propagated(stars(ra_error=0.3), 2026.0)
    assert (moved_stars["ra"][0], moved_stars["ra_error"][0]) == (10.0, 0.3)


def test_fastest_motion_bounds_every_shift():
    assert fastest_motion_deg(stars(pmra=3000.0, pmdec=4000.0), 2026.0) == pytest.approx(50.0 / 3600)
