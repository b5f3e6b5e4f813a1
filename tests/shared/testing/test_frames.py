"""Simulated frames against their own truth."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.table import Table
from astropy.time import Time

from astro_shared.testing.catalogs import gaia_parallax_error_mas
from astro_shared.testing.frames import (
    BadPixels,
    Camera,
    CatalogQuality,
    Exposure,
    Galaxies,
    SimulatedFrame,
    StarCounts,
    simulate_frame,
)
from astro_shared.testing.truth import separation_mas

QUIET = Exposure(cosmic_rays=None)
NO_STARS = StarCounts(bright_mag=29.0, faint_mag=30.0)


@pytest.fixture(scope="module")
def frame() -> SimulatedFrame:
    return simulate_frame(3, n_stars=250, camera=Camera(shape=(600, 700)))


def test_the_same_seed_gives_the_same_frame(frame):
    again = simulate_frame(3, n_stars=250, camera=Camera(shape=(600, 700)))
    assert np.array_equal(frame.data, again.data)
    assert frame.header == again.header
    assert (frame.truth["x"] == again.truth["x"]).all()


def test_sky_noise_is_that_of_the_recipe():
    camera = Camera(shape=(400, 400))
    exposure = replace(QUIET, sky_gradient=(0.0, 0.0))
    frame = simulate_frame(1, n_stars=1, camera=camera, exposure=exposure, counts=NO_STARS)
    values = frame.data_e[:100].ravel()
    variance = 320 + 25 + 1.5**2 / 12
    # 40,000 pixels: mean to 0.1 e, variance to 0.7 per cent
    assert values.mean() == pytest.approx(320, abs=0.5)
    assert values.var() == pytest.approx(variance, rel=0.04)


def test_a_frame_without_any_star_is_only_sky():
    frame = simulate_frame(1, n_stars=0, camera=Camera(shape=(64, 64)), exposure=QUIET)
    assert len(frame.truth) == len(frame.reference) == 0
    assert "snr" in frame.truth.colnames


def test_sky_gradient_is_that_of_the_recipe():
    exposure = replace(QUIET, sky_gradient=(0.2, -0.1))
    frame = simulate_frame(1, n_stars=1, camera=Camera(shape=(400, 400)), exposure=exposure, counts=NO_STARS)
    left, right = np.median(frame.data_e[:, :20]), np.median(frame.data_e[:, -20:])
    assert right - left == pytest.approx(0.4 * 320 * 0.95, abs=2.0)


def test_star_pixels_hold_their_flux(frame):
    clean = simulate_frame(3, n_stars=250, camera=Camera(shape=(600, 700)), exposure=QUIET)
    t = clean.truth
    chosen = t[t["isolated"] & ~t["saturated"] & (t["snr"] > 200)]
    chosen = chosen[(chosen["x"] > 30) & (chosen["x"] < 670) & (chosen["y"] > 30) & (chosen["y"] < 570)]
    assert len(chosen) > 3
    for star in chosen:
        ix, iy = round(star["x"]), round(star["y"])
        stamp = clean.data_e[iy - 12 : iy + 13, ix - 12 : ix + 13]
        # 1.4 per cent of a Moffat of exponent 3 lies outside; neighbours of up to 2 per cent add
        noise = np.sqrt(star["flux_e"] + 625 * 345)
        assert abs(stamp.sum() - 625 * star["sky_e"] - star["flux_e"]) < 5 * noise + 0.035 * star["flux_e"]


def test_truth_places_agree_with_the_true_wcs(frame):
    x, y = frame.wcs.all_world2pix(frame.truth["ra"], frame.truth["dec"], 0)
    assert np.abs(x - frame.truth["x"]).max() < 1e-6
    assert np.abs(y - frame.truth["y"]).max() < 1e-6


def test_injected_astrometric_scatter_has_its_size():
    frame = simulate_frame(4, n_stars=900, camera=Camera(shape=(600, 600)), exposure=replace(QUIET, sigma_sys_mas=20.0))
    offsets = separation_mas(
        *frame.wcs.all_pix2world(frame.truth["x"], frame.truth["y"], 0), frame.truth["ra"], frame.truth["dec"]
    )
    n = len(frame.truth)
    for axis in offsets:
        assert axis.std() == pytest.approx(20.0, rel=4 / np.sqrt(2 * n))
        assert abs(axis.mean()) < 4 * 20 / np.sqrt(n)


def test_magnitudes_obey_the_photometric_equation():
    exposure = replace(QUIET, spatial_terms=((1, 0, 0.03), (0, 2, -0.02)), color_term=0.08)
    frame = simulate_frame(5, n_stars=100, camera=Camera(shape=(400, 400)), exposure=exposure)
    t = frame.truth
    px, py = frame.camera.normalised(np.asarray(t["x"]), np.asarray(t["y"]))
    expected = 22.3 + 0.08 * (t["color"] - 0.9) + 0.03 * px - 0.02 * py**2
    assert np.allclose(t["mag"] + 2.5 * np.log10(t["flux_e"] / 60.0), expected, atol=1e-9)
    assert frame.zero_point_at(1.4) == pytest.approx(22.34)


def test_bright_stars_are_clipped_and_say_so():
    frame = simulate_frame(
        6, n_stars=150, camera=Camera(shape=(500, 500)), exposure=replace(QUIET, zero_point_mag=25.0)
    )
    saturated = frame.truth[frame.truth["saturated"]]
    assert len(saturated) > 0
    assert frame.data.max() == 55000
    x, y = (np.clip(np.rint(saturated[k]).astype(int), 1, 498) for k in ("x", "y"))
    cores = np.max([frame.data[y + j, x + i] for i in (-1, 0, 1) for j in (-1, 0, 1)], axis=0)
    assert (cores > 0.95 * 55000).all()


def test_cosmic_rays_are_where_the_mask_says():
    plain, hit = (
        simulate_frame(7, n_stars=2, camera=Camera(shape=(500, 500)), exposure=e) for e in (QUIET, Exposure())
    )
    assert plain.cosmic_ray_mask.sum() == 0
    assert 20 < hit.cosmic_ray_mask.sum() < 600
    assert np.median(hit.data_e[hit.cosmic_ray_mask]) > 700


def test_galaxies_are_wider_than_stars_and_change_nothing_else():
    exposure = replace(QUIET, galaxies=Galaxies(number=30))
    plain, rich = (
        simulate_frame(7, n_stars=20, camera=Camera(shape=(300, 300)), exposure=e) for e in (QUIET, exposure)
    )
    assert len(rich.galaxies) == 30 and len(plain.galaxies) == 0
    assert (rich.truth["x"] == plain.truth["x"]).all()
    extra = rich.data_e.sum(dtype=float) - plain.data_e.sum(dtype=float)
    # those near the edges lose light
    assert 0.6 < extra / rich.galaxies["flux_e"].sum() < 1.02


def test_bad_pixels_are_where_the_mask_says():
    exposure = replace(QUIET, bad_pixels=BadPixels(hot_fraction=0.001, dead_fraction=0.001, dead_columns=2))
    frame = simulate_frame(8, n_stars=2, camera=Camera(shape=(300, 300)), exposure=exposure)
    bad = frame.data_e[frame.bad_pixels]
    assert frame.bad_pixels.sum() > 600
    assert ((bad < 100) | (bad > 1000)).mean() > 0.99


def test_a_trail_stretches_stars_along_its_direction():
    frame = simulate_frame(
        9, n_stars=60, camera=Camera(shape=(500, 500)), exposure=replace(QUIET, trail_px=12.0, trail_angle_deg=0.0)
    )
    t = frame.truth
    star = t[(t["x"] > 40) & (t["x"] < 460) & (t["y"] > 40) & (t["y"] < 460) & t["isolated"] & ~t["saturated"]][0]
    ix, iy = round(star["x"]), round(star["y"])
    stamp = frame.data_e[iy - 15 : iy + 16, ix - 15 : ix + 16] - star["sky_e"]
    half = stamp > 0.5 * stamp.max()
    assert half.any(axis=0).sum() > 2.5 * half.any(axis=1).sum()


def test_header_has_a_wrong_pointing_and_no_wcs(frame):
    header = frame.header
    assert not [k for k in header if k.startswith(("CRVAL", "CTYPE", "CD1_", "PV"))]
    off = np.hypot(*separation_mas(header["RA"], header["DEC"], frame.sky.ra_deg, frame.sky.dec_deg)) / 60_000
    assert off == pytest.approx(3.0, rel=1e-3)
    assert header["PIXSCALE"] == pytest.approx(1.003)
    assert (header["GAIN"], header["RDNOISE"], header["SATURATE"]) == (1.5, 5.0, 55000.0)
    middle = Time(header["DATE-OBS"]).tdb.jyear + header["EXPTIME"] / 2 / 86400 / 365.25
    assert frame.exposure.epoch == pytest.approx(middle, abs=1e-9)


def test_reference_catalogue_scatters_by_its_errors():
    frame = simulate_frame(10, n_stars=2500, camera=Camera(shape=(400, 400)), exposure=QUIET)
    ref, sky = frame.reference, frame.sky
    rows = ref.meta["truth_index"]
    good = np.asarray(ref["ruwe"]) < 1.4
    east, north = separation_mas(ref["ra"], ref["dec"], sky.ra[rows], sky.dec[rows])
    n = good.sum()
    for pull in (
        (east / ref["ra_error"])[good],
        (north / ref["dec_error"])[good],
        ((ref["pmra"] - sky.pmra[rows]) / ref["pmra_error"])[good],
        ((ref["parallax"] - sky.parallax[rows]) / ref["parallax_error"])[good],
    ):
        assert np.std(pull) == pytest.approx(1.0, abs=4 / np.sqrt(2 * n))
    whitened = np.asarray(east / ref["ra_error"] * north / ref["dec_error"] * np.sign(ref["ra_dec_corr"]))[good]
    assert whitened.mean() > 3 / np.sqrt(n)


def test_reference_errors_are_those_of_the_real_catalogue():
    # DR3 medians: 0.02-0.03 mas at G < 15, 0.07 at 17, 0.5 at 20 (Lindegren et al. 2021, abstract)
    assert gaia_parallax_error_mas(np.array([12.0, 17.0, 20.0, 21.0])) == pytest.approx(
        [0.025, 0.07, 0.5, 1.3], rel=0.2
    )


def test_reference_catalogue_can_be_perfect_or_poor():
    perfect, poor = (
        simulate_frame(11, n_stars=300, camera=Camera(shape=(300, 300)), exposure=QUIET, catalog=q)
        for q in (
            CatalogQuality(error_scale=0.0, two_parameter_fraction=0.0),
            CatalogQuality(missing_fraction=0.5, faint_mag=18.0, two_parameter_fraction=0.4),
        )
    )
    rows = perfect.reference.meta["truth_index"]
    assert np.array_equal(perfect.reference["dec"], perfect.sky.dec[rows])
    assert len(poor.reference) < 0.3 * len(perfect.reference)
    assert 0.2 < np.isnan(poor.reference["pmra"]).mean() < 0.6


def test_files_come_back_as_they_went(frame, tmp_path):
    from astropy.io import fits

    path = frame.write(tmp_path / "a.fits", wcs=True)
    assert np.array_equal(fits.getdata(path), frame.data)
    assert fits.getheader(path)["CTYPE1"] == "RA---TPV"
    table = Table.read(frame.write_reference(tmp_path / "r.ecsv"))
    assert np.array_equal(table["source_id"], frame.reference["source_id"])


@pytest.mark.slow
def test_simulation_is_fast():
    import time

    start = time.process_time()
    simulate_frame(1, n_stars=2000)
    assert time.process_time() - start < 5.0
