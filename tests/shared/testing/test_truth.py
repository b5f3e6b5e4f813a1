"""The yardsticks against lists whose errors are known."""

import numpy as np
import pytest

from astro_shared.testing.frames import Camera, Exposure, simulate_frame
from astro_shared.testing.truth import (
    match_to_truth,
    photometry_report,
    separation_mas,
    solution_error,
    solution_floor,
    star_errors,
)

CAMERA = Camera(shape=(1000, 1000))


@pytest.fixture(scope="module")
def frame():
    return simulate_frame(21, n_stars=1500, camera=CAMERA, exposure=Exposure(cosmic_rays=None))


def perfect_list(frame, rng, *, scale=1.0, snr_min=0.0):
    """Truth scattered by exactly its bounds."""
    t = frame.truth[frame.truth["snr"] > snr_min]
    place, flux = np.asarray(t["position_crlb_px"]), np.asarray(t["flux_crlb_e"])
    return (
        t["x"] + scale * place * rng.normal(size=len(t)),
        t["y"] + scale * place * rng.normal(size=len(t)),
        t["flux_e"] + scale * flux * rng.normal(size=len(t)),
        flux,
        place,
    )


def test_a_list_at_the_bound_reads_one(frame):
    x, y, flux, flux_err, place_err = perfect_list(frame, np.random.default_rng(1), snr_min=8)
    r = photometry_report(
        frame.truth, x, y, flux, shape=CAMERA.shape, flux_err_e=flux_err, x_err=place_err, y_err=place_err
    )
    # about 900 stars: robust sigmas are good to 4 per cent
    for value in (r.flux_scatter, r.flux_scatter_isolated, r.position_scatter, r.pull_sigma, r.position_pull_sigma):
        assert value == pytest.approx(1.0, abs=0.16)
    assert abs(r.flux_bias) < 0.003
    assert r.completeness_above_10 > 0.99
    assert r.false_fraction == 0.0


def test_a_list_twice_as_noisy_reads_two(frame):
    x, y, flux, *_ = perfect_list(frame, np.random.default_rng(1), scale=2.0, snr_min=8)
    r = photometry_report(frame.truth, x, y, flux, shape=CAMERA.shape)
    assert r.flux_scatter == pytest.approx(2.0, abs=0.25)
    assert np.isnan(r.pull_sigma)


def test_a_constant_factor_is_an_aperture_correction_and_not_a_bias(frame):
    x, y, flux, *_ = perfect_list(frame, np.random.default_rng(2), snr_min=8)
    r = photometry_report(frame.truth, x, y, 0.9 * flux, shape=CAMERA.shape)
    assert r.flux_factor == pytest.approx(0.9, abs=0.002)
    assert abs(r.flux_bias) < 0.003


def test_missing_and_false_sources_are_counted(frame):
    rng = np.random.default_rng(3)
    x, y, flux, *_ = perfect_list(frame, rng, snr_min=10)
    kept = rng.random(x.size) > 0.2
    x = np.r_[x[kept], 300.5, np.nan]
    # a false source far from every star
    far = frame.truth["x"], frame.truth["y"]
    grid = np.stack(np.meshgrid(np.arange(50, 950), np.arange(50, 950)), -1).reshape(-1, 2)[::97]
    distance = np.min(np.hypot(grid[:, :1] - far[0], grid[:, 1:] - far[1]), axis=1)
    x[-2], y = grid[distance.argmax()][0], np.r_[y[kept], grid[distance.argmax()][1], 5.0]
    flux = np.r_[flux[kept], 1e4, 1e4]
    r = photometry_report(frame.truth, x, y, flux, shape=CAMERA.shape)
    assert r.completeness_above_10 == pytest.approx(0.8, abs=0.06)
    assert r.false_fraction * match_to_truth(
        frame.truth, x, y, shape=CAMERA.shape
    ).measured_inside.sum() == pytest.approx(1)


def test_an_empty_list_gives_zero_completeness(frame):
    r = photometry_report(frame.truth, [], [], [], shape=CAMERA.shape)
    assert r.completeness_above_10 == 0.0
    assert np.isnan(r.flux_scatter)


def test_pairs_are_one_to_one(frame):
    t = frame.truth
    m = match_to_truth(t, np.r_[t["x"], t["x"] + 0.3], np.r_[t["y"], t["y"]], shape=CAMERA.shape)
    assert len(set(m.truth)) == m.truth.size == len(set(m.measured))


def test_solution_error_of_a_shift_is_the_shift(frame):
    header = frame.wcs_header.copy()
    header["CRPIX1"] += 0.01
    from astropy.wcs import WCS

    error = solution_error(WCS(header), frame.wcs, CAMERA.shape)
    assert error.mean_shift_mas == pytest.approx(10.0, rel=0.02)
    assert error.rms_axis_mas == pytest.approx(10.0 / np.sqrt(2), rel=0.02)
    assert solution_error(frame.wcs, frame.wcs, CAMERA.shape).max_mas == 0.0


def test_floor_is_reached_by_a_weighted_fit(frame):
    """Monte Carlo of the weighted polynomial fit itself: its rms error is the floor."""
    t, rng = frame.truth, np.random.default_rng(4)
    t = t[(t["snr"] > 10) & ~t["saturated"]]
    sigma = np.asarray(t["position_crlb_px"]) * 1000
    u, v = (np.asarray(t[k]) / 500 - 1 for k in ("x", "y"))
    gu, gv = (g.ravel() for g in np.meshgrid(np.linspace(-1, 1, 20), np.linspace(-1, 1, 20)))

    def terms(a, b):
        return np.stack([a**i * b**j for i in range(4) for j in range(4 - i)], axis=1)

    squares = []
    for _ in range(200):
        coefficients, *_ = np.linalg.lstsq(terms(u, v) / sigma[:, None], rng.normal(size=sigma.size), rcond=None)
        squares.append(np.mean((terms(gu, gv) @ coefficients) ** 2))
    assert solution_floor(frame.truth, CAMERA, 3) == pytest.approx(np.sqrt(np.mean(squares)), rel=0.1)


def test_floor_grows_with_degree_and_systematics(frame):
    plain = [solution_floor(frame.truth, CAMERA, d) for d in (1, 3, 5)]
    assert plain == sorted(plain)
    assert solution_floor(frame.truth, CAMERA, 3, sigma_sys_mas=20.0) > plain[1]


def test_star_errors_read_one_at_the_bound(frame):
    x, y, *_ = perfect_list(frame, np.random.default_rng(5), snr_min=5)
    bins = star_errors(frame.wcs, x, y, frame.truth, CAMERA)
    assert set(bins) >= {"5-10", "10-30", "30-100"}
    for name in ("10-30", "30-100"):
        assert bins[name].mad_over_floor == pytest.approx(1.0, abs=0.15)


def test_separations_are_small_across_zero_hours():
    east, north = separation_mas(359.9999, 60.0, 0.0001, 60.0)
    assert east == pytest.approx(-0.0002 * 0.5 * 3.6e6)
    assert north == 0.0
