import erfa
import numpy as np
import pytest

from astro_shared.science.sky_time import barycentric_earth_au, separation_deg
from astrometry_service.algorithms.reference_positions import (
    UNKNOWN_PROPER_MOTION_MAS_YR,
    ReferenceCuts,
    covariances_at_epoch,
    positions_at_epoch,
    propagate,
)
from astrometry_service.domain.reference import ReferenceStars
from astrometry_service.errors import ReferenceListError


def stars(**columns: object) -> ReferenceStars:
    base: dict[str, object] = {"ra": [10.0, 359.9999], "dec": [20.0, 89.9], "ref_epoch": [2016.0, 2016.0]}
    return ReferenceStars.from_columns({k: np.atleast_1d(np.asarray(v)) for k, v in (base | columns).items()})


def test_proper_motion_is_along_the_great_circle() -> None:
    ra, dec = propagate(stars(pmra=[1000.0, 500.0], pmdec=[0.0, -200.0]), np.array([10.0, 10.0]))
    moved = separation_deg([10.0, 359.9999], [20.0, 89.9], ra, dec) * 3.6e6
    # Tangent vectors: the angle is the arc tangent of 10 arcsec, shorter than it by 8 nano-arcsec.
    np.testing.assert_allclose(moved, [10000.0, 10 * np.hypot(500, 200)], atol=1e-4)


def test_agrees_with_the_standard_routine() -> None:
    """ERFA's starpm, an independent program for proper motion (its light-time terms are far below the tolerance)."""

    many = stars(ra=[123.0], dec=[-45.0], ref_epoch=[2016.0], pmra=[800.0], pmdec=[-300.0], parallax=[50.0])
    ra, dec = propagate(many, np.array([30.0]))
    a, d = np.radians(123.0), np.radians(-45.0)
    mas = np.radians(1 / 3.6e6)
    ra2, dec2, *_ = erfa.starpm(
        a, d, 800 * mas / np.cos(d), -300 * mas, 0.05, 0.0, 2457389.0, 0.0, 2457389.0 + 30 * 365.25, 0.0
    )
    assert separation_deg(ra, dec, np.degrees(ra2), np.degrees(dec2)) * 3.6e6 == pytest.approx(0.0, abs=0.01)


def test_parallax_moves_by_the_parallax_factors() -> None:
    epoch = 2021.3
    x, y, z = barycentric_earth_au(epoch)
    a, d, parallax = np.radians(10.0), np.radians(20.0), 100.0
    ra, dec = propagate(stars(parallax=[parallax, 0.0]), np.zeros(2), observer_au=barycentric_earth_au(epoch))
    east = parallax * (x * np.sin(a) - y * np.cos(a))
    north = parallax * (x * np.cos(a) * np.sin(d) + y * np.sin(a) * np.sin(d) - z * np.cos(d))
    assert (ra[0] - 10.0) * np.cos(d) * 3.6e6 == pytest.approx(east, abs=1e-3)
    assert (dec[0] - 20.0) * 3.6e6 == pytest.approx(north, abs=1e-3)


def test_negative_parallaxes_are_not_cut() -> None:
    here = barycentric_earth_au(2021.3)
    plus = propagate(stars(parallax=[1.0, 0.0]), np.zeros(2), observer_au=here)
    minus = propagate(stars(parallax=[-1.0, 0.0]), np.zeros(2), observer_au=here)
    assert plus[1][0] - 20.0 == pytest.approx(20.0 - minus[1][0], rel=1e-6)


def test_covariance_grows_as_the_sampled_one() -> None:
    """Monte Carlo of the five-parameter covariance."""
    rng = np.random.default_rng(7)
    sigma = np.array([0.5, 0.4, 0.6, 0.7])
    root = rng.normal(size=(4, 4))
    correlation = root @ root.T
    correlation /= np.sqrt(np.outer(np.diag(correlation), np.diag(correlation)))
    names = ("ra", "dec", "pmra", "pmdec")
    columns = {f"{n}_error": [s] for n, s in zip(names, sigma, strict=True)} | {"pmra": [0.0], "pmdec": [0.0]}
    for i in range(4):
        for j in range(i + 1, 4):
            columns[f"{names[i]}_{names[j]}_corr"] = [correlation[i, j]]
    found = covariances_at_epoch(stars(ra=[1.0], dec=[2.0], ref_epoch=[2016.0], **columns), np.array([9.0]))[0]
    draws = rng.multivariate_normal(np.zeros(4), correlation * np.outer(sigma, sigma), 200_000)
    # 200000 draws: 0.3 per cent of a variance.
    np.testing.assert_allclose(found, np.cov((draws[:, :2] + 9.0 * draws[:, 2:]).T), rtol=0.02, atol=0.05)


def test_unknown_motion_gets_a_wide_error() -> None:
    found = covariances_at_epoch(stars(pmra=[np.nan, 1.0], pmdec=[np.nan, 1.0]), np.array([8.0, 8.0]))
    assert np.sqrt(found[0, 0, 0]) == pytest.approx(8 * UNKNOWN_PROPER_MOTION_MAS_YR) and found[1, 0, 0] == 0.0


def test_a_list_without_any_motion_is_given_no_error_for_it() -> None:
    """All its stars are alike: their scatter is measured, not assumed."""
    assert not covariances_at_epoch(stars(), np.array([8.0, 8.0])).any()
    assert not covariances_at_epoch(stars(pmra=[np.nan, np.nan], pmdec=[np.nan, np.nan]), np.array([8.0, 8.0])).any()


def test_cuts_are_counted_and_missing_columns_reported() -> None:
    many = stars(ruwe=[1.0, 3.0], phot_g_mean_mag=[5.0, 12.0], pmra=[0.0, 0.0], pmdec=[0.0, 0.0])
    found = positions_at_epoch(many, 2020.0, cuts=ReferenceCuts())
    assert not found.good.any() and found.applied["ruwe"] == 1 and found.applied["bright_mag"] == 1
    assert {"parallax", "astrometric_excess_noise_sig", "duplicated_source"} <= set(found.skipped)


def test_without_an_epoch_the_catalogue_stays() -> None:
    found = positions_at_epoch(stars(pmra=[1e5, 1e5], pmdec=[0.0, 0.0]), None)
    np.testing.assert_array_equal(found.ra, [10.0, 359.9999])
    assert "epoch" in found.skipped and found.epoch_jyear == 2016.0


def test_lists_without_positions_are_refused() -> None:
    with pytest.raises(ReferenceListError):
        ReferenceStars.from_columns({"ra": np.zeros(3)})
    with pytest.raises(ReferenceListError):
        ReferenceStars.from_columns({"ra": np.zeros(0), "dec": np.zeros(0)})


def test_any_band_ranks_where_there_is_no_g() -> None:
    assert ReferenceStars.from_columns({"ra": [1.0], "dec": [2.0], "vt_mag": [9.5]}).mag[0] == 9.5
