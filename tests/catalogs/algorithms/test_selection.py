"""Cuts, the row cap and membership at an epoch."""

import numpy as np

from catalogs_service.algorithms.selection import excess_in_sigma, select_stars
from catalogs_service.domain.regions import Cone
from catalogs_service.domain.stars import Selection, Stars

SKY = Cone(0.0, 0.0, 180.0)


def table(**columns):
    n = len(next(iter(columns.values())))
    base = {"ra": np.linspace(0, 1, n), "dec": np.zeros(n)}
    return Stars({**base, **{name: np.asarray(values) for name, values in columns.items()}})


def test_cap_keeps_the_brightest_first_and_unknown_magnitudes_last():
    stars = table(phot_g_mean_mag=[12.0, np.nan, 9.0, 15.0, 9.0])
    chosen, found, _ = select_stars(stars, SKY, Selection(max_rows=3))
    assert chosen["phot_g_mean_mag"].tolist() == [9.0, 9.0, 12.0]
    assert chosen["ra"].tolist()[:2] == [0.5, 1.0]
    assert found == 5


def test_cap_above_the_number_of_rows_still_sorts():
    chosen, found, _ = select_stars(table(vt_mag=[12.0, 8.0]), SKY, Selection(max_rows=10))
    assert chosen["vt_mag"].tolist() == [8.0, 12.0]
    assert found == 2


def test_magnitude_limit_uses_the_named_band_in_short_or_long():
    stars = table(vt_mag=[9.0, 11.0], phot_g_mean_mag=[11.0, 9.0])
    for band in ("vt", "VT", "vt_mag"):
        assert select_stars(stars, SKY, Selection(mag_limit=10.0, mag_band=band))[0]["vt_mag"].tolist() == [9.0]
    assert select_stars(stars, SKY, Selection(mag_limit=10.0, mag_band="G"))[0]["vt_mag"].tolist() == [11.0]


def test_cuts_without_their_column_are_skipped_and_said():
    stars = table(vt_mag=[9.0])
    selection = Selection(
        mag_limit=5.0, mag_band="K", max_ruwe=1.4, color_range=(0, 1), drop_duplicated=True, drop_variable=True
    )
    chosen, _, skipped = select_stars(stars, SKY, selection)
    assert len(chosen) == 1
    assert [text.split(":")[0] for text in skipped] == ["ruwe", "duplicated", "variable", "colour", "magnitude"]


def test_quality_cuts():
    stars = table(
        ruwe=[1.0, 1.5, np.nan],
        duplicated_source=[False, False, True],
        phot_variable_flag=np.array([b"VARIABLE", b"", b""]),
        phot_bp_mean_mag=[12.0, 12.0, 15.0],
        phot_rp_mean_mag=[11.0, 11.0, 11.0],
    )
    assert len(select_stars(stars, SKY, Selection(max_ruwe=1.4))[0]) == 2
    assert len(select_stars(stars, SKY, Selection(drop_duplicated=True))[0]) == 2
    assert len(select_stars(stars, SKY, Selection(drop_variable=True))[0]) == 2
    assert len(select_stars(stars, SKY, Selection(color_range=(0.0, 2.0)))[0]) == 2


def test_membership_is_decided_at_the_epoch_and_positions_stay_unless_asked():
    stars = Stars(
        {
            "ra": np.array([10.0, 10.0]),
            "dec": np.array([0.999, 1.001]),
            "pmra": np.zeros(2),
            "pmdec": np.array([10_000.0, -10_000.0]),
            "ref_epoch": np.full(2, 2016.0),
        }
    )
    cone = Cone(10.0, 0.0, 1.0)
    chosen, _, _ = select_stars(stars, cone, Selection(epoch_jyear=2026.0))
    assert chosen["dec"].tolist() == [1.001]
    moved, _, _ = select_stars(stars, cone, Selection(epoch_jyear=2026.0, propagate=True))
    assert abs(moved["dec"][0] - (1.001 - 100 / 3600)) < 1e-8
    assert moved["ref_epoch"][0] == 2026.0


def test_flux_excess_of_a_normal_and_a_blended_star():
    # C = 1.2185 is where C* vanishes for BP-RP = 1 (Riello et al. 2021, table 2); the scatter at G = 15 is 0.0141
    expected = 1.162004 + 0.011464 + 0.049255 - 0.005879
    assert abs(excess_in_sigma(np.array([expected]), np.array([1.0]), np.array([15.0]))[0]) < 1e-9
    assert abs(excess_in_sigma(np.array([expected + 0.0141]), np.array([1.0]), np.array([15.0]))[0] - 1.0) < 0.02
    # the pieces of the polynomial meet within a hundredth at 0.5 and 4
    for colour in (0.5, 4.0):
        low, high = excess_in_sigma(np.full(2, 1.4), np.array([colour - 1e-9, colour]), np.full(2, 15.0))
        assert abs(high - low) * 0.0141 < 0.01
    stars = table(
        phot_bp_rp_excess_factor=[expected, 1.9, np.nan],
        phot_bp_mean_mag=[16.0, 16.0, np.nan],
        phot_rp_mean_mag=[15.0, 15.0, np.nan],
        phot_g_mean_mag=[15.5, 15.5, 15.5],
        phot_g_mean_flux_over_error=[100.0, 5.0, 50.0],
    )
    assert select_stars(stars, SKY, Selection(max_excess_sigma=3.0))[0]["ra"].tolist() == [0.0, 1.0]
    assert select_stars(stars, SKY, Selection(min_flux_over_error=10.0))[0]["ra"].tolist() == [0.0, 1.0]
    bare = select_stars(table(vt_mag=[9.0]), SKY, Selection(max_excess_sigma=3.0, min_flux_over_error=1.0))
    assert [text.split(":")[0] for text in bare[2]] == ["flux over error", "flux excess"]
